/// One `name=value` of a command line, as `--set` takes it.
public struct Setting: Sendable {
  public let name: String
  /// What follows the first "=".
  public let value: String
  /// The whole, behind the option, for messages: "--set r=8".
  public let place: String

  /// Throws `EngineError` for text without "=", without a name, or with the character NUL.
  public init(_ text: String) throws(EngineError) {
    place = "--set \(text)"
    guard !text.utf8.contains(0) else { throw EngineError(.argument, "--set: expected a text without the character NUL") }
    guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
      throw EngineError(.argument, "\(place): expected name=value")
    }
    (name, value) = (String(text[..<equals]), String(text[text.index(after: equals)...]))
  }

  /// The error for a name that is none of those known. `hint`: what to do, if not to take the nearest of them.
  public func unknown(among known: [String], hint: String? = nil) -> EngineError {
    EngineError(.argument, "\(place): no option '\(name)'", hint: hint ?? suggestion(for: name, among: known.sorted()))
  }
}
