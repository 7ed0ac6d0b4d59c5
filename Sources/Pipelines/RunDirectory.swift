import Diagnostics
import Files
import Foundation

/// The folder of one run, made to be read by people and other tools:
///
///     command.json      the script, and every command that worked here: arguments, seed, machine, times, how it ended
///     params.json       every parameter's value
///     code/             the script and the Lua files that it required
///     output.txt        what was printed, notes and warnings
///     metrics.jsonl     one row per logged step or evaluation
///     results.json      the report's tables as data
///     tensorboard/      the same numbers as metrics.jsonl, for TensorBoard
///     stages/<name>/    what each stage saved
///
/// A new directory appears whole, with `begin`: a run that fails before there is anything worth keeping leaves none. One that
/// exists is locked from the start, since one process at a time works in a run directory, and is not touched before `begin`.
/// What a finished run left is never replaced by the results of another script, seed or parameters, unless that was asked for.
public final class RunDirectory {
  /// Where it is, or will be; a folder without a name of the user's own is named by `begin`.
  public private(set) var path: String
  /// The directory, if it is there.
  public var folder: String? { isBegun || earlier != nil ? path : nil }
  /// The commands that worked here before; nil for a new directory.
  public let earlier: RunCommand?
  /// Whether `begin` is through, and the directory there to be written to.
  public private(set) var isBegun = false
  /// Called when the directory is there.
  public var onBegin: (_ path: String) -> Void = { _ in }

  /// The option that named the directory, for messages.
  private let option: Option
  private let isOverwritten: Bool
  private let outputs: String
  private var lock: FileLock?
  private var log: MetricsLog?
  private let output = RunOutput()

  private var script = RunScript(path: "", text: "")
  private var invocation = Invocation()
  private var started = Date()
  private var command: RunCommand
  private var parameters: JSONObject?
  private var differences: [String] = []
  /// Why nothing may be written, if so; a script may have caught it.
  public private(set) var refusal: EngineError?
  /// Results of a finished run that is run again: they take the old ones' place when all are there.
  private var waitingResults: JSONValue?

  enum Option: String {
    case out = "--out"
    case resume = "--resume"
  }

  static let commandFile = "command.json"
  static let parametersFile = "params.json"
  static let resultsFile = "results.json"
  static let metricsFile = "metrics.jsonl"
  static let outputFile = "output.txt"
  /// The metrics of a finished run that is run again.
  private static let newMetricsFile = ".metrics.jsonl.new"
  /// What the run itself keeps at the top of its directory: no place for a script's files.
  public static let ownNames: Set<String> = [
    commandFile, parametersFile, metricsFile, resultsFile, outputFile, newMetricsFile, "code", "stages", TensorBoardLog.folderName,
    RunNotes.recordName,
    RunPlace.lockFile,
  ]

  // MARK: - Opening

  /// The directory of a new run, or one of the same script again. Nothing is written yet.
  ///
  /// - Parameters:
  ///   - out: where; nil takes `<outputs>/<script>-<yyyyMMdd-HHmmss>`, with `-2` and so on if that exists.
  ///   - overwrite: puts the new run in the place of one that is there, finished or not, when it begins.
  ///   - outputs: the folder of runs without an `out`, relative to the working folder.
  ///
  /// Throws `EngineError` (`.file`, `.data`) for an `out` that holds other files, is in use, or whose `command.json` is
  /// damaged.
  public static func create(out: String?, overwrite: Bool = false, outputs: String = "outputs") throws -> RunDirectory {
    guard let out else { return RunDirectory(nil, nil, .out, outputs, overwrite, lock: nil) }
    let (path, isUsed) = try RunPlace.chosen(out, commandFile: commandFile)
    guard isUsed else { return RunDirectory(path, nil, .out, outputs, overwrite, lock: nil) }
    return try open(path, .out, overwrite)
  }

