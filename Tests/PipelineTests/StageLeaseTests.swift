import Diagnostics
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Files
@testable import Pipelines

/// Who may work at a stage, where processes die, are paused, race, and live on several machines.
@Suite struct StageLeaseTests {
  private static let here = ProcessIdentity.current
  /// A process of another machine: whether it lives, nobody here can see.
  private static func elsewhere() -> LeaseName { LeaseName(of: ProcessIdentity(place: "0123456789ab", number: 7, start: 1), on: "node-7.cluster") }

  /// Of a process that has ended.
  private static func dead() throws -> LeaseName {
    let child = Process()
    child.executableURL = URL(fileURLWithPath: "/bin/true")
    try child.run()
    child.waitUntilExit()
    return LeaseName(of: ProcessIdentity(place: here.place, number: child.processIdentifier, start: 0), on: "here")
  }

  private func watch(_ patience: Double = 60, renewal: Double = 60) -> LeaseWatch { LeaseWatch(LeaseTiming(renewal: renewal, patience: patience)) }

  private func folder(with name: LeaseName, in root: String) throws -> String {
    try createFolder(root + "/s.partial")
    try AtomicFile.write("", to: root + "/s.partial/" + name.text)
    return root + "/s.partial"
  }

  private func taken(_ outcome: StageLease.Outcome) -> StageLease? { if case .taken(let lease) = outcome { lease } else { nil } }
  private func holder(_ outcome: StageLease.Outcome) -> LeaseName? { if case .held(let name) = outcome { name } else { nil } }

