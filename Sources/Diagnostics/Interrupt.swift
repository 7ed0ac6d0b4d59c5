import Foundation
import Synchronization

/// Ctrl-C, SIGTERM, SIGHUP, and the SIGUSR1 and SIGUSR2 by which batch systems announce the end of a job: asked for once, the
/// work in progress saves and stops; asked for twice, the process ends at once. Where no work is in progress that could be saved, the first signal ends the process.
///
/// The handler only counts. Long loops call `check()` between steps, and running scripts are stopped by
/// their interpreter, which looks at `isRequested` every few thousand instructions.
public enum Interrupt {
  /// The exit code of an interrupted process, 128 and the signal's number: 130 after Ctrl-C, 143 after SIGTERM, 129 after
  /// SIGHUP, 138 after SIGUSR1, 140 after SIGUSR2.
  public static var exitCode: Int32 { 128 + lastSignal.load(ordering: .relaxed) }

  /// The name of that signal: "SIGUSR1".
  public static var signalName: String {
    let names = [SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGHUP", SIGUSR1: "SIGUSR1", SIGUSR2: "SIGUSR2"]
    return names[exitCode - 128] ?? "signal \(exitCode - 128)"
  }

  /// From here on `exitCode` is what a process that works together with this one was interrupted with.
  public static func adopt(exitCode: Int32) {
    if (129...192).contains(exitCode) { lastSignal.store(exitCode - 128, ordering: .relaxed) }
  }

  private static let requests = Atomic<Int>(0)
  private static let holds = Atomic<Int>(0)
  private static let lastSignal = Atomic<Int32>(SIGINT)
  /// When the first signal came, in milliseconds of a clock that does not jump; 0: none came.
  private static let firstTime = Atomic<Int>(0)
  private static let hasWork = Atomic<Bool>(false)

  /// Signals this near to the first are the same request: `timeout`, shells and batch systems signal a process and then its
  /// group.
  private static let sameRequest = 100

  /// Makes signals count as requests, also where the process that started this one had blocked them. SIGHUP stays ignored
  /// where it is, as `nohup` wants it.
  public static func install() {
    // Initialises the counters now: a signal handler must not.
    _ = (isRequested, exitCode, firstTime.load(ordering: .relaxed), hasWork.load(ordering: .relaxed))
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2] {
      sigaddset(&signals, number)
      let before = signal(number) { Interrupt.receive($0) }
      let isIgnored = before.map { unsafeBitCast($0, to: Int.self) == 1 } ?? false
      if number == SIGHUP && isIgnored { signal(number, SIG_IGN) }
    }
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// From here on there is work that a signal lets save itself.
  public static func protectWork() { hasWork.store(true, ordering: .relaxed) }

  /// Whether an interruption was asked for, and need not wait.
  public static var isRequested: Bool { requests.load(ordering: .relaxed) > 0 && holds.load(ordering: .relaxed) == 0 }

  /// Runs what must not be cut off half-way: an interruption that is asked for meanwhile waits for its end. The second one
  /// still ends the process at once.
  public static func hold<Result>(_ body: () throws -> Result) rethrows -> Result {
    holds.add(1, ordering: .relaxed)
    defer { holds.subtract(1, ordering: .relaxed) }
    return try body()
  }

  /// Throws an `EngineError` of kind `.interrupted` if an interruption was asked for.
  public static func check() throws(EngineError) {
    if isRequested { throw EngineError(.interrupted, "interrupted") }
  }

  /// Asks for an interruption, as Ctrl-C does. Safe in signal handlers.
  public static func request() {
    if requests.add(1, ordering: .relaxed).oldValue > 0 { _exit(exitCode) }
  }

  /// Forgets a request that was honoured.
  public static func reset() {
    requests.store(0, ordering: .relaxed)
    firstTime.store(0, ordering: .relaxed)
  }

  /// The handler: nothing here allocates, locks, or waits.
  private static func receive(_ number: Int32) {
    lastSignal.store(number, ordering: .relaxed)
    if !hasWork.load(ordering: .relaxed) {
      sayInterrupted()
      _exit(128 + number)
    }
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let now = 1 + time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    let (isFirst, first) = firstTime.compareExchange(expected: 0, desired: now, ordering: .relaxed)
    if isFirst { return request() }
    if now - first >= sameRequest { _exit(128 + number) }
  }

  private static func sayInterrupted() {
    // A pipe that nobody empties must not keep the process.
    var output = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
    guard poll(&output, 1, 0) == 1, output.revents & Int16(POLLOUT) != 0 else { return }
    let text: StaticString = "perigee: interrupted\n"
    _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
  }
}
