import Diagnostics
import Foundation
import Synchronization

/// The one thread that computes with models: takes requests in the order in which they came, and those that can go through a model
/// together at once.
final class ModelThread: @unchecked Sendable {
  private let condition = NSCondition()
  /// Under the condition's lock.
  private var waiting: [any Work] = []
  private var isStopped = false
  private var hasEnded = false
  private let mostWaiting: Int
  private let counts = Mutex(Counts())
  private let interrupted = Atomic(false)

  /// What it has done.
  struct Counts {
    var turns = 0
    var works = 0
    var busySeconds = 0.0
  }

  /// `mostWaiting`: requests that wait at most.
  init(mostWaiting: Int) { self.mostWaiting = mostWaiting }

  func start() {
    let thread = Thread { [self] in run() }
    // As much as a program's first thread usually has.
    thread.stackSize = 8 << 20
    thread.name = "perigee-model"
    thread.start()
  }

  /// Throws `RequestError` where too many wait already.
  func add(_ work: any Work) throws(RequestError) {
    condition.lock()
    defer { condition.unlock() }
    guard !isStopped else { throw .busy("the server is being stopped") }
    // Requests that nobody waits for any more must not keep others out.
    if waiting.count >= mostWaiting { waiting.removeAll(where: \.isOver) }
    guard waiting.count < mostWaiting else { throw .busy("\(waiting.count) requests are waiting already") }
    waiting.append(work)
    condition.signal()
  }

  var waitingCount: Int {
    condition.lock()
    defer { condition.unlock() }
    return waiting.count
  }

  /// Whether an interruption was asked for during a turn.
  var sawInterruption: Bool { interrupted.load(ordering: .relaxed) }

  var totals: Counts { counts.withLock { $0 } }

  /// Lets it end once nothing waits, and returns when it has.
  func stop() {
    condition.lock()
    defer { condition.unlock() }
    isStopped = true
    condition.signal()
    while !hasEnded { condition.wait() }
  }

  private func run() {
    while let (work, others) = next(waits: true, where: { _ in true }) {
      // What is under way is finished, also after Ctrl-C.
      let start = ContinuousClock.now
      Interrupt.hold { turn(work, others) }
      counts.withLock { $0.busySeconds += start.duration(to: .now).seconds }
      if Interrupt.isRequested { interrupted.store(true, ordering: .relaxed) }
    }
    condition.lock()
    defer { condition.unlock() }
    hasEnded = true
    condition.broadcast()
  }

  /// The next work that somebody waits for, and others of its group; nil: it was stopped, or nothing is there.
  private func next(waits: Bool, where isWanted: (any Work) -> Bool) -> (any Work, [any Work])? {
    condition.lock()
    defer { condition.unlock() }
    while true {
      waiting.removeAll(where: \.isOver)
      if let place = waiting.firstIndex(where: isWanted) {
        let work = waiting.remove(at: place)
        guard let group = work.group else { return (work, []) }
        let others = waiting.filter { $0.group == group }
        waiting.removeAll { $0.group == group }
        return (work, others)
      }
      guard waits, !isStopped else { return nil }
      condition.wait()
    }
  }

  private func turn(_ work: any Work, _ others: [any Work]) {
    do {
      let left = try work.turn(with: others, between: doWaitingTexts)
      if !left.isEmpty {
        condition.lock()
        waiting += left
        condition.unlock()
      }
    } catch {
      // One bad request must not be the others' error: each gets a turn of its own.
      if others.isEmpty { work.fail(error) } else { ([work] + others).forEach { turn($0, []) } }
      return
    }
    counts.withLock {
      $0.turns += 1
      $0.works += 1 + others.count
    }
  }

  /// Short work in the midst of a text that is being written.
  private func doWaitingTexts() {
    while let (work, others) = next(waits: false, where: { $0.group?.hasPrefix(Self.shortWork) == true }) { turn(work, others) }
  }

  /// Begins the groups of work that takes no long turns.
  static let shortWork = "texts "
}
