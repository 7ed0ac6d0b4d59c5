import Files
import Foundation
import TestSupport
import Testing

@testable import Pipelines
@testable import Runs

@Suite struct StageCacheTests {
  private func key(_ number: Int) -> StageKey { StageKey(name: "stage \(number)", inputs: ["n": .int(number)]) }

  /// Stores a stage of `number` thousand bytes that was used `days` ago.
  private func store(_ number: Int, days: Double, in folder: String) throws {
    guard case .begun(let work) = try StageStore(root: folder).open(key(number)) else { return }
    let stored = try work.finish { try AtomicFile.write(Data(count: number * 1000), to: $0 + "/weights") }
    for path in try [stored.folder] + AtomicFolder.names(in: stored.folder).map({ stored.folder + "/" + $0 }) {
      let time = timespec(tv_sec: time_t(Date().timeIntervalSince1970 - days * 86400), tv_nsec: 0)
      utimensat(AT_FDCWD, path, [time, time], 0)
    }
  }

  @Test func choosesByAgeSizeAndUse() throws {
    try withTemporaryFolder { folder in
      for (number, days) in [(1, 10.0), (2, 40), (3, 20)] { try store(number, days: days, in: folder) }
      let used = RunSummary(path: "/runs/r", facts: ["stages": [["stage": "stage 1", "key": .string(key(1).digest.hex)]]])
      let cache = StageCache(StageStore(root: folder), runs: [used])
      #expect(cache.entries.map(\.stage.key.name) == ["stage 3", "stage 2", "stage 1"] && cache.entries.map(\.runs) == [[], [], ["r"]])
      let text = cache.text()
      #expect(text.contains("20 days ago  no known run") && text.contains("10 days ago  r\n") && text.contains("3 stages"), "\(text)")
      func chosen(_ days: Double?, _ unused: Bool = false, _ most: Int? = nil) -> [String] {
        var rule = StageCache.Rule()
        (rule.olderThan, rule.unused, rule.mostBytes) = (days, unused, most)
        return cache.chosen(by: rule).map { String($0.stage.key.name.suffix(1)) }
      }
      #expect(chosen(15) == ["2", "3"] && chosen(30) == ["2"] && chosen(nil, true) == ["2", "3"] && chosen(5, true) == ["2", "3"])
      let all = cache.entries.reduce(0) { $0 + $1.size }
      #expect(chosen(nil, false, all) == [] && chosen(nil, false, all - 1) == ["2"] && chosen(nil, false, 1) == ["2", "3", "1"])
      #expect(chosen(30, false, 1) == ["2"])
    }
  }

  /// What one process has found, or works at, another one does not remove. Locks are those of the open file, so that two stores in one
  /// process stand for two processes.
  @Test func removesNothingThatIsInUse() throws {
    try withTemporaryFolder { folder in
      for number in 1...2 { try store(number, days: 1, in: folder) }
      do {
        let pipeline = StageStore(root: folder)
        #expect(try pipeline.lookup(key(1)) != nil)
        guard case .begun(let work) = try pipeline.open(key(3)) else { return }
        let cache = StageCache(StageStore(root: folder), runs: [])
        var kept: [String] = []
        let removed = try cache.remove(cache.entries) { kept.append($0.stage.key.name) }
        #expect(kept.sorted() == ["stage 1", "stage 3"] && removed.count == 1)
        #expect(try pipeline.lookup(key(2)) == nil)
        // It was just used, which its age shows.
        #expect(cache.store.list().first.map { Date().timeIntervalSince(cache.store.lastUse($0)) < 60 } == true)
        withExtendedLifetime((work, pipeline)) {}
      }
      let cache = StageCache(StageStore(root: folder), runs: [])
      #expect(try cache.remove(cache.entries) { _ in Issue.record("kept") }.count == 2)
      #expect(StageStore(root: folder).list().isEmpty)
      #expect(try AtomicFolder.names(in: folder + "/stages-3").isEmpty)
    }
  }
}

extension StageCacheTests {
  /// The commands, over a run that trains.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built")) func commands() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script = TinyTask.script(folder, "") + "stage('tiny', function() return trainer.fit(options(make())) end)"
      try AtomicFile.write("params { r = 4 }\n" + script, to: folder + "/t.lua")
      let options = "--threads 1 --precision fp32 --quiet"
      let outcome = try bash(
        [
          "-c",
          """
          P=\(#require(perigeeExecutable)); set -e
          $P run t.lua \(options) --out elsewhere/r1; $P run t.lua \(options) --set r=8 --out elsewhere/r2
          $P runs tag r1 paper old; $P runs tag r1 old --remove; $P runs note elsewhere/r1 'the good one'
          $P runs --filter tags=paper --sort -r | tee list; $P runs list --json >json
          rm -r .local/share/perigee/runs.db; $P runs list --json | cmp - json
          $P runs show r1 >show; grep -q 'the good one' show; grep -q 'learning_rate *0.005' show
          $P runs compare r1 r2 | grep -q '^r  *4  8'
          $P runs rm r2 </dev/null 2>&1 || true; $P runs rm r2 --yes
          $P cache; $P cache prune --unused --dry-run | tail -n 1
          $P runs rm r1 --yes; $P cache prune --unused --yes; $P cache | tail -n 1; $P cache prune 2>&1 || true
          """,
        ], in: folder)
      #expect(outcome.code == 0, "\(outcome.output)\(outcome.error)")
      for part in [
        "r1    finished", "  4  ", "paper", "perigee: error: nobody is there to ask: remove \(realPath(folder) ?? "")/elsewhere/r2", "1 removed",
        "within an hour  r1",
        "0 stages, 0 bytes, would be removed", "1 stage removed", "0 stages, ", "Expected --older-than, --max-size or --unused",
      ] { #expect(outcome.output.contains(part), "\(part): \(outcome.output)") }
    }
  }
}
