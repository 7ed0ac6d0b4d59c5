import Diagnostics
import Files

/// A run directory as a reader finds it, finished or not: what was run, how it ended, what came out. Nothing in it is locked or
/// changed, and a run that works there meanwhile is not disturbed. `RunDirectory` is the writer.
public struct RunFolder: Sendable {
  /// The folder, as it was given, without slashes at its end.
  public let path: String
  /// The script, and every command that worked here.
  public let command: RunCommand
  /// The values of the script's parameters; infinities and NaN are numbers.
  public let parameters: JSONObject
  /// The trainings and other stages whose results are there, in the order in which they ended.
  public let stages: [RunStage]
  /// The report's tables, as `results.json` has them: `title` (if it has one), `columns`, and `rows` as objects.
  public let tables: [JSONObject]
  /// The figures of `report.plot`, as `results.json` has them.
  public let figures: [JSONObject]

  /// Reads everything but the rows of `metrics.jsonl`. A run that has not got so far lacks results, which is no error.
  ///
  /// Throws `EngineError`: `.file` where `path` is no run directory, `.data` where a file of it is damaged.
  public init(_ path: String) throws {
    try FilePath.require(path)
    self.path = FilePath.withoutSlashesAtEnd(path)
    guard Self.isRun(self.path) else {
      throw EngineError(
        .file, "\(path): " + (fileExists(path) ? "is not a run directory: it has no \(RunDirectory.commandFile)" : "no such folder"))
    }
    command = try RunCommand(jsonFile: self.path + "/" + RunDirectory.commandFile)
    let values = self.path + "/" + RunDirectory.parametersFile
    parameters = fileExists(values) ? try ParameterSet.values(JSONValue(file: values), source: values) : JSONObject()
    let file = self.path + "/" + RunDirectory.resultsFile
    let results = fileExists(file) ? try JSONValue(file: file) : .null
    stages = (results["stages"]?.arrayValue ?? []).compactMap { $0.objectValue.map { RunStage(facts: $0) } }
    tables = (results["tables"]?.arrayValue ?? []).compactMap(\.objectValue)
    figures = (results["figures"]?.arrayValue ?? []).compactMap(\.objectValue)
  }

  /// Whether a folder is a run directory, by its name of the file that every one has.
  public static func isRun(_ path: String) -> Bool { fileExists(path + "/" + RunDirectory.commandFile) }

  /// The folder's own name.
  public var name: String { FilePath.name(of: path) }

  /// The last command that worked here.
  public var invocation: Invocation { command.invocations[command.invocations.count - 1] }

  /// How the run stands: that of its last command. `running` means that a process works in the folder now: one that was killed
  /// could not note its end, and is `interrupted`.
  public var status: RunStatus {
    guard invocation.status == .running else { return invocation.status }
    return FileLock.isHeld(path + "/" + RunPlace.lockFile) ? .running : .interrupted
  }

  /// The rows of `metrics.jsonl`, up to the first line that is none: the run may be writing it. Empty where there is no file.
  public func metricRows() throws -> [JSONObject] {
    let file = path + "/" + RunDirectory.metricsFile
    return fileExists(file) ? try MetricsLog.rows(inFile: file) : []
  }

  /// The learning curves of `rows`: for each stage and name the numbers by step, in the order of the rows. What is not a finite
  /// number is left out, and so are names that count (`epoch`, `tokens`).
  public static func curves(_ rows: [JSONObject]) -> [LearningCurve] {
    var curves: [LearningCurve] = []
    var places: [String: Int] = [:]
    for row in rows {
      guard let stage = row["stage"]?.stringValue, let step = row["step"]?.intValue else { continue }
      for (name, value) in row.members where !["step", "epoch", "tokens"].contains(name) {
        guard let number = value.doubleValue, number.isFinite else { continue }
        let id = stage + "\0" + name
        let place = places[id] ?? curves.count
        if place == curves.count {
          curves.append(LearningCurve(stage: stage, name: name))
          places[id] = place
        }
        curves[place].points.append((step, number))
      }
    }
    return curves
  }

  /// Everything that a stage's result depends on, with its digest; nil where the folder of the stage is not there, or damaged.
  /// `inputs` has `arguments`, `model`, `task`, `precision` and others: see `Session.fit`.
  public func key(of stage: String) -> StageKey? { try? StageStore.key(inFolder: stageFolder(stage)) }

  /// The folder of what a stage saved, which need not be there.
  public func stageFolder(_ name: String) -> String { path + "/stages/" + RunDirectory.stageFolderName(name) }

  /// `output.txt`: what the run printed, and notes and warnings, such as why a stage ran again.
  public func output() throws -> String {
    let file = path + "/" + RunDirectory.outputFile
    return fileExists(file) ? try readText(file) : ""
  }
}

/// The result of one stage of a run: its entry in `results.json`.
public struct RunStage: Sendable {
  /// The entry: `stage`, `key`, `metrics`, `seconds`, `tokens`; of a training `trainable`, `total`, `steps`, `adapters`, and where
  /// there are any `best_step`, `peak_tensor_mb`, `endings`, `warnings`, `paused`; of written texts `texts`.
  public let facts: JSONObject

  public init(facts: JSONObject) { self.facts = facts }

  public var name: String { facts["stage"]?.stringValue ?? "" }
  /// Whether the training was paused and did not go on, as a search does with a point that is not worth more: there are numbers, and no
  /// files.
  public var isPaused: Bool { facts["paused"]?.boolValue ?? false }
  /// The name, as tables tell it.
  public var title: String { name + (isPaused ? " (stopped early)" : "") }
  /// The digest that names the result in the stage store, in hexadecimal digits.
  public var key: String { facts["key"]?.stringValue ?? "" }
  /// The metrics of the final weights, by name: "eval_accuracy", "eval_loss", ...
  public var metrics: [(name: String, value: Double)] {
    (facts["metrics"]?.objectValue ?? JSONObject()).members.compactMap { name, value in value.doubleValue.map { (name, $0) } }
  }
}

/// The numbers that a stage logged under one name ("loss", "eval_accuracy"), by step.
public struct LearningCurve: Sendable {
  public let stage: String
  public let name: String
  public internal(set) var points: [(step: Int, value: Double)] = []
}

/// The right to remove a run directory, until the object goes. Throws `EngineError` (`.file`) where a run works there.
public final class RunLock {
  private let lock: FileLock

  public init(_ run: RunFolder) throws { lock = try RunPlace.lock(run.path) }
}
