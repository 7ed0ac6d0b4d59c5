import Diagnostics
import Files
import Foundation
import Pipelines

/// An index of run directories, so that a list of a thousand runs need not read a thousand folders.
///
/// The folders are the truth. `runs.db` has a row for each, with a stamp of the files that it was made from: a row whose stamp is another
/// is made anew, one whose folder has gone is dropped, and a file that is missing, damaged or of another version is written again. Beside
/// it, `folders.jsonl` names the folders that hold runs, one line each; a run adds the folder that it is in.
public final class RunIndex {
  private let folder: String
  private let outputs: String
  private let warn: (String) -> Void
  /// How long to wait for another process that writes, in milliseconds.
  var patience: Int32 = 2000
  private var database: Database?

  /// - Parameters:
  ///   - folder: where the index is; made when something is written.
  ///   - outputs: the folder of runs whose command named none, relative to the working folder.
  ///   - warn: takes a line about what is wrong with the index, or with a run directory. Neither is an error.
  public init(folder: String = RunIndex.defaultFolder(), outputs: String = "outputs", warn: @escaping (String) -> Void) {
    (self.folder, self.outputs, self.warn) = (folder, outputs, warn)
  }

  /// `$XDG_DATA_HOME/perigee`, else `~/.local/share/perigee`.
  public static func defaultFolder(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
    func value(_ key: String) -> String? { environment[key].flatMap { $0.isEmpty ? nil : FilePath.expandHome($0, environment) } }
    return (value("XDG_DATA_HOME") ?? (value("HOME") ?? NSHomeDirectory()) + "/.local/share") + "/perigee"
  }

  private var databasePath: String { folder + "/runs.db" }
  private var listPath: String { folder + "/folders.jsonl" }
  /// Counts up with every change of the table or of what is in `facts`.
  private static let version = "2"

  // MARK: - Writing

  /// Enters a run directory, or what has become of it. A run goes on whatever happens here: what fails is told in one line.
  public func register(_ run: String) {
    do {
      guard let path = realPath(run) else { return }
      try note(FilePath.folder(of: path))
      try withDatabase { try update(path, in: $0) }
    } catch {
      warn("the index of runs was not updated: \(error); 'perigee runs' reads the run directory itself next time")
    }
  }

  /// Looks for run directories below folders, whatever depth they are at, and remembers the folders that hold any; how many runs there are.
  public func reindex(_ roots: [String]) throws -> Int {
    var count = 0
    for root in roots {
      guard let real = realPath(root), folderExists(real) else { throw EngineError(.file, "\(root): no such folder") }
      var waiting = [real]
      var holders: Set<String> = []
      while let place = waiting.popLast() {
        if RunFolder.isRun(place) {
          holders.insert(FilePath.folder(of: place))
          count += 1
          continue
        }
        for name in (try? AtomicFolder.names(in: place)) ?? [] where !name.hasPrefix(".") {
          let inner = FilePath.join(place, name)
          if fileKind(inner, followingLinks: false) == .folder { waiting.append(inner) }
        }
      }
      for holder in holders.sorted() { try note(holder) }
    }
    _ = try runs(in: [])
    return count
  }

  /// Adds a folder to those that hold runs. One line is one write, which other processes do not break.
  private func note(_ holder: String) throws {
    if holders().contains(holder) { return }
    let path = try OwnFolder(folder).place(FilePath.name(of: listPath))
    try FileWriter(appendingTo: path).write(JSONValue.string(holder).encoded(.line) + "\n")
  }

  /// The folders that are known to hold runs.
  public func holders() -> Set<String> {
    let text = (try? readText(listPath)) ?? ""
    return Set(text.split(separator: "\n").compactMap { try? JSONValue(parsing: String($0), source: listPath).stringValue })
  }

  // MARK: - Reading

  /// All runs of the folders that are known, of `more`, and of `outputs` in the working folder, by path. `more` can be run directories, too.
  ///
  /// Throws `EngineError` (`.file`) for a folder of `more` that is not there.
  public func runs(in more: [String]) throws -> [RunSummary] {
    let usual = ([outputs] + holders().sorted()).filter { folderExists($0) }
    var paths: Set<String> = []
    for place in more + usual {
      guard let real = realPath(place), folderExists(real) else { throw EngineError(.file, "--in \(place): no such folder") }
      if RunFolder.isRun(real) { paths.insert(real) }
      for name in (try? AtomicFolder.names(in: real)) ?? [] {
        let path = FilePath.join(real, name)
        if RunFolder.isRun(path), fileKind(path, followingLinks: false) == .folder { paths.insert(path) }
      }
    }
    do {
      return try withDatabase { try runs(paths, in: $0) }
    } catch {
      warn("the index of runs cannot be used: \(error); all run directories are read")
      return paths.sorted().compactMap(summary)
    }
  }

