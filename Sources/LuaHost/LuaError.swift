import Diagnostics

// Unchecked: it is thrown, caught and read on the one thread of its state; errors must be Sendable.
/// A script failed: with a message that starts with the script's file and line, where those are known.
public struct LuaError: InterruptibleError, @unchecked Sendable, CustomStringConvertible {
  /// `train.lua:12: bad argument #2 'y' to 'axpy' (expected number, got nothing)`
  public let message: String
  /// The calls that led there, innermost first, one a line; empty if memory ran out.
  public let traceback: String
  /// The error of the engine, if the script failed because of one, or was interrupted.
  public let underlying: EngineError?
  /// What the script raised, if it was something else than text.
  public let value: LuaValue

  init(
    message: String, traceback: String = "", underlying: EngineError? = nil, value: LuaValue = .nil
  ) {
    self.message = message
    self.traceback = traceback
    self.underlying = underlying
    self.value = value
  }

  public var description: String { message }

  /// A message whose place stands once: who adds the line that failed cannot know that it is there already.
  static func placedOnce(_ message: String) -> String {
    guard let place = place(in: message) else { return message }
    var rest = message[place.endIndex...]
    while rest.hasPrefix(place) { rest = rest.dropFirst(place.count) }
    return String(place + rest)
  }

  /// What stands up to the first "train.lua:12: ", that included; nil: there is none.
  static func place(in message: String) -> Substring? {
    var end = message.startIndex
    while let separator = message[end...].firstRange(of: ": ") {
      end = separator.upperBound
      let place = message[..<end]
      let line = place.dropLast(2).reversed().prefix { $0.isASCII && $0.isNumber }
      if !line.isEmpty, place.dropLast(2 + line.count).hasSuffix(":") { return place }
    }
    return nil
  }

  /// Whether Ctrl-C ended the script.
  public var isInterruption: Bool { underlying?.kind == .interrupted }
}

/// What scripts catch with `pcall` when a function of the host failed. It prints as its message.
public final class ErrorObject: LuaObject {
  public static let luaName = "Error"
  /// The error that the script will see, and that Swift gets back if the script lets it pass.
  public let error: LuaError

  init(_ error: LuaError) { self.error = error }

  /// The class that every state knows.
  static var declaration: Class<ErrorObject> {
    Class(
      "What `pcall` returns when a function of the host failed.",
      .property("message", "place and text") { $0.error.message },
      .property("kind", "argument, shape, file, data, notFinite or interrupted") {
        $0.error.underlying?.kind.rawValue ?? "script"
      },
      .property("traceback", "the calls that led there, one a line") { $0.error.traceback },
      .metamethod("__tostring", "the message", Param<ErrorObject>("error", "the error")) {
        $0.error.message
      },
      .metamethod(
        "__concat", "joins the message with text", Param<LuaValue>("left", "error or text"),
        Param<LuaValue>("right", "error or text")
      ) { left, right in try text(left) + text(right) }
    )
  }

  private static func text(_ value: LuaValue) throws -> String {
    switch value {
    case .string(let text): return text
    case .integer(let number): return String(number)
    case .number(let number): return String(number)
    case .object(let object as ErrorObject): return object.error.message
    default:
      throw EngineError(.argument, "cannot join an error with a \(value.typeName)")
    }
  }
}
