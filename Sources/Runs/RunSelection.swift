import Diagnostics
import Files
import Foundation
import Pipelines

/// The runs that a command names, and what it changes of them.
public struct RunSelection {
  private let runs: () throws -> [RunSummary]
  private var known: [RunSummary]?

  /// - Parameter runs: the list in which names are looked up; asked where a word is no path.
  public init(_ runs: @escaping () throws -> [RunSummary]) { self.runs = runs }

  /// The run directory that a word means: a path, or the name of one that the index has.
  ///
  /// Throws `EngineError`: `.file` where there is none, `.argument` where several have the name.
  public mutating func run(_ word: String) throws -> RunFolder {
    let path = FilePath.withoutSlashesAtEnd(FilePath.expandHome(word))
    if fileExists(path) { return try RunFolder(path) }
    let all = try known ?? runs()
    known = all
    let found = all.filter { $0.name == word }
    guard found.count < 2 else {
      throw EngineError(
        .argument, "'\(word)': \(found.count) runs have this name", hint: "give the path: " + found.map(\.path).joined(separator: ", "))
    }
    guard let only = found.first else {
      throw EngineError(.file, "\(word): no such run directory, and no run of this name", hint: suggestion(for: word, among: all.map(\.name)))
    }
    return try RunFolder(only.path)
  }

  /// Removes run directories. `confirm` gets the question, and says whether to go on.
  ///
  /// Nothing is removed unless all of them may be: each is a run directory in itself, not a link to one, no process works in it, it holds
  /// no other run, and the process does not stand in it.
  public static func remove(_ folders: [RunFolder], confirm: (String) throws -> Bool) throws -> Int {
    var locks: [RunLock] = []
    for run in folders {
      guard fileKind(run.path, followingLinks: false) == .folder, let real = realPath(run.path) else {
        throw EngineError(.file, "\(run.path): is a link, and only folders themselves are removed")
      }
      guard let here = realPath("."), !(here + "/").hasPrefix(real + "/") else {
        throw EngineError(.file, "\(run.path): is the working folder, or holds it", hint: "start from another folder")
      }
      if let inner = try AtomicFolder.names(in: run.path).first(where: { RunFolder.isRun(run.path + "/" + $0) }) {
        throw EngineError(.file, "\(run.path): holds another run, \(inner)", hint: "remove that one first, or move it elsewhere")
      }
      locks.append(try RunLock(run))
    }
    let size = folders.reduce(0) { $0 + folderSize($1.path) }
    let what = folders.count == 1 ? folders[0].path : "\(folders.count) run directories (\(folders.map(\.path).joined(separator: ", ")))"
    guard try confirm("remove \(what), \(byteCount(size))?") else { return 0 }
    for run in folders {
      // Renamed first: a kill in between leaves nothing that looks like a run.
      let doomed = FilePath.join(FilePath.folder(of: run.path), ".removed-\(run.name)-\(UUID().uuidString)")
      guard rename(run.path, doomed) == 0 else { throw EngineError(.file, "\(run.path): cannot be removed: \(String(cString: strerror(errno)))") }
      removeTree(doomed)
      if fileExists(doomed) { throw EngineError(.file, "\(doomed): could not be removed whole") }
    }
    withExtendedLifetime(locks) {}
    return folders.count
  }
}

/// Bytes that the files of a folder take. Files with other names elsewhere, as those that runs share with the cache, count where they are
/// met.
public func folderSize(_ path: String) -> Int {
  guard fileKind(path, followingLinks: false) == .folder else { return fileFacts(path)?.size ?? 0 }
  return ((try? AtomicFolder.names(in: path)) ?? []).reduce(0) { $0 + folderSize(path + "/" + $1) }
}
