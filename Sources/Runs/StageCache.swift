import Diagnostics
import Files
import Foundation
import Pipelines

/// The stored results of stages as `perigee cache` shows them, and which of them may go.
public struct StageCache {
  /// One stored stage.
  public struct Entry {
    public let stage: StageStore.Summary
    public let size: Int
    /// When a run last stored, found or looked for it.
    public let lastUse: Date
    /// Names of the runs that the index knows to have used it.
    public let runs: [String]

    var json: JSONValue {
      [
        "stage": .string(stage.key.name), "key": .string(stage.key.digest.hex), "finished": .bool(stage.isFinished), "bytes": .int(size),
        "last_use": .string(lastUse.formatted(.iso8601)), "runs": .array(runs.map { .string($0) }), "folder": .string(stage.folder),
      ]
    }
  }

  public let store: StageStore
  /// The largest first.
  public let entries: [Entry]

  public init(_ store: StageStore, runs: [RunSummary]) {
    self.store = store
    var users: [String: [String]] = [:]
    for run in runs { for key in Set(run.stages.map(\.key)) { users[key, default: []].append(run.name) } }
    entries = store.list().map { stage in
      Entry(
        stage: stage, size: folderSize(stage.folder), lastUse: store.lastUse(stage), runs: users[stage.key.digest.hex]?.sorted() ?? [])
    }.sorted { ($0.size, $1.stage.folder) > ($1.size, $0.stage.folder) }
  }

  public var json: JSONValue { ["root": .string(store.root), "stages": .array(entries.map(\.json))] }

  /// A line for each stage, and the sum.
  public func text() -> String {
    let now = Date()
    var table = Table(columns: ["stage", "key", "size", "last use", "used by"])
    for entry in entries {
      let runs = entry.runs.prefix(2).joined(separator: ", ") + (entry.runs.count > 2 ? " and \(entry.runs.count - 2) more" : "")
      table.append([
        .string(entry.stage.key.name + (entry.stage.isFinished ? "" : " (under way)")), .string(String(entry.stage.key.digest.hex.prefix(12))),
        .string(byteCount(entry.size)), .string(Self.age(now.timeIntervalSince(entry.lastUse))), .string(runs.isEmpty ? "no known run" : runs),
      ])
    }
    let tokens = folderSize(store.root + "/tokens")
    return (entries.isEmpty ? "" : table.text() + "\n")
      + "\(Self.stages(entries.count)), \(byteCount(entries.reduce(0) { $0 + $1.size })); tokens of data sets, \(byteCount(tokens)): \(store.root)\n"
  }

  /// A number of stages in words: "1 stage".
  public static func stages(_ count: Int) -> String { count == 1 ? "1 stage" : "\(count) stages" }

  private static func age(_ seconds: Double) -> String {
    let hours = Int(max(0, seconds) / 3600)
    return hours < 1 ? "within an hour" : hours < 48 ? "\(hours) hours ago" : "\(hours / 24) days ago"
  }

  // MARK: - Pruning

  /// What is to go: stages for which all that is given holds.
  public struct Rule {
    /// Not used for so many days.
    public var olderThan: Double?
    /// No run that the index knows used it.
    public var unused = false
    /// Those not used for longest, until the rest takes so many bytes; of the others' kinds alone, if they are given.
    public var mostBytes: Int?

    public init() {}
  }

  /// Which stages a rule takes, those not used for longest first.
  public func chosen(by rule: Rule, now: Date = Date()) -> [Entry] {
    var candidates = entries.sorted { ($0.lastUse, $0.stage.folder) < ($1.lastUse, $1.stage.folder) }
    if let days = rule.olderThan { candidates = candidates.filter { now.timeIntervalSince($0.lastUse) > days * 86400 } }
    if rule.unused { candidates = candidates.filter(\.runs.isEmpty) }
    guard let most = rule.mostBytes else { return candidates }
    var rest = entries.reduce(0) { $0 + $1.size }
    return candidates.filter { entry in
      guard rest > most else { return false }
      rest -= entry.size
      return true
    }
  }

  /// Removes stages. Those that a running pipeline works at or has taken its weights from stay; `kept` gets each of them.
  public func remove(_ chosen: [Entry], kept: (Entry) -> Void) throws -> (count: Int, bytes: Int) {
    var (count, bytes) = (0, 0)
    for entry in chosen {
      if try store.remove(entry.stage) { (count, bytes) = (count + 1, bytes + entry.size) } else { kept(entry) }
    }
    return (count, bytes)
  }
}