  @Test func namesSayWhoHoldsIt() throws {
    let name = Self.elsewhere()
    #expect(LeaseName(name.text) == name && LeaseName(name.next.text)?.count == 1 && name.holder == "process 7 on node-7.cluster")
    #expect(LeaseName(of: Self.here).holder == "process \(getpid())")
    for text in ["lease-free", "lease-", "lease-1-2-3-4-5", "lease-x-2-3-4-5-6", "lease-1-0-3-4-5-6", "lock"] { #expect(LeaseName(text) == nil) }
  }

  @Test func oneHoldsIt() throws {
    try withTemporaryFolder { root in
      let folder = root + "/s.partial"
      let lease = try #require(taken(try StageLease.take(folder, watch())))
      #expect(holder(try StageLease.take(folder, watch()))?.process == Self.here)
      for _ in 1...3 { try lease.renew() }
      #expect(try AtomicFolder.names(in: folder).compactMap { LeaseName($0)?.count } == [3])
      lease.release()
      #expect(try AtomicFolder.names(in: folder) == [LeaseName.free])
      #expect(taken(try StageLease.take(folder, watch())) != nil)
    }
  }

  /// Where the holder has ended, or is silent, one of many that see it takes over, in every round.
  @Test func oneOfManyTakesOver() throws {
    try withTemporaryFolder { root in
      for round in 0..<24 {
        let path = "\(root)/\(round)"
        try createFolder(path)
        let folder = round % 3 == 0 ? path + "/s.partial" : try folder(with: round % 3 == 1 ? Self.dead() : Self.elsewhere(), in: path)
        let leases = Mutex<[StageLease]>([])
        DispatchQueue.concurrentPerform(iterations: 4) { _ in
          let watch = watch(0.02)
          for _ in 0..<6 {
            if let lease = (try? StageLease.take(folder, watch)).flatMap({ taken($0) }) { leases.withLock { $0.append(lease) } }
            usleep(5000)
          }
        }
        // Of those that came later, silence may have taken it from the one before: that one knows.
        let holding = leases.withLock { $0.filter { (try? $0.renew()) != nil } }
        #expect(holding.count == 1, "round \(round)")
        #expect(try AtomicFolder.names(in: folder).count { LeaseName($0) != nil } == 1)
      }
    }
  }

  /// Silence is what a process sees on its own clock: the times of files, from clocks that are wrong, say nothing.
  @Test func silenceIsMeasuredByWhoeverWaits() throws {
    try withTemporaryFolder { root in
      var name = Self.elsewhere()
      let (folder, watch) = (try folder(with: name, in: root), watch(0.4))
      for seconds in [0, 1 << 33, 0, 1 << 33] {
        let time = timespec(tv_sec: time_t(seconds), tv_nsec: 0)
        #expect(utimensat(AT_FDCWD, folder + "/" + name.text, [time, time], 0) == 0)
        #expect(holder(try StageLease.take(folder, watch)) == name)
        usleep(150_000)
        #expect(rename(folder + "/" + name.text, folder + "/" + name.next.text) == 0)
        name = name.next
      }
      #expect(holder(try StageLease.take(folder, watch)) == name)
      usleep(450_000)
      var silent: [LeaseName] = []
      #expect(taken(try StageLease.take(folder, watch) { silent.append($0) }) != nil && silent == [name])
    }
  }

  /// A process that was paused, and whose work was taken over, finds that out before it writes.
  @Test func aPausedHolderHasLost() throws {
    try withTemporaryFolder { root in
      let folder = root + "/s.partial"
      let paused = try #require(taken(try StageLease.take(folder, watch())))
      let watch = watch(0.05)
      #expect(holder(try StageLease.take(folder, watch)) != nil)
      usleep(60_000)
      let next = try #require(taken(try StageLease.take(folder, watch)))
      #expect(throws: EngineError.self) { try paused.renew() }
      #expect(paused.isLost)
      paused.release()
      paused.end { Issue.record("the folder is another's") }
      try next.renew()
    }
  }

  /// NFS may show a directory as it was: then there is nothing to rename from.
  @Test func anOldListingTakesNothing() throws {
    try withTemporaryFolder { root in
      let folder = root + "/s.partial"
      let lease = try #require(taken(try StageLease.take(folder, watch())))
      let (late, old) = (watch(0.01), try AtomicFolder.names(in: folder))
      late.names = { _ in old }
      _ = try StageLease.take(folder, late)
      try lease.renew()
      usleep(20_000)
      #expect(taken(try StageLease.take(folder, late)) == nil)
      try lease.renew()
    }
  }

  /// The server has renamed, and its answer was lost: what is asked for again is not there.
  @Test func aLostReplyLosesNothing() throws {
    try withTemporaryFolder { root in
      let folder = root + "/s.partial"
      let lease = try #require(taken(try StageLease.take(folder, watch())))
      let name = try #require(AtomicFolder.names(in: folder).compactMap { LeaseName($0) }.first)
      #expect(rename(folder + "/" + name.text, folder + "/" + name.next.text) == 0)
      try lease.renew()
      #expect(try AtomicFolder.names(in: folder).compactMap { LeaseName($0)?.count } == [2] && !lease.isLost)
    }
  }

  @Test func theHolderShowsThatItLives() throws {
    try withTemporaryFolder { root in
      let folder = root + "/s.partial"
      let lease = try #require(taken(try StageLease.take(folder, watch(renewal: 0.02))))
      let watch = watch(1)
      for _ in 0..<12 {
        #expect(taken(try StageLease.take(folder, watch)) == nil)
        usleep(100_000)
      }
      withExtendedLifetime(lease) {}
    }
  }

  /// What an earlier version was working at has states, and no lease.
  @Test func aFolderWithoutALeaseIsTakenAsItIs() throws {
    try withTemporaryFolder { root in
      let folder = root + "/s.partial"
      try createFolder(folder + "/state-1")
      try AtomicFile.write("1", to: folder + "/lock")
      let lease = try #require(taken(try StageLease.take(folder, watch())))
      #expect(fileExists(folder + "/state-1") && fileExists(folder + "/lock"))
      try lease.renew()
      #expect(try AtomicFolder.names(in: root) == ["s.partial"])
    }
  }

  /// What is read, changed and written by one at a time loses nothing.
  @Test func oneAtATimeIsLetIn() throws {
    try withTemporaryFolder { root in
      try AtomicFile.write("0", to: root + "/n")
      DispatchQueue.concurrentPerform(iterations: 3) { _ in
        for _ in 0..<4 {
          try? exclusively(root + "/lease") {
            let number = try Int(readText(root + "/n")) ?? 0
            usleep(1000)
            try AtomicFile.write("\(number + 1)", to: root + "/n")
          }
        }
      }
      #expect(try readText(root + "/n") == "12")
    }
  }

  @Test func tellsProcessesThatHaveEnded() throws {
    let child = Process()
    child.executableURL = URL(fileURLWithPath: "/bin/sleep")
    child.arguments = ["20"]
    try child.run()
    func has(_ start: UInt64, _ place: String = Self.here.place) -> Bool {
      ProcessIdentity(place: place, number: child.processIdentifier, start: start).hasEnded
    }
    #expect(!Self.here.hasEnded && Self.here.start > 0 && !has(0) && has(1) && !has(1, "ffffffffffff"))
    kill(child.processIdentifier, SIGKILL)
    child.waitUntilExit()
    #expect(has(0) && !has(0, "ffffffffffff"))
  }

  @Test func timesComeFromTheEnvironment() throws {
    #expect(try LeaseTiming.current([:]).patience == 60)
    let short = try LeaseTiming.current(["PERIGEE_LEASE_SECONDS": "3"])
    #expect(short.patience == 3 && short.renewal == 0.5)
    for text in ["0", "x", "nan", "1e9"] {
      #expect { try LeaseTiming.current(["PERIGEE_LEASE_SECONDS": text]) } throws: {
        "\($0)".hasPrefix("PERIGEE_LEASE_SECONDS=\(text): expected seconds from 1 to 86400")
      }
    }
  }
}

