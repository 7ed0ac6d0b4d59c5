import Diagnostics
import Files
import Foundation

/// What a stage's result depends on, as a value, and the digest of that value, which names the
/// result.
public struct StageKey: Sendable, Equatable {
  /// The stage's name in the script. Part of the key.
  public let name: String
  /// Everything that determines the result: parameters, digests of models and data, keys of the
  /// stages before, the engine's version.
  public let inputs: JSONValue
  public let digest: Digest

  public init(name: String, inputs: JSONValue) {
    self.name = name
    self.inputs = inputs
    digest = Digest(of: ["name": .string(name), "inputs": inputs] as JSONValue)
  }

  public static func == (a: StageKey, b: StageKey) -> Bool { a.digest == b.digest }
}

/// The finished result of a stage: a folder whose files were verified.
public struct StoredStage: Sendable {
  public let key: StageKey
  /// Holds the files that the stage saved. Read-only for everybody.
  public let folder: String
  /// What the stage said about itself when it finished (metrics, seconds, ...).
  public let facts: JSONObject
}

/// Results of stages, by content: a stage whose inputs were seen before is not run again, and one
/// that was cut off goes on where it last saved.
///
/// Layout under the root: `stages/<digest>/` are finished results, `stages/<digest>.partial/` are
/// stages under way. All changes are renames, so killing a process at any time leaves the old state
/// or the new, and locks go with the process that held them.
public final class StageStore {
  public let root: String
  private let warn: (String) -> Void

  /// - Parameters:
  ///   - root: created when something is stored.
  ///   - warn: takes one line about each damaged result, which then counts as absent.
  public init(
    root: String = StageStore.defaultRoot(), warn: @escaping (String) -> Void = { _ in }
  ) {
    self.root = root
    self.warn = warn
  }

