import Synchronization

/// Something that ends at a time of its own.
protocol Expiring: AnyObject, Sendable {
  var deadline: ContinuousClock.Instant { get }
  func expire()
}

/// Ends what is late. A timer for each request would stay in memory for all of the request's time, also where the answer came at once.
final class Deadlines: Sendable {
  private let waiting = Mutex<[ObjectIdentifier: any Expiring]>([:])

  func add(_ item: any Expiring) { waiting.withLock { $0[ObjectIdentifier(item)] = item } }
  func remove(_ item: any Expiring) { waiting.withLock { $0[ObjectIdentifier(item)] = nil } }

  /// Looks for late ones ten times a second, until the task is cancelled.
  func run() async {
    while (try? await Task.sleep(for: .milliseconds(100))) != nil {
      let now = ContinuousClock.now
      waiting.withLock { $0.values.filter { $0.deadline < now } }.forEach { $0.expire() }
    }
  }
}

/// What a request waits for: a result, or the end of its time.
final class Pending<Value: Sendable>: Expiring {
  private struct State {
    var result: Result<Value, any Error>?
    var waiting: CheckedContinuation<Value, any Error>?
  }

  let deadline: ContinuousClock.Instant
  private let state = Mutex(State())
  private let seconds: Double
  private let deadlines: Deadlines

  /// `seconds`: how long the request may wait.
  init(seconds: Double, _ deadlines: Deadlines) {
    (self.seconds, self.deadlines) = (seconds, deadlines)
    deadline = .now + .seconds(seconds)
  }

  /// Whether nobody waits for a result any more, or there is one.
  var isOver: Bool { state.withLock { $0.result != nil } }

  /// Gives the result; the first one counts.
  func finish(_ result: Result<Value, any Error>) {
    let waiting = state.withLock { state -> CheckedContinuation<Value, any Error>? in
      guard state.result == nil else { return nil }
      state.result = result
      defer { state.waiting = nil }
      return state.waiting
    }
    waiting?.resume(with: result)
  }

  func expire() {
    finish(
      .failure(
        RequestError(
          .gatewayTimeout, "no answer within \(Int(exactly: seconds).map(String.init) ?? "\(seconds)") seconds",
          hint: "ask for less at a time; --request-timeout sets the limit")))
  }

  /// Waits for the result. Called once.
  func value() async throws -> Value {
    deadlines.add(self)
    defer { deadlines.remove(self) }
    return try await withCheckedThrowingContinuation { continuation in
      let result = state.withLock { state -> Result<Value, any Error>? in
        if state.result == nil { state.waiting = continuation }
        return state.result
      }
      if let result { continuation.resume(with: result) }
    }
  }
}
