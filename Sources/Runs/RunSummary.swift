import Diagnostics
import Files
import Foundation
import Metrics
import Pipelines

/// What lists of runs say of one run: all that can be known without reading its metrics.
public struct RunSummary: Sendable {
  /// The run directory, absolute and without links.
  public let path: String
  /// The rest, as the index keeps it: `script`, `status`, `start`, `end`, `seconds`, `seed`, `precision`, `version`, `parameters`,
  /// `stages` (name, key, seconds, steps, trainable, metrics), `tags`, `note`.
  public private(set) var facts: JSONObject

  init(path: String, facts: JSONObject) { (self.path, self.facts) = (path, facts) }

  /// Reads a run directory.
  package init(_ run: RunFolder) throws {
    let (last, notes) = (run.invocation, try RunNotes(run: run.path))
    path = run.path
    facts = [
      "script": .string(run.command.script), "status": .string(last.status.rawValue), "start": .string(last.start),
      "seconds": .double(run.command.invocations.compactMap(\.duration).reduce(0, +)), "seed": .int(last.seed),
      "precision": .string(last.precision.rawValue), "version": .string(last.version), "parameters": .object(run.parameters),
      "stages": .array(run.stages.map(Self.facts)), "tags": .array(notes.tags.map { .string($0) }),
    ]
    if let note = notes.note { facts["note"] = .string(note) }
  }

  private static func facts(_ stage: RunStage) -> JSONValue {
    let names = ["stage", "key", "seconds", "steps", "trainable", "metrics", "paused"]
    return .object(JSONObject(names.compactMap { name in stage.facts[name].map { (name, $0) } }))
  }

  /// The same with the status as it is now: a run that works may have been killed since.
  func current() -> RunSummary {
    guard facts["status"]?.stringValue == RunStatus.running.rawValue, let run = try? RunFolder(path) else { return self }
    var summary = self
    summary.facts["status"] = .string(run.status.rawValue)
    return summary
  }

  public var name: String { FilePath.name(of: path) }
  public var stages: [RunStage] { (facts["stages"]?.arrayValue ?? []).compactMap { $0.objectValue.map { RunStage(facts: $0) } } }
  public var parameters: JSONObject { facts["parameters"]?.objectValue ?? JSONObject() }
  public var tags: [String] { (facts["tags"]?.arrayValue ?? []).compactMap(\.stringValue) }

  /// Everything, as `--json` prints it.
  public var json: JSONValue { .object(JSONObject([("path", .string(path)), ("name", .string(name))] + facts.members.map { ($0, $1) })) }

  /// The metrics of the last stage that has any beside the loss, or of the last one that has any; three at most.
  package var shownMetrics: [(name: String, value: Double)] {
    let stages = stoppedFirst
    let measured = stages.last { $0.metrics.contains { !$0.name.hasPrefix(EvaluationName.loss) } } ?? stages.last { !$0.metrics.isEmpty }
    let metrics = measured?.metrics ?? []
    let shown = metrics.filter { !$0.name.hasPrefix(EvaluationName.loss) }
    return Array((shown.isEmpty ? metrics : shown).prefix(3))
  }

  /// The stages, those that were stopped early in front: what is asked of the last stage is asked of one that ended.
  private var stoppedFirst: [RunStage] { stages.filter(\.isPaused) + stages.filter { !$0.isPaused } }

  /// The same for one line: "accuracy 0.7950".
  public var result: String { shownMetrics.map { "\(EvaluationName.bare($0.name)) \(numberText($0.value))" }.joined(separator: ", ") }

  /// A value by name: of the run itself (`status`, `seed`), a parameter, a metric of the last stage that has it (`accuracy`), or of a
  /// stage (`rte.accuracy`). nil: the run has none of this name.
  public func value(_ name: String) -> JSONValue? {
    if name == "name" { return .string(self.name) }
    if name == "path" { return .string(path) }
    if !["parameters", "stages"].contains(name), let value = facts[name] { return value }
    if let value = parameters[name] { return value }
    for stage in stoppedFirst.reversed() {
      for metric in stage.metrics
      where [metric.name, EvaluationName.bare(metric.name)].contains(where: { name == $0 || name == "\(stage.name).\($0)" }) {
        return .double(metric.value)
      }
    }
    return nil
  }

  /// The names that `value` knows.
  var names: Set<String> {
    let metrics = stages.flatMap { stage in
      stage.metrics.flatMap { [EvaluationName.bare($0.name), "\(stage.name).\(EvaluationName.bare($0.name))", $0.name] }
    }
    return Set(["name", "path", "note"] + facts.keys.filter { !["parameters", "stages"].contains($0) } + parameters.keys + metrics)
  }
}
