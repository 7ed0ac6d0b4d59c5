import Diagnostics
import Files
import Foundation

/// Results of stages, by content: a stage whose inputs were seen before is not run again, and one
/// that was cut off goes on where it last saved.
///
/// Layout under the root, where 3 is the layout's version: `stages-3/<digest>/` are finished results,
/// `stages-3/<digest>.partial/` are stages under way, and `names-3/` tells which stages have a name
/// (`StageIndex`). All changes are renames, so killing a process at any time leaves the old state or
/// the new. Processes on several machines may share the root over NFS: who works at a stage has its lease (`StageLease`). Other versions'
/// folders are left alone.
public final class StageStore {
  public let root: String
  private let warn: (String) -> Void
  private let index: StageIndex
  private let locks: StageLocks
  private var watch: LeaseWatch?

  /// Where stages are, below the root.
  static let folderName = "stages-3"
  private var stages: String { root + "/" + Self.folderName }

  /// - Parameters:
  ///   - root: created when something is stored.
  ///   - warn: takes one line about each damaged result, which then counts as absent.
  public init(
    root: String = StageStore.defaultRoot(), warn: @escaping (String) -> Void = { _ in }
  ) {
    self.root = root
    self.warn = warn
    index = StageIndex(folder: root + "/names-3")
    locks = StageLocks(root + "/in-use")
  }