  /// `$PERIGEE_CACHE`, else `$XDG_CACHE_HOME/perigee`, else `~/.cache/perigee`.
  public static func defaultRoot(
    _ environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> String {
    func value(_ key: String) -> String? { environment[key].flatMap { $0.isEmpty ? nil : $0 } }
    if let root = value("PERIGEE_CACHE") { return root }
    if let cache = value("XDG_CACHE_HOME") { return cache + "/perigee" }
    return (value("HOME") ?? NSHomeDirectory()) + "/.cache/perigee"
  }

  /// The finished result of that key, every file verified; nil if there is none, or a damaged one.
  public func lookup(_ key: StageKey) throws -> StoredStage? {
    let folder = finishedFolder(key.digest)
    guard fileExists(folder) else { return nil }
    do {
      let manifest = try FolderManifest(verifying: folder)
      guard let stored = Self.key(in: manifest.facts), stored.digest == key.digest else {
        throw EngineError(.data, "\(folder): holds the result of another stage")
      }
      return StoredStage(
        key: key, folder: folder, facts: manifest.facts["facts"]?.objectValue ?? JSONObject())
    } catch let error as EngineError {
      warn("stage '\(key.name)' runs again, its stored result is damaged: \(error)")
      return nil
    }
  }

  /// What `open` found.
  public enum Opened {
    /// The result is there.
    case finished(StoredStage)
    /// The stage is to be run, by this process alone; maybe from a saved state.
    case begun(StageWork)
  }

  /// Finds the finished result, or begins the stage. If another process is running the same stage,
  /// waits for it, and then uses its result or goes on from its last state.
  ///
  /// - Parameters:
  ///   - onWait: called once if there is a wait, with the other's process number, if known.
  ///   - shouldStop: asked a few times a second during the wait; true ends it with `.interrupted`.
  ///
  /// Throws `EngineError`: `.argument` if this process is already inside the same stage, `.file` if
  /// the store cannot be written.
  public func open(
    _ key: StageKey, onWait: (Int32?) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws -> Opened {
    if let stored = try lookup(key) { return .finished(stored) }
    let folder = partialFolder(key.digest)
    let lockPath = try OwnFolder(root).place("stages/\(FilePath.name(of: folder))/lock")
    _ = try OwnFolder(root).place("stages/\(key.digest.hex)")
    var hasWaited = false
    removeDiscarded()
    while true {
      if let lock = try FileLock(lockPath) {
        // The process that held the lock may have finished the stage.
        if let stored = try lookup(key) {
          discard(folder)
          return .finished(stored)
        }
        let work = try StageWork(
          key: key, folder: folder, finishedFolder: finishedFolder(key.digest), lock: lock,
          warn: warn)
        return .begun(work)
      }
      let holder = FileLock.holder(lockPath)
      if holder == getpid() {
        throw EngineError(.argument, "stage '\(key.name)': is already running in this script")
      }
      if !hasWaited { onWait(holder) }
      hasWaited = true
      if shouldStop() {
        throw EngineError(.interrupted, "stage '\(key.name)': interrupted while waiting")
      }
      usleep(200_000)
    }
  }

  /// Which inputs of the nearest stored stage of the same name differ: the answer to "why does this
  /// stage run again?". Nil if no stage of this name is stored; empty if the very same one is.
  public func why(_ key: StageKey) -> [ValueDifference]? {
    var nearest: [ValueDifference]?
    for summary in list() where summary.key.name == key.name {
      let differences = ValueDifference.between(summary.key.inputs, key.inputs)
      if differences.count < nearest?.count ?? .max { nearest = differences }
    }
    return nearest
  }

  /// A stored stage, finished or not. Its files are not verified.
  public struct Summary: Sendable {
    public let key: StageKey
    public let isFinished: Bool
    public let folder: String
  }

  /// All stored stages, by name and digest. Unreadable ones are left out.
  public func list() -> [Summary] {
    let stages = root + "/stages"
    let names = (try? AtomicFolder.names(in: stages)) ?? []
    let summaries = names.compactMap { name -> Summary? in
      let isFinished = !name.hasSuffix(".partial")
      let hex = isFinished ? name : String(name.dropLast(".partial".count))
      guard let digest = Digest(hex: hex) else { return nil }
      let folder = stages + "/" + name
      let facts =
        isFinished
        ? (try? FolderManifest(reading: folder))?.facts
        : (try? JSONValue(file: folder + "/stage.json"))?.objectValue
      guard let facts, let key = Self.key(in: facts), key.digest == digest else { return nil }
      return Summary(key: key, isFinished: isFinished, folder: folder)
    }
    return summaries.sorted {
      ($0.key.name, $0.key.digest.hex, $0.isFinished ? 0 : 1)
        < ($1.key.name, $1.key.digest.hex, $1.isFinished ? 0 : 1)
    }
  }

  /// Removes a stage, finished or not. False if another process is running it.
  @discardableResult
  public func remove(_ digest: Digest) throws -> Bool {
    let partial = try OwnFolder(root).place("stages/\(digest.hex).partial")
    if fileExists(partial) {
      guard let lock = try FileLock(partial + "/lock") else { return false }
      withExtendedLifetime(lock) { discard(partial) }
    }
    let finished = finishedFolder(digest)
    if fileExists(finished) { discard(finished) }
    return true
  }

  /// Renames before it removes, so that a kill in between leaves nothing that looks like a stage.
  private func discard(_ folder: String) { Self.discard(folder, stages: root + "/stages") }

  static func discard(_ folder: String, stages: String) {
    let doomed = stages + "/.removed-\(getpid())-\(UUID().uuidString)"
    if rename(folder, doomed) == 0 { removeTree(doomed) }
  }

  /// Ends removals that were killed half-way. Two processes may do this at once.
  private func removeDiscarded() {
    let stages = root + "/stages"
    let names = (try? AtomicFolder.names(in: stages)) ?? []
    for name in names where name.hasPrefix(".removed-") {
      removeTree(stages + "/" + name)
    }
  }

  private func finishedFolder(_ digest: Digest) -> String { root + "/stages/" + digest.hex }
  private func partialFolder(_ digest: Digest) -> String { finishedFolder(digest) + ".partial" }

  static func facts(of key: StageKey) -> JSONObject {
    ["name": .string(key.name), "inputs": key.inputs]
  }

  private static func key(in facts: JSONObject) -> StageKey? {
    guard let name = facts["name"]?.stringValue, let inputs = facts["inputs"] else { return nil }
    return StageKey(name: name, inputs: inputs)
  }
}
