import Diagnostics
import Files
import Foundation

/// How a command that worked in a run directory ended.
public enum RunStatus: String, FieldChoice {
  /// It works, or was killed.
  case running
  case finished
  case failed
  /// Stopped by a signal, and resumable.
  case interrupted
}

/// The arithmetic of a run.
public enum RunPrecision: String, FieldChoice {
  case bf16
  case fp32
}

/// One command that worked in a run directory: what was asked for, on which machine, and how it ended.
public struct Invocation: Record, Sendable {
  public var argv: [String] = []
  public var version = ""
  public var workingDirectory = ""
  /// The `name=value` of all `--set` that count: those of the command itself come after those of the run that it resumed.
  public var settings: [String] = []
  public var seed = 42
  public var precision = RunPrecision.fp32
  public var threads = 1
  public var host = HostFacts()
  /// Who multiplied each kind of product, "fp32=avx512": others round in another way.
  public var products: String?
  public internal(set) var status = RunStatus.running
  /// Times in UTC: "2026-01-31T12:00:00Z".
  public internal(set) var start = ""
  public internal(set) var end: String?
  /// Seconds from start to end.
  public internal(set) var duration: Double?
  public internal(set) var exitCode: Int?
  /// The line that the command ended with, unless it finished.
  public internal(set) var error: String?

  public static let recordName = "invocation"
  public static let fields: [Field<Self>] = [
    .value("argv", \.argv, "the command line", required: true),
    .value("version", \.version, "the engine's version", required: true),
    .value("working_directory", \.workingDirectory, "where relative paths began", required: true),
    .value("settings", \.settings, "name=value of every --set", required: true),
    .int("seed", \.seed, "the seed where the script gives none", in: 0..., required: true),
    .value("precision", \.precision, "the arithmetic of products with frozen weights", required: true),
    .int("threads", \.threads, "threads that computed", in: 1...1024, required: true),
    .value("host", \.host, "the machine", required: true),
    .value("products", \.products, "who multiplied each kind of product"),
    .value("status", \.status, "how it ended", required: true),
    .value("start", \.start, "when it began, UTC", required: true),
    .value("end", \.end, "when it ended, UTC"),
    .float("duration", \.duration, "seconds", in: 0...),
    .int("exit_code", \.exitCode, "the exit code", in: 0...255),
    .value("error", \.error, "the line that it ended with"),
  ]

  public init() {}

  public func validate() throws(EngineError) {
    if status == .finished && exitCode == nil { throw EngineError(.data, "missing field 'exit_code', which a finished one has") }
    for (name, time) in [("start", start), ("end", end ?? start)] where Self.date(time) == nil {
      throw EngineError(.data, "'\(name)' must be a time such as 2026-01-31T12:00:00Z, got '\(time)'")
    }
  }

  /// Notes the end. `error` is nil for a command that finished.
  mutating func finish(_ status: RunStatus, exitCode: Int, error: String?, after duration: Double) {
    self.status = status
    self.exitCode = exitCode
    self.error = error
    self.duration = (max(0, duration) * 1000).rounded() / 1000
    end = Self.date(start).map { Self.time($0.addingTimeInterval(duration)) }
  }

  static func time(_ date: Date) -> String { date.formatted(.iso8601) }

  static func date(_ time: String) -> Date? { try? Date(time, strategy: .iso8601) }
}

/// `command.json`: the script of a run directory, and every command that worked in it, the latest last.
public struct RunCommand: Record, Sendable {
  public var script = ""
  /// The script's path as the first command gave it.
  public var scriptPath = ""
  public internal(set) var invocations: [Invocation] = []

  public static let recordName = "command.json"
  public static let fields: [Field<Self>] = [
    .value("script", \.script, "the script's name, under which its copy lies in code", required: true),
    .value("script_path", \.scriptPath, "the script's path as it was given", required: true),
    .value("invocations", \.invocations, "the commands that worked here, the latest last", required: true),
  ]

  public init() {}

  public func validate() throws(EngineError) {
    if !FilePath.isPlainName(script) {
      throw EngineError(.data, "'script' must be the name of a file, got '\(script)'")
    }
    if invocations.isEmpty { throw EngineError(.data, "'invocations' must hold one at least") }
  }

  /// Whether a command finished here: its results are not to be replaced by others.
  public var isFinished: Bool { invocations.contains { $0.status == .finished } }

  /// Of a process that was killed nobody noted the end. Only for whoever holds the directory's lock.
  mutating func closeKilled() {
    for i in invocations.indices where invocations[i].status == .running {
      invocations[i].status = .interrupted
      invocations[i].error = "the process ended without noting why: killed, or the machine stopped"
    }
  }
}