  /// Makes an empty folder for several runs of a script: `<outputs>/<script>-<yyyyMMdd-HHmmss>`. Throws `EngineError` (`.file`).
  package static func claimFolder(for script: String, outputs: String = "outputs", now: Date = Date()) throws -> String {
    try RunPlace.claim(in: outputs, script: FilePath.name(of: script), start: Invocation.time(now))
  }

  /// The directory of an earlier run, to go on with it. Nothing is written yet.
  ///
  /// Throws `EngineError` (`.file`, `.data`) if `path` is no run directory, is in use, or its `command.json` is damaged.
  public static func resume(_ path: String, overwrite: Bool = false) throws -> RunDirectory {
    try FilePath.require(path)
    guard fileExists(path + "/" + commandFile) else {
      let exists = fileExists(path)
      throw EngineError(
        .file, "--resume \(path): " + (exists ? "is not a run directory" : "no such folder"),
        hint: exists ? "it has no \(commandFile)" : nil)
    }
    return try open(path, .resume, overwrite)
  }

  private static func open(_ path: String, _ option: Option, _ overwrite: Bool) throws -> RunDirectory {
    let lock = try RunPlace.lock(path)
    return RunDirectory(path, try RunCommand(jsonFile: path + "/" + commandFile), option, "", overwrite, lock: lock)
  }

  private init(_ path: String?, _ earlier: RunCommand?, _ option: Option, _ outputs: String, _ overwrite: Bool, lock: FileLock?) {
    self.path = path ?? outputs
    self.earlier = earlier
    self.option = option
    self.outputs = path == nil ? outputs : ""
    isOverwritten = overwrite && earlier != nil
    self.lock = lock
    command = RunCommand()
  }

  /// The words of the command that runs here, behind the program's name.
  public var arguments: [String] { Array(invocation.argv.dropFirst()) }

  /// Whether a run finished here, and is to stay.
  public var isKept: Bool { !isOverwritten && earlier?.isFinished ?? false }

  // MARK: - What it is a run of

  /// Says what is run, and how. Throws `EngineError` (`.argument`) where the directory holds a run of another script, or a
  /// finished one that differs.
  public func prepare(_ script: RunScript, _ invocation: Invocation, now: Date = Date()) throws {
    try FilePath.require(script.path)
    guard FilePath.isPlainName(script.name) else { throw EngineError(.file, "'\(script.path)' is no path of a script") }
    self.script = script
    self.invocation = invocation
    self.invocation.status = .running
    self.invocation.start = Invocation.time(now)
    started = now
    guard let earlier, let last = earlier.invocations.last, !isOverwritten else {
      command.script = script.name
      command.scriptPath = script.path
      return
    }
    command = earlier
    command.closeKilled()
    if earlier.script != script.name {
      throw refuse("\(option.rawValue) \(path): holds a run of \(earlier.script)")
    }
    let stored = codeFolder + "/" + script.name
    if isKept || fileExists(stored) {
      differences += RunDifferences.between(try readText(stored), script.text, name: "the script")
    }
    differences += RunDifferences.between(last, invocation)
    try refuseDifferences()
  }

  /// Says the values of the script's parameters. Throws `EngineError` (`.argument`) where a finished run had others.
  public func declare(_ values: JSONObject) throws {
    parameters = values
    guard earlier != nil, !isOverwritten else { return }
    differences += RunDifferences.between(try storedParameters(), values)
    try refuseDifferences()
  }

  /// Throws `EngineError` (`.argument`) where a finished run has another result under this stage's name.
  public func checkStage(_ key: StageKey) throws {
    guard isKept, let stored = try StageStore.key(inFolder: stageFolder(key.name)), stored != key else { return }
    let reasons = ValueDifference.between(stored.inputs, key.inputs).prefix(2).map { "\($0)" }
    differences.append("stage '\(key.name)' would be another: " + reasons.joined(separator: ", "))
    try refuseDifferences()
  }

