import Diagnostics

/// A regular expression that means what it means to Python's `re`, for patterns and names that strangers wrote.
///
/// Only whether it matches is told, never what a group captured. That is found without backtracking: time grows with
/// the length of the pattern times the length of the text, whatever the pattern is.
///
/// Look-ahead, and look-behind of a fixed width, are there. What needs backtracking (back-references, conditions,
/// atomic groups, possessive repeats), the flag `x` and names of characters (`\N{...}`) are refused.
public struct RegularExpression: Sendable, Equatable {
  /// The pattern as it was written.
  public let pattern: String
  private let program: PatternProgram

  /// - Throws: `EngineError` of this kind if the pattern is malformed, needs something that is refused, or is too large.
  public init(_ pattern: String, kind: EngineError.Kind = .argument) throws(EngineError) {
    self.pattern = pattern
    do throws(PatternMistake) {
      var parser = try PatternParser(pattern)
      program = try PatternProgram(try parser.parse())
    } catch {
      let shown = pattern.count > 200 ? pattern.prefix(200) + "..." : pattern[...]
      throw EngineError(kind, "'\(shown)' is not a valid regular expression: \(error.reason)")
    }
  }

  /// Whether it matches the whole text: `re.fullmatch`.
  public func matchesWhole(_ text: String) -> Bool {
    let matcher = PatternMatcher(program, text)
    return matcher.ends(of: program.main, startsAnywhere: false)[matcher.count]
  }

  /// A pattern that matches this text alone: `re.escape`.
  public static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      if scalar.isASCII, !scalar.properties.isAlphabetic, scalar != "_", !("0"..."9").contains(scalar) {
        result.unicodeScalars.append("\\")
      }
      result.unicodeScalars.append(scalar)
    }
    return result
  }

  public static func == (left: RegularExpression, right: RegularExpression) -> Bool { left.pattern == right.pattern }
}

/// Why a pattern cannot be used.
struct PatternMistake: Error {
  let reason: String
}
