import Files
import Metrics
import Pipelines

/// What a report says of one run.
struct RunSection {
  private let run: ReportedRun

  init(_ run: ReportedRun) { self.run = run }

  private var folder: RunFolder { run.folder }

  /// How the run stands, and what it is a run of.
  func status() -> Markup {
    let (text, isBad) = run.statusWords
    let last = folder.invocation
    let took = last.duration.map { ", took " + durationText($0) } ?? ""
    let line = Markup(
      "p", [:],
      [
        Markup("span", ["class": isBad ? "badge bad" : "badge good"], text: text),
        Markup(" \(folder.command.script), started \(last.start)\(took)"),
      ])
    var error = last.error
    if text == "killed" {
      error = "The process ended without noting why: it was killed, or the machine stopped. It goes on with: perigee run --resume \(folder.path)"
    }
    return line + (error.map { Page.paragraph($0, class: "bad") } ?? .empty)
  }

  /// The stages as a picture and as a table.
  func stages() -> Markup {
    var table = Pipelines.Table(columns: [
      "stage", "trainable", "result", "loss", "steps", "best step", .init("seconds", decimals: 1), "from the store",
    ])
    for stage in folder.stages {
      let metric = ReportedRun.mainMetric(of: stage, inputs: folder.key(of: stage.name)?.inputs)
      let others = stage.metrics.filter { !$0.name.hasPrefix(EvaluationName.loss) }.sorted { a, _ in a.name == metric }
      let words = others.prefix(3).map { EvaluationName.bare($0.name) + " " + numberText($0.value) }
      let loss = stage.metrics.first { $0.name == EvaluationName.loss }
      let facts = stage.facts
      table.append([
        .string(stage.title), facts["trainable"] ?? .null, .string(words.joined(separator: ", ")), loss.map { .double($0.value) } ?? .null,
        facts["steps"] ?? .null, facts["best_step"] ?? .null, facts["seconds"] ?? .null, .string(run.reused.contains(stage.name) ? "yes" : ""),
      ])
    }
    for stage in run.unfinished {
      table.append([.string(stage.name), .null, .string("not finished: " + (stage.total.map { "\(stage.step) of \($0)" } ?? "step \(stage.step)"))])
    }
    let remarks = folder.stages.flatMap { stage in
      ["warnings", "endings"].flatMap { (stage.facts[$0]?.arrayValue ?? []).compactMap(\.stringValue) }.map { "\(stage.name): \($0)" }
    }
    let list = Markup("ul", ["class": "soft"], remarks.prefix(200).map { Markup("li", text: $0) })
    let told =
      remarks.isEmpty ? .empty : remarks.count <= 4 ? list : Markup("details", [:], [Markup("summary", text: "\(remarks.count) remarks"), list])
    return Page.section("Stages", [Lineage(run).drawn(), Page.table(table), told])
  }

  /// The script's own tables and figures.
  func results() -> Markup {
    let tables = zip(run.tables, folder.tables).map { table, json in Page.table(table, title: json["title"]?.stringValue) }
    // A figure was checked when it was read.
    let figures = run.figures.compactMap { try? $0.markup() }
    return Page.section("Results", tables + [Page.charts(figures)])
  }

  /// What it takes to do it again.
  func details() -> [Markup] {
    [
      Page.section("Why stages ran again", run.rerunReasons.map { Page.paragraph("\($0.stage): \($0.reason)") }),
      Page.section("Parameters", [Page.facts(folder.parameters.members.map { ($0, $1.shown) })]),
      Page.section("Training arguments", arguments()), Page.section("Adapters", [adapters()]), Page.section("Environment", environment()),
    ]
  }

  /// Arguments that all trainings share, and those in which they differ.
  private func arguments() -> [Markup] {
    let all = folder.stages.compactMap { stage in
      folder.key(of: stage.name)?.inputs["arguments"]?.objectValue.map { (stage: stage.name, arguments: $0) }
    }
    var names: [String] = []
    for name in all.flatMap(\.arguments.keys) where !names.contains(name) { names.append(name) }
    names.sort()
    let differing = names.filter { name in Set(all.map { $0.arguments[name]?.encoded(.canonical) ?? "" }).count > 1 }
    let shared = names.filter { !differing.contains($0) }.compactMap { name in all.first?.arguments[name].map { (name, $0.shown) } }
    let own = Pipelines.Table(
      columns: ["stage"] + differing.map { .init($0) },
      rows: all.map { entry in [.string(entry.stage)] + differing.map { entry.arguments[$0].map { .string($0.shown) } ?? .string(Sweep.none) } })
    return [
      differing.isEmpty ? .empty : Page.table(own, title: "In which the stages differ"),
      shared.isEmpty
        ? .empty : Markup("details", [:], [Markup("summary", text: all.count > 1 ? "The same in all stages" : "All"), Page.facts(shared)]),
    ]
  }

  private func adapters() -> Markup {
    var table = Pipelines.Table(columns: ["stage", "adapter", "method", "parameters", "modules", "options"])
    for stage in folder.stages {
      for adapter in stage.facts["adapters"]?.arrayValue ?? [] {
        let options = (adapter["options"]?.objectValue ?? [:]).members.filter { $1 != .object([:]) && $1 != .bool(false) && $1 != .null }
        table.append([
          .string(stage.name), adapter["name"] ?? .null, adapter["method"] ?? .null, adapter["parameters"] ?? .null,
          (adapter["modules"]?.arrayValue?.count).map { .int($0) } ?? .null, .string(options.map { "\($0)=\($1.shown)" }.joined(separator: " ")),
        ])
      }
    }
    return Page.table(table)
  }

  private func environment() -> [Markup] {
    let last = folder.invocation
    let host = last.host
    let facts: [(String, String?)] = [
      ("version", last.version), ("processor", host.cpu ?? host.machine), ("instruction sets", host.cpuFlags?.joined(separator: ", ")),
      ("logical processors", String(host.logicalCPUs)), ("threads", String(last.threads)),
      ("memory", "\((Double(host.memoryBytes) / 1_073_741_824 * 10).rounded() / 10) GiB"), ("precision", last.precision.rawValue),
      ("seed", String(last.seed)), ("system", [host.os, host.kernel].compactMap(\.self).joined(separator: ", ")), ("folder", folder.path),
    ]
    var commands = Pipelines.Table(columns: ["started", "took", "ended", "command"])
    for invocation in folder.command.invocations {
      let isLast = invocation.start == last.start && invocation.argv == last.argv
      let end = isLast ? run.statusWords.text : invocation.status.rawValue
      commands.append([
        .string(invocation.start), .string(invocation.duration.map(durationText) ?? ""),
        .string(end + (invocation.error.map { ": " + $0 } ?? "")), .string(invocation.argv.joined(separator: " ")),
      ])
    }
    return [
      Page.facts(facts.compactMap { name, value in value.map { (name, $0) } }), Page.table(commands, title: "Commands that worked in the folder"),
    ]
  }
}
