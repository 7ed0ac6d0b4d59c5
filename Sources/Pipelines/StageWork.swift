import Diagnostics
import Files
import Foundation

/// A stage under way, locked for this process: a place for its saved states and its result.
///
/// Dropping the object without `finish` leaves the saved states for the next attempt.
public final class StageWork {
  public let key: StageKey
  private let folder: String
  private let finishedFolder: String
  private let warn: (String) -> Void
  private let willFinish: () throws -> Void
  private var lock: FileLock?

  /// States kept on disk: the newest, and one before it in case the disk damages the newest.
  static let keptStates = 2

  init(
    key: StageKey, folder: String, finishedFolder: String, lock: FileLock,
    warn: @escaping (String) -> Void, willFinish: @escaping () throws -> Void
  ) throws {
    self.key = key
    self.folder = folder
    self.finishedFolder = finishedFolder
    self.lock = lock
    self.warn = warn
    self.willFinish = willFinish
    try AtomicFile.write(.object(StageStore.facts(of: key)), to: folder + "/stage.json")
  }

  /// Whether there is something saved to go on from.
  public var isResumed: Bool { StageStore.hasState(in: folder) }

  /// A file of the work's that grows by pieces: those that were on the disk when the work was cut off are there.
  public func partialFile(_ name: String) throws -> PartialFile {
    try requireOpen()
    return try PartialFile(folder + "/" + name, key: key.digest.hex)
  }

  /// Saves where the stage is. `body` writes any files into the folder that it gets; only when it
  /// is through, and everything is on the disk, does the state count, and older ones go.
  ///
  /// - Parameter facts: small values to read back with the state, such as the step.
  public func saveState(
    _ facts: JSONObject = JSONObject(), _ body: (_ folder: String) throws -> Void
  ) throws {
    try requireOpen()
    let numbers = stateNumbers()
    let next = (numbers.last ?? 0) + 1
    try AtomicFolder.write(to: statePath(next), replace: true) { temporary in
      try body(temporary)
      try FolderManifest.write(facts, in: temporary)
    }
    for number in numbers.dropLast(Self.keptStates - 1) {
      removeTree(statePath(number))
    }
  }

  /// Where a saved state is, and its facts.
  public struct State: Sendable {
    public let folder: String
    public let facts: JSONObject
  }

  /// The last saved state, every file verified; an older one (with a warning) if the last is
  /// damaged; nil if there is none.
  public func loadState() throws -> State? {
    try requireOpen()
    for number in stateNumbers().reversed() {
      let path = statePath(number)
      do {
        return State(folder: path, facts: try FolderManifest(verifying: path).facts)
      } catch let error as EngineError {
        warn("stage '\(key.name)': a saved state is damaged and not used: \(error)")
        // Out of the way, so that the next save does not count on it.
        removeTree(path)
      }
    }
    return nil
  }

  /// Stores the result, in one step, and ends the work. `body` writes the result's files into the
  /// folder that it gets.
  ///
  /// - Parameter facts: small values to keep with the result, such as metrics.
  public func finish(
    _ facts: JSONObject = JSONObject(), _ body: (_ folder: String) throws -> Void
  ) throws -> StoredStage {
    try requireOpen()
    var all = StageStore.facts(of: key)
    all["facts"] = .object(facts)
    try AtomicFolder.write(to: finishedFolder) { temporary in
      try body(temporary)
      try FolderManifest.write(all, in: temporary)
      try willFinish()
    }
    // The lock file goes with the folder, while the lock is held: `FileLock` copes with that.
    StageStore.discard(folder, stages: FilePath.folder(of: folder))
    lock = nil
    return StoredStage(key: key, folder: finishedFolder, facts: facts)
  }

  /// A folder for files that the work needs only while it is under way.
  public var scratchFolder: String { folder }

  /// Gives up the lock; the saved states stay.
  public func close() { lock = nil }

  private func requireOpen() throws {
    if lock == nil { throw EngineError(.argument, "stage '\(key.name)': is closed") }
  }

  private func statePath(_ number: Int) -> String { folder + "/state-\(number)" }

  private func stateNumbers() -> [Int] {
    let names = (try? AtomicFolder.names(in: folder)) ?? []
    return names.filter { $0.hasPrefix("state-") }
      .compactMap { Int($0.dropFirst("state-".count)) }
      .filter { $0 > 0 && $0 < .max }.sorted()
  }
}
