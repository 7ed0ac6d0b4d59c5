import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Engine
@testable import Files
@testable import Pipelines

@Suite struct StageStoreTests {
  private func key(_ r: Int = 8, name: String = "mnli") -> StageKey {
    StageKey(
      name: name,
      inputs: [
        "params": ["r": .int(r), "lr": 5e-4, "clip": .double(.nan)], "files": ["a", "b"],
        "engine": "0.1",
      ])
  }

  private func begin(_ store: StageStore, _ key: StageKey) throws -> StageWork {
    guard case .begun(let work) = try store.open(key) else {
      throw EngineError(.data, "the stage is finished already")
    }
    return work
  }

  private func finish(_ store: StageStore, _ key: StageKey) throws -> StoredStage {
    try begin(store, key).finish(["accuracy": 0.5]) { folder in
      try createFolder(folder + "/sub")
      try AtomicFile.write("weights", to: folder + "/sub/w")
      try AtomicFile.write("config", to: folder + "/c")
    }
  }

  /// Collects warnings; a class, because the store keeps the closure.
  private final class Warnings { var lines: [String] = [] }

  @Test func findsAFinishedStageByItsInputsOnly() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      #expect(try store.lookup(key()) == nil)
      let stored = try finish(store, key())
      #expect(try readText(stored.folder + "/sub/w") == "weights")
      let again = try #require(try StageStore(root: folder).lookup(key()))
      #expect(again.facts == ["accuracy": 0.5])
      #expect(again.folder == stored.folder)
      guard case .finished = try store.open(key()) else {
        Issue.record("not reused")
        return
      }
      #expect(try store.lookup(key(9)) == nil)
      #expect(try store.lookup(key(name: "rte")) == nil)
      #expect(try AtomicFolder.names(in: folder + "/stages-3") == [key().digest.hex])
    }
  }

  static let damages: [(String, @Sendable (String) throws -> Void)] = [
    ("changed", { try AtomicFile.write("weighty", to: $0 + "/sub/w") }),
    ("longer", { try AtomicFile.write("weights+", to: $0 + "/sub/w") }),
    ("missing", { unlink($0 + "/c") }),
    ("no manifest", { unlink($0 + "/manifest.json") }),
    ("torn manifest", { try AtomicFile.write("{\"facts\": {", to: $0 + "/manifest.json") }),
    ("other JSON", { try AtomicFile.write("[]", to: $0 + "/manifest.json") }),
    (
      "escaping entry",
      {
        try AtomicFile.write(
          ["facts": [:], "files": ["../x": ["size": 1, "digest": "0"]]], to: $0 + "/manifest.json")
      }
    ),
    (
      "another stage's",
      {
        try AtomicFile.write(
          ["facts": ["name": "x", "inputs": 1], "files": [:]], to: $0 + "/manifest.json")
      }
    ),
  ]

  @Test(arguments: damages.indices) func runsADamagedStageAgain(place: Int) throws {
    let (name, damage) = Self.damages[place]
    try withTemporaryFolder { folder in
      let warnings = Warnings()
      let store = StageStore(root: folder) { warnings.lines.append($0) }
      try damage(try finish(store, key()).folder)
      #expect(try store.lookup(key()) == nil, "\(name)")
      #expect(warnings.lines.count == 1)
      #expect(warnings.lines.first?.hasPrefix("stage 'mnli' runs again") ?? false)
      _ = try finish(store, key())
      #expect(try store.lookup(key()) != nil)
    }
  }

  @Test func goesOnFromTheLastState() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      var work = try begin(store, key())
      #expect(try work.loadState() == nil)
      for step in 1...4 {
        try work.saveState(["step": .int(step)]) {
          try AtomicFile.write("state \(step)", to: $0 + "/s")
        }
      }
      work.close()
      #expect(throws: EngineError.self) { try work.saveState { _ in } }
      work = try begin(store, key())
      let state = try #require(try work.loadState())
      #expect(state.facts == ["step": 4])
      #expect(try readText(state.folder + "/s") == "state 4")
      _ = try work.finish { _ in }
      #expect(try AtomicFolder.names(in: folder + "/stages-3") == [key().digest.hex])
    }
  }

  @Test func fallsBackToTheStateBefore() throws {
    try withTemporaryFolder { folder in
      let warnings = Warnings()
      let store = StageStore(root: folder) { warnings.lines.append($0) }
      let work = try begin(store, key())
      for step in 1...3 {
        try work.saveState(["step": .int(step)]) { try AtomicFile.write("\(step)", to: $0 + "/s") }
      }
      let newest = try #require(try work.loadState()).folder
      try AtomicFile.write("x", to: newest + "/s")
      #expect(try work.loadState()?.facts == ["step": 2])
      #expect(warnings.lines.count == 1)
      try work.saveState(["step": 3]) { try AtomicFile.write("3", to: $0 + "/s") }
      #expect(try work.loadState()?.facts == ["step": 3])
    }
  }

  /// What a result says about itself (a stage's metrics) is a result too.
  @Test(arguments: [("0.5", "0.75"), ("\"digest\"", "\"digests\""), ("\"r\": 8", "\"r\": 9")])
  func doesNotUseAResultWhoseManifestChanged(written: String, changed: String) throws {
    try withTemporaryFolder { folder in
      let warnings = Warnings()
      let store = StageStore(root: folder) { warnings.lines.append($0) }
      let manifest = try finish(store, key()).folder + "/" + FolderManifest.fileName
      let text = try readText(manifest)
      let damaged = text.replacingOccurrences(of: written, with: changed)
      #expect(damaged != text)
      try AtomicFile.write(damaged, to: manifest)
      #expect(try store.lookup(key()) == nil)
      #expect(warnings.lines.map { $0.contains("manifest.json: its content has changed since it was stored") } == [true])
    }
  }

  /// The disk fills up at every possible write of a save, and of a finish: the state before is
  /// intact.
  @Test func keepsTheStateWhateverWriteFails() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      let work = try begin(store, key())
      try work.saveState(["step": 1]) { try AtomicFile.write("one", to: $0 + "/s") }
      let count = WriteCount()
      func failing(at limit: Int, _ body: () throws -> Void) -> Bool {
        count.reset(limit)
        return FileWriter.withSystemWrite({ count.write($0, $1, $2) }) {
          (try? body()) != nil
        }
      }
      var limit = 0
      while !failing(
        at: limit,
        {
          try work.saveState(["step": 2]) {
            try AtomicFile.write("two", to: $0 + "/s")
            try AtomicFile.write("two", to: $0 + "/t")
          }
        })
      {
        #expect(try work.loadState()?.facts == ["step": 1])
        limit += 1
      }
      #expect(limit == 3)
      #expect(try work.loadState()?.facts == ["step": 2])
      limit = 0
      while !failing(
        at: limit, { _ = try work.finish { try AtomicFile.write("r", to: $0 + "/r") } })
      {
        #expect(try work.loadState()?.facts == ["step": 2])
        #expect(try store.lookup(key()) == nil)
        limit += 1
      }
      #expect(limit == 3)
      #expect(try store.lookup(key()) != nil)
    }
  }

  /// What a process killed in the middle of a save leaves is ignored and cleared away.
  @Test func ignoresHalfASavedState() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      var work = try begin(store, key())
      try work.saveState(["step": 1]) { try AtomicFile.write("1", to: $0 + "/s") }
      work.close()
      let partial = folder + "/stages-3/" + key().digest.hex + ".partial"
      try createFolder(partial + "/.state-2.\(ProcessIdentity.current.place)-999999999-1.tmp/sub")
      try createFolder(folder + "/stages-3/.removed-1-x/y")
      work = try begin(store, key())
      #expect(try work.loadState()?.facts == ["step": 1])
      try work.saveState(["step": 2]) { try AtomicFile.write("2", to: $0 + "/s") }
      let names = try AtomicFolder.names(in: partial)
      #expect(names.dropFirst() == ["stage.json", "state-1", "state-2"] && LeaseName(names[0])?.process == .current)
      #expect(try AtomicFolder.names(in: folder + "/stages-3") == [key().digest.hex + ".partial"])
    }
  }

  @Test func refusesToRunAStageInsideItself() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      let work = try begin(store, key())
      #expect { _ = try store.open(key()) } throws: {
        "\($0)" == "stage 'mnli': is already running in this script"
      }
      withExtendedLifetime(work) {}
    }
  }

  /// Another process holds the stage: waits, can be interrupted, goes on when that process has ended.
  @Test func waitsForAnotherProcess() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      try begin(store, key()).close()
      let other = Process()
      other.executableURL = URL(fileURLWithPath: "/bin/sleep")
      other.arguments = ["60"]
      try other.run()
      let partial = folder + "/stages-3/" + key().digest.hex + ".partial/"
      let name = LeaseName(of: ProcessIdentity(place: ProcessIdentity.current.place, number: other.processIdentifier, start: 0))
      #expect(rename(partial + LeaseName.free, partial + name.text) == 0)
      var holders: [LeaseName?] = []
      #expect {
        _ = try store.open(key(), onWait: { holders.append($0) }, shouldStop: { true })
      } throws: { ($0 as? EngineError)?.kind == .interrupted }
      #expect(holders.map { $0?.holder } == ["process \(other.processIdentifier)"])
      guard case .held(let holder) = try store.attempt(key()) else {
        Issue.record("not held")
        return
      }
      #expect(try holder == name && !store.mayOpen(key().digest))
      var asked = 0
      let opened = try store.open(
        key(),
        shouldStop: {
          asked += 1
          if asked == 2 { kill(other.processIdentifier, SIGKILL) }
          return asked > 100
        })
      guard case .begun = opened else {
        Issue.record("not begun")
        return
      }
      other.waitUntilExit()
    }
  }

  @Test func explainsWhyAStageRunsAgain() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      #expect(store.why(key()) == nil)
      _ = try finish(store, key(8))
      var other = key(8).inputs.objectValue ?? [:]
      other["files"] = ["x", "y", "z"]
      _ = try finish(store, StageKey(name: "mnli", inputs: .object(other)))
      try begin(store, key(name: "rte")).close()
      #expect(store.why(key(16))?.map(\.description) == ["params.r was 8, is 16"])
      #expect(store.why(key(8)) == [])
      // A stage that is under way has no result to compare with, its own beginning least of all.
      #expect(store.why(key(1, name: "rte")) == nil)
      #expect(store.why(key(name: "rte")) == nil)
      let work = try begin(store, key(16))
      #expect(store.why(key(16))?.map(\.description) == ["params.r was 8, is 16"])
      work.close()
      removeTree(folder + "/stages-3/" + key(16).digest.hex + ".partial")
      #expect(store.list().map(\.isFinished) == [true, true, false])
      #expect(store.list().last?.key == key(name: "rte"))
    }
  }

  /// The index is made anew where it is missing, and what is damaged in it is read from the result.
  @Test func findsTheNearestResultWhateverHappenedToTheIndex() throws {
    try withTemporaryFolder { folder in
      for r in [8, 16, 32] { _ = try finish(StageStore(root: folder), key(r)) }
      _ = try finish(StageStore(root: folder), key(9, name: "rte"))
      func why() -> [String]? { StageStore(root: folder).why(key(9))?.map(\.description) }
      // All are equally near: the newest.
      #expect(why() == ["params.r was 32, is 9"])
      let index = folder + "/names-3"
      let entries = try #require(FileManager.default.subpaths(atPath: index)).filter { $0.hasSuffix(".json") }
      #expect(entries.count == 4)
      for entry in entries { try AtomicFile.write("{\"name\":", to: index + "/" + entry) }
      #expect(why()?.count == 1)
      #expect(try entries.filter { try readText(index + "/" + $0) == "{\"name\":" }.count == 1)
      try FileManager.default.removeItem(atPath: index)
      #expect(why()?.count == 1)
      #expect(try #require(FileManager.default.subpaths(atPath: index)).filter { $0.hasSuffix(".json") }.count == 4)
      // An entry whose result was removed or never came says nothing.
      for r in [8, 16, 32] { try FileManager.default.removeItem(atPath: folder + "/stages-3/" + key(r).digest.hex) }
      #expect(why() == nil)
    }
  }

  /// Of many results of one name, the newest are compared, and only these are read.
  @Test func looksAtTheNewestResultsOnly() throws {
    try withTemporaryFolder { folder in
      let index = StageIndex(folder: folder)
      for r in 0..<40 { try index.add(key(r)) }
      try index.add(key(0))
      let found = index.keys(named: "mnli") { _ in nil }.map { $0.inputs["params"]?["r"]?.intValue }
      #expect(found == [0] + (9..<40).reversed().map { Optional($0) })
    }
  }

  /// Folders of the layout before are neither read nor touched.
  @Test func ignoresOtherLayouts() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      let stored = try finish(store, key())
      try createFolder(folder + "/stages")
      try AtomicFolder.move(stored.folder, to: folder + "/stages/" + key().digest.hex)
      #expect(try store.lookup(key()) == nil && store.list().isEmpty)
      #expect(try AtomicFolder.names(in: folder + "/stages") == [key().digest.hex])
    }
  }

  /// Large files of a stage are second names of the stored ones, and nobody changes them by accident.
  @Test func largeFilesAreLinks() throws {
    try withTemporaryFolder { folder in
      let large = String(repeating: "w", count: AtomicFolder.largestCopy + 1)
      let stored = try begin(StageStore(root: folder), key()).finish { place in
        try createFolder(place + "/model")
        try AtomicFile.write(large, to: place + "/model/w")
        try AtomicFile.write("small", to: place + "/s")
      }
      let run = try RunDirectory.create(out: folder + "/run")
      try run.prepare(RunScript(path: "t.lua", text: ""), Invocation())
      for _ in 1...2 { try run.publish(stored) }
      let published = run.stageFolder("mnli")
      func status(_ path: String) -> stat {
        var status = stat()
        stat(path, &status)
        return status
      }
      #expect(status(published + "/model/w").st_ino == status(stored.folder + "/model/w").st_ino)
      #expect(status(published + "/model/w").st_mode & 0o222 == 0)
      #expect(status(published + "/s").st_ino != status(stored.folder + "/s").st_ino)
      #expect(status(published + "/s").st_mode & 0o200 != 0)
      // What replaces the file in the run directory leaves the stored one as it is, and so does a change of a small one.
      try AtomicFile.write("other", to: published + "/model/w")
      try AtomicFile.write("other", to: published + "/s")
      #expect(try StageStore(root: folder).lookup(key()) != nil)
      try run.publish(stored)
      #expect(try readText(published + "/model/w") == large && readText(published + "/s") == "small")
    }
  }

  /// Of all stored stages of the name, the one with the fewest differences explains, wherever it stands in the list.
  @Test func explainsByTheNearestStage() throws {
    func key(_ lr: Double, _ seed: Int, _ file: String) -> StageKey {
      StageKey(name: "mnli", inputs: ["params": ["lr": .double(lr), "seed": .int(seed)], "file": .string(file)])
    }
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder)
      for lr in [0.5, 0.25] {
        for seed in 1...3 { _ = try finish(store, key(lr, seed, "a")) }
      }
      for lr in [0.5, 0.25] {
        for seed in 1...3 {
          #expect(store.why(key(lr, seed, "b")) == [ValueDifference(path: "file", old: "a", new: "b")], "\(lr), \(seed)")
          #expect(store.why(key(lr, seed, "a")) == [])
        }
        #expect(store.why(key(lr, 9, "b"))?.count == 2)
      }
    }
  }

  @Test func comparesValues() {
    let old: JSONValue = ["a": [1, 2], "b": ["c": .double(.nan)], "d": 1]
    let new: JSONValue = ["a": [1, 3, 4], "b": ["c": .double(.nan)], "d": 1.0, "e": .null]
    #expect(
      ValueDifference.between(old, new).map(\.description) == [
        "a[1] was 2, is 3", "a[2] is new: 4", "d was 1, is 1.0", "e is new: null",
      ])
    #expect(ValueDifference.between(1, "x").map(\.description) == ["value was 1, is \"x\""])
    let digests = ["a", "b"].map { JSONValue.string(Digest(of: $0).hex) }
    #expect(ValueDifference.between(["x": digests[0]], ["x": digests[1]]).map(\.description) == ["x has changed"])
    #expect(ValueDifference.between(["x": digests[0], "y": 1], [:]).map(\.description) == ["x is gone", "y was 1, is gone"])
  }

  @Test func takesItsRootFromTheEnvironment() {
    #expect(StageStore.defaultRoot(["PERIGEE_CACHE": "/p", "XDG_CACHE_HOME": "/x"]) == "/p")
    #expect(StageStore.defaultRoot(["PERIGEE_CACHE": "", "XDG_CACHE_HOME": "/x"]) == "/x/perigee")
    #expect(StageStore.defaultRoot(["HOME": "/h"]) == "/h/.cache/perigee")
    #expect(StageStore.defaultRoot(["PERIGEE_CACHE": "~/x", "HOME": "/h"]) == "/h/x")
    #expect(StageStore.defaultRoot(["XDG_CACHE_HOME": "~/x", "HOME": "/h"]) == "/h/x/perigee")
    #expect(StageStore.defaultRoot(["PERIGEE_CACHE": "~x", "HOME": "/h"]) == "~x")
  }
}

/// Lets a number of writes through, and then the disk is full.
private final class WriteCount: @unchecked Sendable {
  // Used by one thread at a time.
  private var left = 0
  func reset(_ count: Int) { left = count }

  func write(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    left -= 1
    if left >= 0 { return Foundation.write(descriptor, bytes, count) }
    errno = ENOSPC
    return -1
  }
}
