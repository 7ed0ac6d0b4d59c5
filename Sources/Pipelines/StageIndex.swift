import Files
import Foundation

/// Which keys results are stored under for a stage's name, so that the nearest one can be found without reading the results
/// of all other stages.
///
/// `<folder>/<digest of the name>/<digest of the key>.json` holds the name and the inputs of one key. Every key is a file of its
/// own that is renamed into place before its result is, so processes need no lock, and no result is without an entry; an entry
/// without a result says nothing. The file `complete` tells that all results have their entries: without it, they are all
/// entered again.
struct StageIndex {
  let folder: String

  /// Keys that are looked at for one name, the newest.
  static let mostKeys = 32

  private var mark: String { folder + "/complete" }

  /// Whether every stored result has an entry.
  var isComplete: Bool { fileExists(mark) }

  func markComplete() throws {
    try AtomicFile.write("", to: writable(mark))
  }

  /// Enters a key, again as the newest if it is there.
  func add(_ key: StageKey) throws {
    try AtomicFile.write(.object(StageStore.facts(of: key)), to: writable(file(of: key.digest, named: key.name)))
  }

  func remove(_ key: StageKey) { if let file = try? writable(file(of: key.digest, named: key.name)) { removeTree(file) } }

  /// The newest keys of a name, newest first.
  ///
  /// - Parameter damaged: gives the key whose entry cannot be read, from the result itself; it is then entered again.
  func keys(named name: String, damaged: (Digest) -> StageKey?) -> [StageKey] {
    let place = place(of: name)
    let names = (try? AtomicFolder.names(in: place)) ?? []
    let entries = names.compactMap { entry -> (digest: Digest, seconds: Int, nanoseconds: Int)? in
      var status = stat()
      guard entry.hasSuffix(".json"), let digest = Digest(hex: String(entry.dropLast(5))), stat(place + "/" + entry, &status) == 0
      else { return nil }
      return (digest, status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }
    let newest = entries.sorted { ($0.seconds, $0.nanoseconds, $0.digest.hex) > ($1.seconds, $1.nanoseconds, $1.digest.hex) }
    return newest.prefix(Self.mostKeys).compactMap { entry in
      let facts = (try? JSONValue(file: file(of: entry.digest, named: name)))?.objectValue
      if let key = facts.flatMap(StageStore.key(in:)), key.digest == entry.digest { return key }
      guard let key = damaged(entry.digest), key.digest == entry.digest, key.name == name else { return nil }
      try? add(key)
      return key
    }
  }

  /// The same path, its folders made; throws where a link in the cache leads elsewhere.
  private func writable(_ path: String) throws -> String {
    let cache = FilePath.folder(of: folder)
    return try OwnFolder(cache).place(FilePath.name(of: folder) + String(path.dropFirst(folder.count)))
  }

  private func place(of name: String) -> String { folder + "/" + Digest(of: .string(name)).hex }

  private func file(of digest: Digest, named name: String) -> String { place(of: name) + "/" + digest.hex + ".json" }
}
