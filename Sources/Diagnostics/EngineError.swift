/// A mistake that the user of a script, a file or an option can mend: what failed, what came, what was
/// needed, what to do. Its description is one line. Bugs of the engine itself are `precondition`s instead.
public struct EngineError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What went wrong, for callers that react differently (exit codes, retries).
  public enum Kind: String, Sendable {
    /// A wrong argument, option, or name.
    case argument
    /// Shapes or dtypes that do not fit each other.
    case shape
    /// A file that is missing, unreadable, or cannot be written.
    case file
    /// A file that was read, and whose content is malformed or does not fit.
    case data
    /// A loss, gradient or weight that is not finite.
    case notFinite
    /// Ctrl-C.
    case interrupted
  }

  public let kind: Kind
  /// One line of at most 580 letters: place, what was expected, what was given.
  public let message: String
  /// What to do about it, if there is something to say.
  public let hint: String?

  public init(_ kind: Kind, _ message: String, hint: String? = nil) {
    self.kind = kind
    self.hint = hint.map { shortened($0, limit: 240) }
    self.message = shortened(message, limit: 580 - (self.hint?.count ?? 0))
  }

  public var description: String {
    hint.map { "\(message); \($0)" } ?? message
  }

  /// The same error with a place in front of its message, such as a file name or a path of modules.
  public func at(_ place: String) -> EngineError {
    EngineError(kind, "\(place): \(message)", hint: hint)
  }
}

/// An error that can mean that Ctrl-C ended what was going on.
public protocol InterruptibleError: Error {
  var isInterruption: Bool { get }
}

extension EngineError: InterruptibleError {
  public var isInterruption: Bool { kind == .interrupted }
}

/// Whether an error means that Ctrl-C ended what was going on.
public func isInterruption(_ error: any Error) -> Bool { (error as? any InterruptibleError)?.isInterruption ?? false }