/// The same of the work that a lease is for.
extension StageLeaseTests {
  private func begin(_ store: StageStore, _ key: StageKey) throws -> StageWork {
    guard case .begun(let work) = try store.open(key) else { throw EngineError(.data, "the stage is finished already") }
    return work
  }

  /// Takes a stage's lease away from whoever has it.
  private func steal(_ key: StageKey, in root: String) throws -> StageLease {
    let (folder, watch) = (root + "/stages-3/\(key.digest.hex).partial", watch(0.01))
    _ = try StageLease.take(folder, watch)
    usleep(20_000)
    return try #require(taken(try StageLease.take(folder, watch)))
  }

  @Test func whoHasLostTheWorkWritesNothing() throws {
    try withTemporaryFolder { root in
      let (store, key) = (StageStore(root: root), StageKey(name: "s", inputs: 1))
      let work = try begin(store, key)
      try work.saveState { try AtomicFile.write("1", to: $0 + "/s") }
      let other = try steal(key, in: root)
      let message = "stage 's': another process has taken it over, since this one showed no sign of life for a while"
      for write in [
        { _ = try work.saveState { _ in Issue.record("written") } }, { _ = try work.partialFile("x") },
        { _ = try work.finish { _ in Issue.record("written") } },
      ] { #expect { try write() } throws: { "\($0)".hasPrefix(message) } }
      work.close()
      #expect(work.isLost)
      try other.renew()
      #expect(try store.lookup(key) == nil)
    }
  }

  /// Of two that believe in the same right, the first result stays, and whoever comes second learns of it.
  @Test func aResultIsNeverReplacedByASecondOne() throws {
    try withTemporaryFolder { root in
      let (store, key) = (StageStore(root: root), StageKey(name: "s", inputs: 1))
      let work = try begin(store, key)
      #expect {
        _ = try work.finish(["who": 1]) { folder in
          try AtomicFile.write("first", to: folder + "/w")
          try steal(key, in: root).release()
          _ = try begin(StageStore(root: root), key).finish(["who": 2]) { try AtomicFile.write("second", to: $0 + "/w") }
        }
      } throws: { "\($0)".hasPrefix("stage 's': another process has taken it over") }
      let stored = try #require(try store.lookup(key))
      #expect(work.isLost && stored.facts == ["who": 2])
      #expect(try readText(stored.folder + "/w") == "second")
      #expect(try AtomicFolder.names(in: root + "/stages-3") == [key.digest.hex])
    }
  }
}
