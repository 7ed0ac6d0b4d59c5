import Diagnostics
import Files
import Foundation
import Metrics
import Pipelines

/// What `perigee runs show` and `compare` print.
public struct RunReport {
  /// Whether the terminal has letters for bars.
  let unicode: Bool

  public init(unicode: Bool) { self.unicode = unicode }

  /// A line for each run. `names`: what has a column of its own beside the usual ones.
  public static func list(_ runs: [RunSummary], names: [String] = []) -> String {
    let usual = ["name", "status", "start"]
    let more = names.filter { !usual.contains($0) && $0 != "tags" }
    let columns: [String] = usual + more + ["result", "tags"]
    return Table(
      columns: columns.map { Table.Column($0) },
      rows: runs.map { run in
        func cell(_ name: String) -> JSONValue { run.value(name).map(Self.cell) ?? .null }
        let start = run.facts["start"]?.stringValue?.replacing("T", with: " ").replacing("Z", with: "") ?? ""
        return [.string(run.name), cell("status"), .string(start)] + more.map(cell) + [
          .string(run.result), .string(run.tags.joined(separator: ", ")),
        ]
      }
    ).text()
  }

  // MARK: - One run

  /// Everything about one run, for people.
  public func show(_ run: RunFolder) throws -> String {
    let (last, notes) = (run.invocation, try RunNotes(run: run.path))
    var facts: [(String, JSONValue)] = [
      ("path", .string(run.path)), ("script", .string(run.command.scriptPath)), ("status", .string(run.status.rawValue)),
      ("commands", .int(run.command.invocations.count)), ("started", .string(run.command.invocations[0].start)),
      ("ended", last.end.map { .string($0) } ?? .null), ("seed", .int(last.seed)), ("precision", .string(last.precision.rawValue)),
      ("threads", .int(last.threads)), ("version", .string(last.version)), ("machine", .string(last.host.cpu ?? last.host.machine ?? "")),
      ("error", last.error.map { .string($0) } ?? .null), ("tags", .string(notes.tags.joined(separator: ", "))),
      ("note", notes.note.map { .string($0) } ?? .null),
    ]
    facts.removeAll { $0.1 == .null || $0.1 == "" }
    var text = Self.list(facts)
    if !run.parameters.isEmpty { text += "\nParameters\n" + Self.list(run.parameters.members.map { ($0, .string($1.word)) }) }
    if !run.stages.isEmpty { text += "\nStages\n" + stages(run).text() }
    let arguments = arguments(run)
    if !arguments.isEmpty { text += "\nTraining arguments\n" + Self.list(arguments) }
    let curves = RunFolder.curves(try run.metricRows()).filter { $0.points.count > 1 && !["learning_rate", "grad_norm"].contains($0.name) }
    if !curves.isEmpty {
      let rows = curves.map { curve -> [JSONValue] in
        let values = curve.points.map(\.value)
        return [
          .string(curve.stage), .string(curve.name), .string(numberText(values[0])), .string(numberText(values[values.count - 1])),
          .string(CurveChart.line(curve.points, unicode: unicode)),
        ]
      }
      text += "\nCurves\n" + Table(columns: ["stage", "name", "first", "last", "curve"], rows: rows).text()
    }
    return text
  }

  private static func list(_ facts: [(String, JSONValue)]) -> String {
    let width = facts.map { displayWidth($0.0) }.max() ?? 0
    return facts.map { name, value in "  " + name + String(repeating: " ", count: width - displayWidth(name) + 2) + value.word.inOneLine + "\n" }
      .joined()
  }

  private func stages(_ run: RunFolder) -> Table {
    var names: [String] = []
    for stage in run.stages { for metric in stage.metrics where !names.contains(metric.name) { names.append(metric.name) } }
    let columns = ["stage", "trainable", "steps"] + names.map(EvaluationName.bare) + ["seconds", "key"]
    return Table(
      columns: columns.map { Table.Column($0, decimals: $0 == "seconds" ? 1 : nil) },
      rows: run.stages.map { stage in
        let metrics = Dictionary(stage.metrics.map { ($0.name, $0.value) }, uniquingKeysWith: { a, _ in a })
        var row: [JSONValue] = [.string(stage.title), stage.facts["trainable"] ?? .null, stage.facts["steps"] ?? .null]
        for name in names { row.append(metrics[name].map { .double($0) } ?? .null) }
        return row + [stage.facts["seconds"] ?? .null, .string(String(stage.key.prefix(12)))]
      })
  }

  /// Training arguments of all stages: a value that they share stands once.
  private func arguments(_ run: RunFolder) -> [(String, JSONValue)] {
    let all = run.stages.compactMap { stage in run.key(of: stage.name)?.inputs["arguments"]?.objectValue.map { (stage.name, $0) } }
    return Self.union(all.map { $0.1.keys }).map { name in
      let values = all.compactMap { stage, arguments in arguments[name].map { (stage, $0.word) } }
      let isShared = Set(values.map(\.1)).count == 1 && values.count == all.count
      return (name, .string(isShared ? values[0].1 : values.map { "\($1) (\($0))" }.joined(separator: ", ")))
    }
  }