  private func runs(_ paths: Set<String>, in database: Database) throws -> [RunSummary] {
    var known: [String: (stamp: String, facts: String)] = [:]
    for row in try database.run("SELECT path, stamp, facts FROM runs") { known[row[0]] = (row[1], row[2]) }
    var summaries: [RunSummary] = []
    var changed: [(path: String, stamp: String, summary: RunSummary?)] = []
    for path in paths.sorted() {
      let stamp = Self.stamp(path)
      if let row = known[path], row.stamp == stamp, let facts = try? JSONValue(parsing: row.facts, source: databasePath).objectValue {
        summaries.append(RunSummary(path: path, facts: facts).current())
        continue
      }
      let summary = summary(path)
      changed.append((path, stamp, summary))
      if let summary { summaries.append(summary.current()) }
    }
    let gone = known.keys.filter { !paths.contains($0) && !RunFolder.isRun($0) }
    if !changed.isEmpty || !gone.isEmpty {
      // The answer is complete without it.
      do {
        try database.transaction {
          for (path, stamp, summary) in changed { try enter(path, stamp, summary, in: database) }
          for path in gone { try database.run("DELETE FROM runs WHERE path = ?", [path]) }
        }
      } catch { warn("the index of runs was not updated: \(error)") }
    }
    return summaries
  }

  private func summary(_ path: String) -> RunSummary? {
    do { return try RunSummary(RunFolder(path)) } catch {
      warn("\(path): is left out: \(error)")
      return nil
    }
  }

  private func update(_ path: String, in database: Database) throws {
    let stamp = Self.stamp(path)
    try enter(path, stamp, try RunSummary(RunFolder(path)), in: database)
  }

  private func enter(_ path: String, _ stamp: String, _ summary: RunSummary?, in database: Database) throws {
    guard let summary else {
      try database.run("DELETE FROM runs WHERE path = ?", [path])
      return
    }
    let facts = summary.facts
    func text(_ name: String) -> String { facts[name]?.stringValue ?? "" }
    try database.run(
      "INSERT OR REPLACE INTO runs (path, stamp, script, status, start, facts) VALUES (?, ?, ?, ?, ?, ?)",
      [path, stamp, text("script"), text("status"), text("start"), JSONValue.object(facts).encoded(.ordered)])
  }

  /// What changes when one of the files does that a summary is made from.
  private static func stamp(_ path: String) -> String {
    ["command.json", "results.json", "params.json", RunNotes.recordName].map { FileStamp(path + "/" + $0)?.text ?? "-" }.joined(separator: " ")
  }

  // MARK: - The database

  private func withDatabase<Result>(_ body: (Database) throws -> Result) throws -> Result {
    do { return try body(open()) } catch let error as EngineError where error.kind == .data {
      // No database, or a damaged one. Another process may have it open: it goes on with a file without a name.
      database = nil
      for end in ["", "-journal", "-wal", "-shm"] { removeTree(databasePath + end) }
      return try body(open())
    }
  }

  private func open() throws -> Database {
    if let database { return database }
    _ = try OwnFolder(folder).place(FilePath.name(of: databasePath))
    // SQLite takes no path with a link in it, and a home folder can be behind one.
    let new = try Database((realPath(folder) ?? folder) + "/" + FilePath.name(of: databasePath), patience: patience)
    if try new.run("PRAGMA user_version") != [[Self.version]] {
      try new.transaction {
        if try new.run("PRAGMA user_version") == [[Self.version]] { return }
        try new.run("DROP TABLE IF EXISTS runs")
        try new.run("CREATE TABLE runs (path TEXT PRIMARY KEY, stamp TEXT, script TEXT, status TEXT, start TEXT, facts TEXT) WITHOUT ROWID")
        try new.run("PRAGMA user_version = \(Self.version)")
      }
    }
    database = new
    return new
  }
}
