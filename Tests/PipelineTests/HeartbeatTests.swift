import Diagnostics
import Testing

@testable import Engine

/// When a process is said to hang. Seconds are those of the watch's clock, which the tests set.
@Suite struct HeartbeatTests {
  /// What the first of `count` processes sees when all beat every second, but for what `change` says; to `seconds`.
  private func watch(
    _ count: Int = 3, to seconds: Int, _ hears: (_ rank: Int, _ second: Int) -> HeartbeatReport? = { _, _ in HeartbeatReport() }
  ) -> HeartbeatWatch {
    var watch = HeartbeatWatch(rank: 0, count: count, HeartbeatTiming(patience: 20))
    for second in 0...seconds {
      for rank in 1..<count { if let report = hears(rank, second) { watch.hear(rank, report, at: Double(second)) } }
      watch.look(hears(0, second) ?? HeartbeatReport(), at: Double(second))
    }
    return watch
  }

  @Test func silenceIsAHang() {
    func hears(_ rank: Int, _ second: Int) -> HeartbeatReport? { rank == 2 && second > 10 ? nil : HeartbeatReport(waits: 3, place: "an update") }
    #expect(watch(to: 29, hears).hanging(at: 29) == [])
    let last = watch(to: 30, hears)
    #expect(last.hanging(at: 30) == [2] && last.living(at: 30) == [0, 1])
    #expect(last.deeds(at: 30) == "processes 1 and 2 waited at an update")
  }

  /// A cut network silences all that lie behind it.
  @Test func allThatAreSilentAreNamed() {
    let last = watch(5, to: 30) { rank, second in
      rank > 2 && second > 10 + rank - 3 ? nil : HeartbeatReport(waits: rank == 1 ? 2 : 1, place: "an update")
    }
    #expect(last.hanging(at: 30) == [3, 4] && last.living(at: 30) == [0, 1, 2])
    #expect(last.deeds(at: 30) == "processes 1 and 3 waited at an update, process 2 computed")
  }

  @Test func aLongComputationIsNone() {
    let last = watch(to: 10_000) { rank, _ in HeartbeatReport(waits: rank == 1 ? 6 : 7, place: "an update") }
    #expect(last.hanging(at: 10_000) == [] && !last.isStuck(at: 10_000))
  }

  @Test func aDebuggerAndAFarewellAreNone() {
    let held = watch(to: 100) { rank, second in rank == 1 && second > 10 ? nil : HeartbeatReport(isTraced: rank == 1) }
    #expect(held.hanging(at: 100) == [])
    var left = watch(to: 10)
    left.leaves(2)
    for second in 11...100 {
      left.hear(1, HeartbeatReport(), at: Double(second))
      left.look(HeartbeatReport(), at: Double(second))
    }
    #expect(left.hanging(at: 100) == [] && left.living(at: 100) == [0, 1])
  }

  /// Nobody may be judged by what was not heard.
  @Test func whoStoodStillItselfListensAnew() {
    var last = watch(to: 10)
    last.look(HeartbeatReport(), at: 100)
    #expect(last.hanging(at: 100) == [])
    for second in 101...119 { last.look(HeartbeatReport(), at: Double(second)) }
    #expect(last.hanging(at: 119) == [])
    last.look(HeartbeatReport(), at: 120)
    #expect(last.hanging(at: 120) == [1, 2])
  }

  @Test func whoWasNeverHeardIsNotJudged() {
    #expect(watch(to: 100) { rank, _ in rank == 1 ? nil : HeartbeatReport() }.hanging(at: 100) == [])
  }

  /// The signs of life come through another network than what MPI sends.
  @Test func waitingForEachOtherForEverIsAFault() {
    func hears(_ rank: Int, _ second: Int) -> HeartbeatReport? { HeartbeatReport(waits: second < 50 ? 1 : 3, place: "an update") }
    #expect(!watch(to: 249, hears).isStuck(at: 249))
    #expect(watch(to: 250, hears).isStuck(at: 250))
  }

  @Test func theTimeIsReadFromTheEnvironment() throws {
    #expect(try HeartbeatTiming.current([:]).patience == 20)
    #expect(try HeartbeatTiming.current([HeartbeatTiming.variable: "0"]).patience == 0)
    #expect(try HeartbeatTiming.current([HeartbeatTiming.variable: "2.5"]) == HeartbeatTiming(patience: 2.5))
    for text in ["-1", "0.5", "long", "1e9"] {
      let error = #expect(throws: EngineError.self) { try HeartbeatTiming.current([HeartbeatTiming.variable: text]) }
      #expect(error?.message == "PERIGEE_HANG_SECONDS=\(text): expected seconds from 1 to 86400, or 0")
    }
    var off = HeartbeatWatch(rank: 0, count: 2, HeartbeatTiming(patience: 0))
    off.hear(1, HeartbeatReport(waits: 1), at: 0)
    off.look(HeartbeatReport(waits: 1), at: 1e6)
    #expect(off.hanging(at: 1e6) == [] && !off.isStuck(at: 1e6))
  }

  @Test func namesOfMany() {
    #expect(HeartbeatWatch.names([1]) == "process 2")
    #expect(HeartbeatWatch.names(Array(0..<10)) == "processes 1, 2, 3, 4, 5, 6 and 4 more")
  }
}
