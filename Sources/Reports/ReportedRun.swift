import Diagnostics
import Files
import Metrics
import Pipelines

/// A run as a report shows it: what its folder holds, and how that is to be read.
struct ReportedRun {
  let folder: RunFolder
  /// How the report calls it.
  let name: String
  let figures: [Figure]
  let curves: [LearningCurve]
  let tables: [Pipelines.Table]
  /// Stages that have begun and not ended, with how far they came.
  let unfinished: [(name: String, step: Int, total: Int?)]
  /// Why stages were not taken from the store, in the words that the run said.
  let rerunReasons: [(stage: String, reason: String)]
  /// Stages whose results were taken from the store when the run worked last.
  let reused: Set<String>

  /// Throws `EngineError` where a file of the run cannot be read, or is damaged.
  init(_ folder: RunFolder, name: String) throws {
    self.folder = folder
    self.name = name
    figures = try folder.figures.map { try Figure(json: .object($0), source: folder.path + "/results.json: a figure") }
    let rows = try folder.metricRows()
    curves = RunFolder.curves(rows)
    tables = folder.tables.map(Self.table)
    let lines = try folder.output().split(separator: "\n")
    let ended = Set(folder.stages.map(\.name))
    var begun: [String: Int] = [:]
    var order: [String] = []
    for row in rows {
      guard let stage = row["stage"]?.stringValue, !ended.contains(stage) else { continue }
      if begun[stage] == nil { order.append(stage) }
      begun[stage] = max(begun[stage] ?? 0, row["step"]?.intValue ?? 0)
    }
    // Of a stage that logged nothing yet, the output has told that it began.
    let totals = Dictionary(lines.compactMap(Self.beginning), uniquingKeysWith: { $1 })
    for (stage, _) in lines.compactMap(Self.beginning) where !ended.contains(stage) && begun[stage] == nil {
      begun[stage] = 0
      order.append(stage)
    }
    unfinished = order.map { ($0, begun[$0] ?? 0, totals[$0]) }
    rerunReasons = lines.compactMap { line in
      line.firstMatch(of: #/^(.+?) runs again: (.+)$/#).map { (String($0.output.1), String($0.output.2)) }
    }.filter { ended.contains($0.0) || begun[$0.0] != nil }
    let latest = lines.lastIndex { $0.hasPrefix("---- ") } ?? lines.startIndex
    reused = Set(lines[latest...].compactMap { $0.firstMatch(of: #/^(.+?): reused \(/#).map { String($0.output.1) } })
  }

  /// "mnli-lora: 500 steps" of a training that begins.
  private static func beginning(_ line: Substring) -> (String, Int)? {
    guard let match = line.wholeMatch(of: #/(.+): (\d+) (?:steps|texts)(?:, resumed at \d+)?/#) else { return nil }
    return Int(match.output.2).map { (String(match.output.1), $0) }
  }

  private static func table(_ json: JSONObject) -> Pipelines.Table {
    let rows = (json["rows"]?.arrayValue ?? []).compactMap(\.objectValue)
    let named = (json["columns"]?.arrayValue ?? []).compactMap(\.stringValue)
    return Table(
      columns: named.map { Table.Column($0, decimals: $0 == "seconds" ? 1 : nil) }, rows: rows.map { row in named.map { row[$0] ?? .null } })
  }

  /// How the run stands, in a word or two; and whether that is something to look at.
  var statusWords: (text: String, isBad: Bool) {
    switch folder.status {
    case .finished: ("finished", false)
    case .failed: ("failed", true)
    case .running: ("running", false)
    case .interrupted: (folder.invocation.status == .running ? "killed" : "interrupted", true)
    }
  }

  /// The metric that a stage's table shows first: the task's own, else the first that is not the loss.
  static func mainMetric(of stage: RunStage, inputs: JSONValue?) -> String? {
    let names = stage.metrics.map(\.name)
    let tasks = inputs?["task"]?["metrics"]?.arrayValue?.first?.stringValue.map(EvaluationName.of)
    if let tasks, names.contains(tasks) { return tasks }
    return names.first { !$0.hasPrefix(EvaluationName.loss) } ?? names.first
  }
}