  /// `$PERIGEE_CACHE`, else `$XDG_CACHE_HOME/perigee`, else `~/.cache/perigee`. A `~` at the beginning is the home folder, as in
  /// `HF_HOME`: a shell leaves it as it is in quotes, and in files that set the environment.
  public static func defaultRoot(
    _ environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> String {
    func value(_ key: String) -> String? { environment[key].flatMap { $0.isEmpty ? nil : FilePath.expandHome($0, environment) } }
    if let root = value("PERIGEE_CACHE") { return root }
    if let cache = value("XDG_CACHE_HOME") { return cache + "/perigee" }
    return (value("HOME") ?? NSHomeDirectory()) + "/.cache/perigee"
  }

  /// The finished result of that key, every file verified; nil if there is none, or a damaged one.
  public func lookup(_ key: StageKey) throws -> StoredStage? {
    let folder = finishedFolder(key.digest)
    guard fileExists(folder) else { return nil }
    locks.use(key.digest)
    touch(folder)
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

  /// Whether a stage under way has a saved state, which the next attempt goes on from.
  public func hasState(_ key: StageKey) -> Bool { Self.hasState(in: partialFolder(key.digest)) }

  static func hasState(in folder: String) -> Bool {
    let names = (try? AtomicFolder.names(in: folder)) ?? []
    return names.contains { $0.hasPrefix("state-") || $0.hasSuffix(PartialFile.stateEnding) }
  }

  /// What `open` found.
  public enum Opened {
    /// The result is there.
    case finished(StoredStage)
    /// The stage is to be run, by this process alone; maybe from a saved state.
    case begun(StageWork)
  }

  /// What `attempt` found.
  public enum Attempted {
    case opened(Opened)
    /// Another process works at the stage; nil: nobody knows which.
    case held(LeaseName?)
  }

  /// Finds the finished result, or begins the stage. If another process is running the same stage,
  /// waits for it, and then uses its result or goes on from its last state.
  ///
  /// - Parameters:
  ///   - onWait: called once if there is a wait, with the other process, if known.
  ///   - onTakeOver: called where the work of another process is taken over because that one is silent.
  ///   - shouldStop: asked a few times a second during the wait; true ends it with `.interrupted`.
  ///
  /// Throws `EngineError`: `.argument` if this process is already inside the same stage, `.file` if
  /// the store cannot be written.
  public func open(
    _ key: StageKey, onWait: (LeaseName?) -> Void = { _ in }, onTakeOver: (LeaseName) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws -> Opened {
    var hasWaited = false
    while true {
      switch try attempt(key, onTakeOver: onTakeOver) {
      case .opened(let opened): return opened
      case .held(let holder):
        if holder?.process == .current {
          throw EngineError(.argument, "stage '\(key.name)': is already running in this script")
        }
        if !hasWaited { onWait(holder) }
        hasWaited = true
        if shouldStop() {
          throw EngineError(.interrupted, "stage '\(key.name)': interrupted while waiting")
        }
        repeat { usleep(200_000) } while try !mayOpen(key.digest) && !shouldStop()
      }
    }
  }

  /// Whether `attempt` could find more than that another process works at the stage.
  public func mayOpen(_ digest: Digest) throws -> Bool {
    let folder = partialFolder(digest)
    guard fileKind(folder, followingLinks: false) != nil else { return true }
    let watch = try leaseWatch()
    return ((try? watch.leases(in: folder)) ?? []).allSatisfy { watch.isOver($0, in: folder) }
  }

  /// What is there of a stage, without a right to it: the folder of its result or of its newest complete state, which may go at any time;
  /// who works at it.
  ///
  /// - Parameter verifies: whether the state's files are compared with their digests.
  public func newest(_ digest: Digest, verifies: Bool = false) throws -> (folder: String?, isFinished: Bool, holder: LeaseName?) {
    let finished = finishedFolder(digest)
    if fileExists(finished + "/" + FolderManifest.fileName) { return (finished, true, nil) }
    let (folder, watch) = (partialFolder(digest), try leaseWatch())
    let holder = ((try? watch.leases(in: folder)) ?? []).first { !watch.isOver($0, in: folder) }.flatMap { LeaseName($0) }
    let states = StageWork.stateNumbers(in: folder).reversed().lazy.map { folder + "/state-\($0)" }
    return (states.first { (try? verifies ? FolderManifest(verifying: $0) : FolderManifest(reading: $0)) != nil }, false, holder)
  }

  /// The same as `open` without waiting for another process.
  public func attempt(_ key: StageKey, onTakeOver: (LeaseName) -> Void = { _ in }) throws -> Attempted {
    if let stored = try lookup(key) { return .opened(.finished(stored)) }
    let folder = try OwnFolder(root).place("\(Self.folderName)/\(key.digest.hex).partial")
    let isDamaged = fileExists(try OwnFolder(root).place("\(Self.folderName)/\(key.digest.hex)"))
    removeDiscarded()
    let lease: StageLease
    switch try StageLease.take(folder, leaseWatch(), onTakeOver: onTakeOver) {
    case .taken(let taken): lease = taken
    case .held(let holder): return .held(holder)
    }
    // The process that held the lease before may have finished the stage. NFS may remember that nothing was there, until the folder changes.
    touch(stages)
    if let stored = try lookup(key) {
      lease.end { discard(folder) }
      return .opened(.finished(stored))
    }
    let work = try StageWork(
      key: key, folder: folder, finishedFolder: finishedFolder(key.digest), replacesDamaged: isDamaged, lease: lease, warn: warn,
      willFinish: { [index] in
        self.locks.use(key.digest)
        try self.completeIndex()
        try index.add(key)
      })
    return .opened(.begun(work))
  }

  private func leaseWatch() throws -> LeaseWatch {
    if let watch { return watch }
    let made = LeaseWatch(try .current())
    watch = made
    return made
  }

  /// Whether a finished result of that key is there. Its files are not verified.
  private func contains(_ key: StageKey) -> Bool {
    fileExists(finishedFolder(key.digest) + "/" + FolderManifest.fileName)
  }

  /// Which inputs of the nearest stored result of the same name differ: the answer to "why does this
  /// stage run again?". Of results that are equally near, the newest counts. Nil if no result of this
  /// name is stored; empty if the very same one is.
  public func why(_ key: StageKey) -> [ValueDifference]? {
    if contains(key) { return [] }
    try? completeIndex()
    var nearest: [ValueDifference]?
    for other in index.keys(named: key.name, damaged: { try? self.storedKey($0) }) where contains(other) {
      let differences = ValueDifference.between(other.inputs, key.inputs)
      if differences.count < nearest?.count ?? .max { nearest = differences }
    }
    return nearest
  }

  /// What the newest stored result of a name said about itself; nil where there is none.
  public func newestFacts(named name: String) -> JSONObject? {
    try? completeIndex()
    let newest = index.keys(named: name, damaged: { try? self.storedKey($0) }).first(where: contains)
    return newest.flatMap { try? FolderManifest(reading: finishedFolder($0.digest)) }?.facts["facts"]?.objectValue
  }

  /// Makes the index anew where it is not there.
  private func completeIndex() throws {
    guard !index.isComplete else { return }
    for summary in list() where summary.isFinished { try index.add(summary.key) }
    try index.markComplete()
  }

  private func storedKey(_ digest: Digest) throws -> StageKey? {
    Self.key(in: try FolderManifest(reading: finishedFolder(digest)).facts)
  }

  /// A stored stage, finished or not. Its files are not verified.
  public struct Summary: Sendable {
    public let key: StageKey
    public let isFinished: Bool
    public let folder: String
  }

  /// All stored stages, by name and digest. Unreadable ones are left out.
  public func list() -> [Summary] {
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

  /// When a stage was last stored, found, or worked at.
  public func lastUse(_ stage: Summary) -> Date {
    ([stage.folder] + ((try? AtomicFolder.names(in: stage.folder)) ?? []).map { stage.folder + "/" + $0 })
      .compactMap { FileStamp($0)?.date }.max() ?? .distantPast
  }

  /// Removes a stored stage, finished or not. False: a process uses it or works at it, and it stays.
  public func remove(_ stage: Summary) throws -> Bool {
    let place = try OwnFolder(root).place("\(Self.folderName)/\(FilePath.name(of: stage.folder))")
    if !stage.isFinished {
      guard case .taken(let lease) = try StageLease.take(place, leaseWatch()) else { return false }
      lease.end { discard(place) }
      return true
    }
    return try locks.whileUnused(stage.key.digest) {
      discard(place)
      index.remove(stage.key)
    }
  }

  /// Renames before it removes, so that a kill in between leaves nothing that looks like a stage.
  private func discard(_ folder: String) { Self.discard(folder, stages: stages) }

  static func discard(_ folder: String, stages: String) {
    let doomed = stages + "/.removed-\(getpid())-\(UUID().uuidString)"
    if rename(folder, doomed) == 0 { removeTree(doomed) }
  }

  /// Ends removals that were killed half-way. Two processes may do this at once.
  private func removeDiscarded() {
    let names = (try? AtomicFolder.names(in: stages)) ?? []
    for name in names where name.hasPrefix(".removed-") {
      removeTree(stages + "/" + name)
    }
  }

  private func finishedFolder(_ digest: Digest) -> String { stages + "/" + digest.hex }
  private func partialFolder(_ digest: Digest) -> String { finishedFolder(digest) + ".partial" }

  static func facts(of key: StageKey) -> JSONObject {
    ["name": .string(key.name), "inputs": key.inputs]
  }

  /// The key of a finished stage, from a copy of its folder; nil where there is none that can be read.
  static func key(inFolder folder: String) throws -> StageKey? {
    guard fileExists(folder) else { return nil }
    return (try? FolderManifest(reading: folder)).flatMap { key(in: $0.facts) }
  }

  static func key(in facts: JSONObject) -> StageKey? {
    guard let name = facts["name"]?.stringValue, let inputs = facts["inputs"] else { return nil }
    return StageKey(name: name, inputs: inputs)
  }
}