  private func refuseDifferences() throws {
    guard isKept, !differences.isEmpty else { return }
    let some = differences.prefix(4).joined(separator: "; ") + (differences.count > 4 ? "; and \(differences.count - 4) more" : "")
    throw refuse("\(option.rawValue) \(path): holds a finished run that differs: \(some)")
  }

  /// The error, which `begin` gives again to a script that caught it.
  private func refuse(_ message: String) -> EngineError {
    let other = option == .out ? "choose another --out" : "start a new run"
    let error = EngineError(.argument, message, hint: "\(other), or replace it with --overwrite; nothing in it was touched")
    refusal = error
    return error
  }

  // MARK: - Beginning and end

  /// Makes the directory, or goes on in it: from here on there is something to keep. Once is enough, more does no harm.
  ///
  /// - Parameter sources: the Lua files that the script has required so far.
  ///
  /// Throws `EngineError`: `.file` where nothing can be written, and what `prepare` and `declare` threw.
  public func begin(sources: [RunScript] = []) throws {
    if isBegun { return }
    if let refusal { throw refusal }
    command.invocations.append(invocation)
    do {
      if earlier == nil || isOverwritten { try make(sources) } else { try goOn(sources) }
    } catch {
      command.invocations.removeLast()
      throw error
    }
    let log = try MetricsLog(path + "/" + (isKept ? Self.newMetricsFile : Self.metricsFile))
    self.log = log
    isBegun = true
    output.open(path + "/" + Self.outputFile, separator: "---- \(invocation.start): \(invocation.argv.joined(separator: " "))")
    onBegin(path)
  }

  private func make(_ sources: [RunScript]) throws {
    let isClaimed = !outputs.isEmpty
    if isClaimed { path = try RunPlace.claim(in: outputs, script: script.name, start: invocation.start) }
    // A link is followed, so that the folder that it leads to is replaced, and not the link.
    let target = isOverwritten ? try RunPlace.replaceable(path) : path
    var newLock: FileLock?
    do {
      // A new directory appears whole and locked, so that a kill leaves one that can be resumed, or none.
      try AtomicFolder.write(to: target, replace: isOverwritten) { folder in
        newLock = try FileLock(folder + "/" + RunPlace.lockFile)
        try writeStart(sources, in: folder)
      }
    } catch {
      if isClaimed { rmdir(path) }
      throw error
    }
    lock = newLock
  }

  private func goOn(_ sources: [RunScript]) throws {
    for (name, text) in names(sources) where isKept && fileExists(codeFolder + "/" + name) {
      differences += RunDifferences.between(try readText(codeFolder + "/" + name), text, name: name)
    }
    try refuseDifferences()
    removeTree(path + "/" + Self.newMetricsFile)
    if isKept {
      let metrics = path + "/" + Self.metricsFile
      let rows = fileExists(metrics) ? try readText(metrics) : ""
      try AtomicFile.write(rows, to: path + "/" + Self.newMetricsFile)
      try AtomicFile.write(.object(command.json), to: path + "/" + Self.commandFile)
      return
    }
    if option == .out && !differences.isEmpty {
      removeTree(path + "/" + Self.metricsFile)
      removeTree(path + "/" + Self.resultsFile)
    }
    try writeStart(sources, in: path)
  }

  private func writeStart(_ sources: [RunScript], in folder: String) throws {
    try AtomicFile.write(script.text, to: OwnFolder(folder).place("code/" + script.name))
    try write(sources, in: folder)
    if parameters != nil || earlier == nil || isOverwritten {
      try AtomicFile.write(.object(parameters ?? JSONObject()), to: folder + "/" + Self.parametersFile)
    }
    try AtomicFile.write(.object(command.json), to: folder + "/" + Self.commandFile)
  }

  private func write(_ sources: [RunScript], in folder: String) throws {
    for (name, text) in names(sources) { try AtomicFile.write(text, to: OwnFolder(folder).place("code/" + name)) }
  }

