import Files
import LuaHost
import LuaMethods
import Pipelines
import TestSupport

@testable import Bindings
@testable import Engine

/// A Lua state with all modules of a pipeline, its run directory and stage store in a temporary
/// folder.
final class ScriptHost {
  let state: LuaState
  let session: Session
  /// Where the script may write.
  let runFolder: String
  let definitions: LuaDefinitions
  private final class Output {
    var lines: [String] = []
    var notes: [String] = []
  }
  private let output: Output

  private init(folder: String, mode: Session.Mode, seed: Int, stopping: Bool, interval: Double) throws {
    let output = Output()
    self.output = output
    let runs = (try? AtomicFolder.names(in: folder))?.filter { $0.hasPrefix("run") }.count ?? 0
    runFolder = folder + "/run" + (runs == 0 ? "" : "-\(runs)")
    let directory = mode == .check ? nil : try RunDirectory.create(out: runFolder)
    try directory?.prepare(RunScript(path: "t.lua", text: ""), Invocation())
    try directory?.begin()
    session = Session(
      mode: mode, settings: [], runDirectory: directory, store: StageStore(root: folder + "/store"),
      progress: Pipelines.Progress(style: ProgressStyle(mode: .lines), interval: interval, write: { output.notes.append($0) }), seed: seed,
      print: { output.lines.append($0) })
    definitions = LuaDefinitions(session)
    state = try ScriptState.make(session, RunOptions(), script: folder + "/t.lua", definitions: definitions)
    try state.register(Function("stopping", "Whether a script is to end itself.", returns: "true or false") { stopping })
  }

  /// Calls `body` with a host whose folders go when it returns.
  ///
  /// - Parameters:
  ///   - folder: where to go on from the stages of another host; it stays.
  ///   - interval: seconds between two notes of how far a stage is.
  ///   - stopping: what the global function `stopping` answers, for `TinyTask.stop`.
  static func with<Result>(
    mode: Session.Mode = .run, seed: Int = 42, in folder: String? = nil, stopping: Bool = false, interval: Double = 10,
    _ body: (_ host: ScriptHost, _ folder: String) throws -> Result
  ) throws -> Result {
    func call(_ folder: String) throws -> Result {
      let host = try ScriptHost(folder: folder, mode: mode, seed: seed, stopping: stopping, interval: interval)
      defer { host.state.close() }
      return try body(host, folder)
    }
    if let folder { return try call(folder) }
    return try withTemporaryFolder(call)
  }

  /// What was told about progress, and warnings.
  var notes: [String] { output.notes }

  /// What the script printed, one line each.
  func printed(_ script: String) throws -> [String] {
    output.lines = []
    try state.run(text: script, name: "t.lua")
    return output.lines.flatMap {
      $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }
  }

  /// The message that the script ends with, or nil.
  func failure(_ script: String) throws -> String? {
    do {
      try state.run(text: script, name: "t.lua")
      return nil
    } catch let error as LuaError {
      return error.message
    }
  }
}
