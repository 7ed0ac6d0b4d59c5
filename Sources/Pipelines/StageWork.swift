import Diagnostics
import Files
import Foundation

/// A stage under way, with its lease: a place for its saved states and its result.
///
/// Dropping the object without `finish` leaves the saved states for the next attempt. Where another process has taken the work over, since
/// this one showed no sign of life, whatever would write throws an `EngineError` (`.file`), and writes nothing.
public final class StageWork {
  public let key: StageKey
  private let folder: String
  private let finishedFolder: String
  private let replacesDamaged: Bool
  private let warn: (String) -> Void
  private let willFinish: () throws -> Void
  private var lease: StageLease?
  private var wasLost = false

  /// States kept on disk: the newest, and one before it in case the disk damages the newest.
  static let keptStates = 2

  init(
    key: StageKey, folder: String, finishedFolder: String, replacesDamaged: Bool, lease: StageLease,
    warn: @escaping (String) -> Void, willFinish: @escaping () throws -> Void
  ) throws {
    self.key = key
    self.folder = folder
    self.finishedFolder = finishedFolder
    self.replacesDamaged = replacesDamaged
    self.lease = lease
    self.warn = warn
    self.willFinish = willFinish
    try AtomicFile.write(.object(StageStore.facts(of: key)), to: folder + "/stage.json")
  }

  /// Whether there is something saved to go on from.
  public var isResumed: Bool { StageStore.hasState(in: folder) }

  /// A file of the work's that grows by pieces: those that were on the disk when the work was cut off are there.
  public func partialFile(_ name: String) throws -> PartialFile {
    try requireHeld()
    return try PartialFile(folder + "/" + name, key: key.digest.hex, isShared: false)
  }

  /// Saves where the stage is. `body` writes any files into the folder that it gets; only when it
  /// is through, and everything is on the disk, does the state count, and older ones go.
  ///
  /// - Parameter facts: small values to read back with the state, such as the step.
  public func saveState(
    _ facts: JSONObject = JSONObject(), _ body: (_ folder: String) throws -> Void
  ) throws {
    try requireHeld()
    let numbers = stateNumbers()
    let next = (numbers.last ?? 0) + 1
    try AtomicFolder.write(to: statePath(next), replace: true) { temporary in
      try body(temporary)
      try FolderManifest.write(facts, in: temporary)
      try requireHeld()
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
    try requireHeld()
    var all = StageStore.facts(of: key)
    all["facts"] = .object(facts)
    do {
      try AtomicFolder.write(to: finishedFolder, replace: replacesDamaged) { temporary in
        try body(temporary)
        try FolderManifest.write(all, in: temporary)
        try requireHeld()
        try willFinish()
      }
    } catch {
      // Another process was faster that had taken the work over a moment ago: others may be reading its result, which has the same bits.
      guard !replacesDamaged, fileExists(finishedFolder) else { throw error }
      end()
      wasLost = true
      throw lostError
    }
    end()
    return StoredStage(key: key, folder: finishedFolder, facts: facts)
  }

  private func end() {
    lease?.end { StageStore.discard(folder, stages: FilePath.folder(of: folder)) }
    lease = nil
  }

  /// A folder for files that the work needs only while it is under way.
  public var scratchFolder: String { folder }

  /// Gives up the lease; the saved states stay.
  public func close() {
    wasLost = isLost
    lease?.release()
    lease = nil
  }

  /// Whether another process has taken the work over.
  public var isLost: Bool { lease?.isLost ?? wasLost }

  private func requireOpen() throws {
    if lease == nil { throw EngineError(.argument, "stage '\(key.name)': is closed") }
  }

  /// Throws unless this process still is the one that works at the stage: before whatever writes.
  public func requireHeld() throws {
    try requireOpen()
    do { try lease?.renew() } catch {
      throw isLost ? lostError : error
    }
  }

  private var lostError: EngineError {
    EngineError(
      .file, "stage '\(key.name)': another process has taken it over, since this one showed no sign of life for a while",
      hint: "nothing was written; give the same command again, and it takes what the other one makes")
  }

  private func statePath(_ number: Int) -> String { folder + "/state-\(number)" }

  private func stateNumbers() -> [Int] { Self.stateNumbers(in: folder) }

  static func stateNumbers(in folder: String) -> [Int] {
    let names = (try? AtomicFolder.names(in: folder)) ?? []
    return names.filter { $0.hasPrefix("state-") }
      .compactMap { Int($0.dropFirst("state-".count)) }
      .filter { $0 > 0 && $0 < .max }.sorted()
  }
}