  /// All names, in the order in which they are met.
  private static func union(_ lists: [[String]]) -> [String] {
    var seen: Set<String> = []
    return lists.flatMap(\.self).filter { seen.insert($0).inserted }
  }

  // MARK: - Several runs

  /// In what runs differ, and what came out; `curves`: names of the curves to draw, such as "loss" or "rte.eval_accuracy".
  ///
  /// Throws `EngineError` (`.argument`) for a curve that no run has.
  public func compare(_ runs: [RunFolder], curves wanted: [String]) throws -> String {
    let letters = runs.indices.map { Character(Unicode.Scalar(UInt8(65 + $0 % 26))) }
    var text = zip(letters, runs).map { "\($0)  \($1.path)  (\($1.status.rawValue))\n" }.joined()
    func table(_ title: String, _ rows: [(name: String, values: [JSONValue])], differingOnly: Bool = true) -> String {
      let shown = rows.filter { row in !differingOnly || Set(row.values.map { $0.encoded(.canonical) }).count > 1 }
      if shown.isEmpty { return differingOnly ? "\n\(title): none\n" : "" }
      return "\n\(title)\n"
        + Table(
          columns: [Table.Column("")] + letters.map { Table.Column(String($0)) },
          rows: shown.map { row in [.string(row.name)] + row.values.map { $0 == .null ? .string("-") : Self.cell($0) } }
        ).text()
    }
    let properties: [(String, (RunFolder) -> JSONValue)] = [
      ("script", { .string($0.command.script) }), ("seed", { .int($0.invocation.seed) }),
      ("precision", { .string($0.invocation.precision.rawValue) }), ("version", { .string($0.invocation.version) }),
    ]
    let parameters = Self.union(runs.map(\.parameters.keys)).map { name in (name, runs.map { $0.parameters[name] ?? .null }) }
    text += table("Parameters that differ", properties.map { name, value in (name, runs.map(value)) } + parameters)
    let stages = Self.union(runs.map { $0.stages.map(\.name) })
    let arguments = stages.flatMap { stage -> [(String, [JSONValue])] in
      let all = runs.map { $0.key(of: stage)?.inputs["arguments"]?.objectValue }
      // A stage that a run lacks says nothing about its arguments.
      guard all.count(where: { $0 != nil }) > 1 else { return [] }
      return Self.union(all.map { $0?.keys ?? [] }).map { name in
        let values = all.map { $0.map { $0[name] ?? .null } }
        let first = values.compactMap(\.self).first ?? .null
        return ("\(stage).\(name)", values.map { $0 ?? first })
      }
    }
    text += table("Training arguments that differ", arguments)
    let metrics = stages.flatMap { stage -> [(String, [JSONValue])] in
      let all = runs.map { run in run.stages.last { $0.name == stage } }
      return Self.union(all.map { $0?.metrics.map(\.name) ?? [] }).map { name in
        let cells = all.map { stage -> JSONValue in
          guard let stage, let value = stage.metrics.first(where: { $0.name == name })?.value else { return .null }
          return stage.isPaused ? .string(numberText(value) + " (stopped early)") : .double(value)
        }
        return ("\(stage).\(EvaluationName.bare(name))", cells)
      }
    }
    text += table("Metrics", metrics, differingOnly: false)
    return text + (try charts(runs, letters, wanted))
  }

  static func cell(_ value: JSONValue) -> JSONValue { value.objectValue == nil && value.arrayValue == nil ? value : .string(value.word) }

  private func charts(_ runs: [RunFolder], _ letters: [Character], _ wanted: [String]) throws -> String {
    let all = try runs.map { RunFolder.curves(try $0.metricRows()).filter { $0.points.count > 1 } }
    let ids = Self.union(all.map { $0.map { "\($0.stage).\($0.name)" } })
    func matches(_ id: String, _ name: String) -> Bool { id == name || id.hasSuffix("." + name) || id.hasSuffix(".eval_" + name) }
    for name in wanted where !ids.contains(where: { matches($0, name) }) {
      throw EngineError(.argument, "--curve \(name): no run has such a curve", hint: suggestion(for: name, among: ids))
    }
    // Without a choice, how the losses of the stages that several runs have went.
    let shared = ids.filter { id in all.count { $0.contains { "\($0.stage).\($0.name)" == id } } > 1 }
    let shown =
      wanted.isEmpty
      ? Array(shared.filter { $0.hasSuffix(".loss") || $0.hasSuffix(".eval_loss") }.prefix(4))
      : ids.filter { id in wanted.contains { matches(id, $0) } }
    return shown.map { id in
      let curves = zip(letters, all).map { letter, curves in (letter: letter, points: curves.first { "\($0.stage).\($0.name)" == id }?.points ?? []) }
      return "\n\(id)\n" + CurveChart.text(curves)
    }.joined()
  }
}
