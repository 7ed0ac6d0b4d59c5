import Synchronization

/// What a request waits for: a result, or the end of its time.
final class Pending<Value: Sendable>: Sendable {
  private struct State {
    var result: Result<Value, any Error>?
    var waiting: CheckedContinuation<Value, any Error>?
  }

  private let state = Mutex(State())
  private let seconds: Double

  /// `seconds`: how long the request may wait.
  init(seconds: Double) { self.seconds = seconds }

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

  /// Waits for the result. Called once.
  func value() async throws -> Value {
    let timer = Task { [self] in
      try await Task.sleep(for: .seconds(seconds))
      finish(.failure(Self.late(seconds)))
    }
    defer { timer.cancel() }
    return try await withCheckedThrowingContinuation { continuation in
      let result = state.withLock { state -> Result<Value, any Error>? in
        if state.result == nil { state.waiting = continuation }
        return state.result
      }
      if let result { continuation.resume(with: result) }
    }
  }

  static func late(_ seconds: Double) -> RequestError {
    RequestError(.gatewayTimeout, "no answer within \(seconds.inWords) seconds", hint: "ask for less at a time; --request-timeout sets the limit")
  }
}

extension Double {
  /// Without a fraction of zero.
  var inWords: String { Int(exactly: self).map(String.init) ?? "\(self)" }
}