  /// Files of one name from several folders get numbers, in the order in which they were required; the script's own name is taken.
  private func names(_ sources: [RunScript]) -> [(name: String, text: String)] {
    var counts = [script.name: 1]
    return sources.map { source in
      let count = counts[source.name, default: 0] + 1
      counts[source.name] = count
      return (count == 1 ? source.name : "\(count)-\(source.name)", source.text)
    }
  }

  /// Notes how the command ended. One that finished without anything to keep has its directory now.
  ///
  /// - Parameters:
  ///   - error: the line that it ended with, if it did not finish.
  ///   - sources: all Lua files that the script required.
  ///
  /// Throws `EngineError` (`.file`) where something cannot be written.
  public func end(_ status: RunStatus, exitCode: Int = 0, error: String? = nil, sources: [RunScript] = [], now: Date = Date()) throws {
    if status == .finished { try begin(sources: sources) }
    guard isBegun || earlier != nil && !isOverwritten && refusal == nil else { return }
    if !isBegun { command.invocations.append(invocation) }
    if isBegun {
      try log?.flush()
      if status == .finished { try finish(sources) }
      output.synchronize()
    }
    command.invocations[command.invocations.count - 1].finish(
      status, exitCode: exitCode, error: error, after: now.timeIntervalSince(started))
    try AtomicFile.write(.object(command.json), to: path + "/" + Self.commandFile)
  }

  /// Replaces the script, which somebody writes while it runs. Throws `EngineError` (`.file`) where it cannot be written.
  public func rewrite(_ text: String) throws {
    script = RunScript(path: script.path, text: text, title: script.title)
    if isBegun, !isKept { try AtomicFile.write(text, to: OwnFolder(path).place("code/" + script.name)) }
  }

  private func finish(_ sources: [RunScript]) throws {
    try write(sources, in: path)
    guard isKept else { return }
    try AtomicFile.write(readText(path + "/" + Self.newMetricsFile), to: path + "/" + Self.metricsFile)
    removeTree(path + "/" + Self.newMetricsFile)
    if let waitingResults { try AtomicFile.write(waitingResults, to: path + "/" + Self.resultsFile) }
  }

  // MARK: - Content

  /// The rows of `metrics.jsonl`. Throws what `begin` throws.
  public func metrics() throws -> MetricsLog {
    try begin()
    guard let log else { throw EngineError(.file, "\(path)/\(Self.metricsFile): is not open") }
    return log
  }

  /// Adds what was printed, or a note, to `output.txt`: one line, or several.
  public func record(_ text: String) { output.append(text) }

  /// Why `output.txt` lacks lines, if it does.
  public var outputFailure: EngineError? { output.failure }

  /// The values of `params.json`. Throws `EngineError` (`.data`) for what is no parameter's value.
  public func storedParameters() throws -> JSONObject {
    let file = path + "/" + Self.parametersFile
    return try ParameterSet.values(JSONValue(file: file), source: file)
  }

  /// Replaces `results.json`; where a finished run is run again, only when that finishes.
  public func writeResults(_ value: JSONValue) throws {
    try begin()
    if isKept { waitingResults = value } else { try AtomicFile.write(value, to: path + "/" + Self.resultsFile) }
  }

  /// The folder of the stored script and Lua files.
  public var codeFolder: String { path + "/code" }

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
  ///
  /// - Parameter complete: adds files of the run's own; it gets the new folder, and the older one.
  public func publish(_ stage: StoredStage, complete: (_ folder: String, _ earlier: String) throws -> Void = { _, _ in }) throws {
    try begin()
    let place = try place("stages/" + Self.stageFolderName(stage.key.name))
    try AtomicFolder.write(to: place, isDurable: false) { temporary in
      for name in try AtomicFolder.names(in: stage.folder) {
        try AtomicFolder.share(stage.folder + "/" + name, at: temporary + "/" + name)
      }
      try complete(temporary, place)
    }
  }
}
