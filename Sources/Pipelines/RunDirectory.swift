import Diagnostics
import Files
import Foundation

/// The folder of one run, made to be read by people and other tools:
///
///     command.json      argv, version, threads, seed, machine: how the run was started
///     params.json       every parameter's value
///     code/             the script and the Lua files that it required
///     metrics.jsonl     one row per logged step or evaluation
///     results.json      the report's tables as data
///     stages/<name>/    what each stage saved
///
/// Every file is replaced whole. The object holds a lock: one process at a time works in a run
/// directory.
public final class RunDirectory {
  public let path: String
  /// The rows of `metrics.jsonl`.
  public let metrics: MetricsLog
  private let lock: FileLock

  private static let commandFile = "command.json"
  private static let parametersFile = "params.json"
  /// What the run itself keeps at the top of its directory: no place for a script's files.
  public static let ownNames: Set<String> = [commandFile, parametersFile, "metrics.jsonl", "results.json", "code", "stages", ".lock"]

  /// Creates the directory of a new run.
  ///
  /// - Parameters:
  ///   - out: where; nil takes `<outputs>/<script>-<yyyyMMdd-HHmmss>`, with `-2` and so on if that
  ///     exists. An earlier run's directory is used again: its files are replaced, its metrics
  ///     start anew.
  ///   - scriptPath: the script; its text is stored under its own name.
  ///   - outputs: the folder of runs without an `out`, relative to the working folder.
  ///   - command: what `command.json` holds beside the script's path and `HostFacts`.
  ///
  /// Throws `EngineError` (`.file`) for an `out` that holds other files, is in use, or cannot be
  /// written.
  public static func create(
    out: String?, scriptPath: String, scriptText: String, parameters: JSONObject,
    command: JSONObject, outputs: String = "outputs", now: Date = Date()
  ) throws -> RunDirectory {
    let name = FilePath.name(of: scriptPath)
    let path = try out.map { try prepare($0) } ?? createDefault(in: outputs, script: name, now: now)
    var facts = command
    facts["script"] = .string(name)
    facts["script_path"] = .string(scriptPath)
    facts["host"] = .object(HostFacts.current().json)
    func writeFiles(_ folder: String) throws {
      try AtomicFile.write(scriptText, to: OwnFolder(folder).place("code/" + inside(name)))
      try AtomicFile.write(.object(parameters), to: folder + "/" + parametersFile)
      try AtomicFile.write(.object(facts), to: folder + "/" + commandFile)
    }
    let isUsed = fileExists(path + "/" + commandFile)
    if isUsed, let other = try self.command(in: path)["script"]?.stringValue, other != name {
      throw EngineError(.file, "--out \(path): holds a run of \(other)", hint: "choose a new folder; nothing in it was touched")
    }
    // A new directory appears whole, so that a kill leaves one that can be resumed, or none.
    if !isUsed { try AtomicFolder.write(to: path, replace: false, writeFiles) }
    let lock = try lockDirectory(path)
    if isUsed {
      removeTree(path + "/metrics.jsonl")
      removeTree(path + "/results.json")
      try writeFiles(path)
    }
    return try RunDirectory(path, lock: lock)
  }

  /// Opens an earlier run to go on with it. A torn last line of `metrics.jsonl` is dropped.
  ///
  /// Throws `EngineError` (`.file`, `.data`) if `path` is no run directory or is in use.
  public static func resume(_ path: String) throws -> RunDirectory {
    try FilePath.require(path)
    guard fileExists(path + "/" + commandFile) else {
      let exists = fileExists(path)
      throw EngineError(
        .file, "--resume \(path): " + (exists ? "is not a run directory" : "no such folder"),
        hint: exists ? "it has no \(commandFile)" : nil)
    }
    return try RunDirectory(path, lock: lockDirectory(path))
  }

  private init(_ path: String, lock: FileLock) throws {
    self.path = path
    self.lock = lock
    metrics = try MetricsLog(path + "/metrics.jsonl")
  }

  // MARK: - Content

  /// What the `command.json` of a run directory holds, whether or not a process works in it.
  public static func command(in path: String) throws -> JSONObject {
    let file = path + "/" + commandFile
    try FilePath.require(file)
    guard fileExists(file) else {
      throw EngineError(.file, "\(path): is no run directory: it has no \(commandFile)")
    }
    guard let object = try JSONValue(file: file).objectValue else {
      throw EngineError(.data, "\(file): expected a JSON object")
    }
    return object
  }

  /// What `command.json` holds.
  public func command() throws -> JSONObject { try object(Self.commandFile) }

  /// The values of `params.json`.
  public func parameters() throws -> JSONObject { try object(Self.parametersFile) }

  /// Replaces `params.json`.
  public func writeParameters(_ values: JSONObject) throws {
    try AtomicFile.write(.object(values), to: path + "/" + Self.parametersFile)
  }

  /// Replaces `results.json`.
  public func writeResults(_ value: JSONValue) throws {
    try AtomicFile.write(value, to: path + "/results.json")
  }

  /// The folder of the stored script and Lua files.
  public var codeFolder: String { path + "/code" }

