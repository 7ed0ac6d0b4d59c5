import Foundation
import Synchronization

/// Ctrl-C: asked for once, the work in progress saves and stops; asked for twice, the process ends at once.
///
/// The handler only counts. Long loops call `check()` between steps, and running scripts are stopped by
/// their interpreter, which looks at `isRequested` every few thousand instructions.
public enum Interrupt {
  /// The exit code of an interrupted process, 128 + SIGINT.
  public static let exitCode: Int32 = 130

  private static let requests = Atomic<Int>(0)
  private static let holds = Atomic<Int>(0)

  /// Makes SIGINT count as a request; the second one leaves the process with code 130.
  public static func install() {
    // Initialises the counter now: a signal handler must not.
    _ = requests.load(ordering: .relaxed)
    signal(SIGINT) { _ in Interrupt.request() }
  }

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
  public static func reset() { requests.store(0, ordering: .relaxed) }
}
