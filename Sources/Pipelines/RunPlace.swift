import Diagnostics
import Files
import Foundation

/// A script, or a Lua file that it required, as it was when it was read.
public struct RunScript: Sendable {
  public let path: String
  public let text: String
  /// What messages call it: its path, unless it came from no file.
  public let title: String

  public init(path: String, text: String, title: String? = nil) {
    self.path = path
    self.text = text
    self.title = title ?? path
  }

  /// Throws `EngineError` where the file cannot be read.
  public init(file path: String) throws { self.init(path: path, text: try readText(path)) }

  /// The file's name, without folders.
  public var name: String { FilePath.name(of: path) }
}

/// Where run directories are, and who works in them.
enum RunPlace {
  static let lockFile = ".lock"

  /// The user's own choice of folder: new, empty, or that of an earlier run, which it then says.
  static func chosen(_ out: String, commandFile: String) throws -> (path: String, isUsed: Bool) {
    if out.utf8.isEmpty { throw EngineError(.file, "--out: expected a folder, given ''") }
    try FilePath.require(out)
    let path = FilePath.withoutSlashesAtEnd(out)
    guard let kind = fileKind(path) else { return (path, false) }
    guard kind == .folder else { throw EngineError(.file, "--out \(path): is a file, expected a folder") }
    let names = try AtomicFolder.names(in: path)
    if names.isEmpty { return (path, false) }
    guard names.contains(commandFile) else {
      throw EngineError(
        .file, "--out \(path): is not empty and not a run directory", hint: "choose a new folder; nothing in it was touched")
    }
    return (path, true)
  }

  /// Makes an empty folder with a name of its own for a script that started at a time in UTC.
  static func claim(in outputs: String, script: String, start: String) throws -> String {
    let date = Invocation.date(start) ?? Date()
    var seconds = time_t(date.timeIntervalSince1970)
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

  /// The folder itself where `path` is a link to it. Throws for one that the process stands in: its working folder would be gone.
  static func replaceable(_ path: String) throws -> String {
    guard let folder = realPath(path), let here = realPath(".") else {
      throw EngineError(.file, "--overwrite: \(path): cannot be read as a folder")
    }
    if (here + "/").hasPrefix(folder + "/") {
      throw EngineError(.file, "--overwrite: \(path): is the working folder, or holds it", hint: "start from another folder")
    }
    return folder
  }

  static func lock(_ path: String) throws -> FileLock {
    let lockPath = path + "/" + lockFile
    for attempt in 1...4 {
      if let lock = try FileLock(lockPath) { return lock }
      // Whoever looks whether a run works here shares the lock for a moment.
      if attempt < 4 { usleep(10_000) }
    }
    let holder = FileLock.holder(lockPath).map { " (process \($0))" } ?? ""
    throw EngineError(.file, "\(path): another run is using this folder\(holder)")
  }
}