  /// The stored copy of the script.
  public func scriptPath() throws -> String {
    guard let name = try command()["script"]?.stringValue else {
      throw EngineError(.data, "\(path)/\(Self.commandFile): missing key 'script'")
    }
    return codeFolder + "/" + (try Self.inside(name))
  }

  /// Stores a Lua file under `code/`. `relativePath` must stay inside that folder.
  public func addSource(_ text: String, at relativePath: String) throws {
    try AtomicFile.write(text, to: place("code/" + Self.inside(relativePath)))
  }

  /// The folder of a stage. Spaces become '_', and so do letters that could lead elsewhere; then, and where the name is cut,
  /// a part of its digest keeps it apart from others.
  public func stageFolder(_ name: String) -> String { path + "/stages/" + Self.stageFolderName(name) }

  /// The path of a file or folder that is to be written, relative to the directory. Throws `EngineError` (`.file`) for one
  /// that leads out of it, by ".." or a link.
  public func place(_ relativePath: String) throws -> String { try OwnFolder(path).place(relativePath) }

  /// The name of that folder.
  public static func stageFolderName(_ name: String) -> String {
    let plain = name.replacingOccurrences(of: " ", with: "_")
    // Scalar by scalar: a letter can combine with a slash. The longest name has 255 bytes, with a temporary one's additions.
    let scalars = plain.unicodeScalars.map { isPlain($0) ? $0 : "_" }
    var safe = ""
    for scalar in scalars.prefix(80) where safe.utf8.count < 180 { safe.unicodeScalars.append(scalar) }
    if safe.isEmpty || safe.hasPrefix(".") { safe = "_" + safe }
    if safe != plain { safe += "-" + Digest(of: .string(name)).hex.prefix(8) }
    return safe
  }

  private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: return true
    default: return CharacterSet.alphanumerics.contains(scalar) || "-_.+=".unicodeScalars.contains(scalar)
    }
  }

  /// Puts a stage's files into its folder, in place of an older one: copies of small files, links to large ones. The store has
  /// them on the disk already, and a resumed run puts them there again.
  public func publish(_ stage: StoredStage) throws {
    try AtomicFolder.write(to: place("stages/" + Self.stageFolderName(stage.key.name)), isDurable: false) { temporary in
      for name in try AtomicFolder.names(in: stage.folder) {
        try AtomicFolder.share(stage.folder + "/" + name, at: temporary + "/" + name)
      }
    }
  }

  private func object(_ file: String) throws -> JSONObject {
    let json = try JSONValue(file: path + "/" + file)
    guard let object = json.objectValue else {
      throw EngineError(.data, "\(path)/\(file): expected an object, found \(json.kindName)")
    }
    return object
  }

  // MARK: - Places

  private static func inside(_ relativePath: String) throws -> String {
    try FilePath.require(relativePath)
    let parts = FilePath.parts(of: relativePath)
    if parts.isEmpty || !parts.allSatisfy(FilePath.isPlainName) || FilePath.isAbsolute(relativePath) {
      throw EngineError(.file, "'\(relativePath)' leads out of the run directory")
    }
    return relativePath
  }

  /// The user's own choice of folder: new, empty, or that of an earlier run.
  private static func prepare(_ out: String) throws -> String {
    if out.utf8.isEmpty { throw EngineError(.file, "--out: expected a folder, given ''") }
    try FilePath.require(out)
    let path = FilePath.withoutSlashesAtEnd(out)
    if let kind = fileKind(path) {
      guard kind == .folder else {
        throw EngineError(.file, "--out \(path): is a file, expected a folder")
      }
      let names = try AtomicFolder.names(in: path)
      if !names.isEmpty && !names.contains(commandFile) {
        throw EngineError(
          .file, "--out \(path): is not empty and not a run directory",
          hint: "choose a new folder; nothing in it was touched")
      }
    }
    return path
  }

  private static func createDefault(
    in outputs: String, script: String, now: Date
  ) throws -> String {
    var seconds = time_t(now.timeIntervalSince1970)
    var local = tm()
    localtime_r(&seconds, &local)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let day = "\(local.tm_year + 1900)" + two(local.tm_mon + 1) + two(local.tm_mday)
    let clock = two(local.tm_hour) + two(local.tm_min) + two(local.tm_sec)
    let stem = FilePath.stem(of: script)
    let base = "\(outputs)/\(stem.isEmpty ? "run" : stem)-\(day)-\(clock)"
    try createFolder(outputs)
    for attempt in 1...1000 {
      let path = attempt == 1 ? base : base + "-\(attempt)"
      // Making the folder is the claim: two runs of one second get two names.
      if mkdir(path, 0o777) == 0 { return path }
      if errno != EEXIST {
        throw EngineError(.file, "\(path): cannot be written: \(String(cString: strerror(errno)))")
      }
    }
    throw EngineError(.file, "\(base): exists a thousand times", hint: "give a folder with --out")
  }

  private static func lockDirectory(_ path: String) throws -> FileLock {
    let lockPath = path + "/.lock"
    if let lock = try FileLock(lockPath) { return lock }
    let holder = FileLock.holder(lockPath).map { " (process \($0))" } ?? ""
    throw EngineError(.file, "\(path): another run is using this folder\(holder)")
  }
}
