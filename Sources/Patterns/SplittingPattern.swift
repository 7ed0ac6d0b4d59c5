import Diagnostics

/// A regular expression that cuts text into words for a tokenizer, by Oniguruma's rules: its matches one after another, each the
/// one that a search with backtracking finds first.
///
/// Classes with `\p{...}`, choices, greedy repeats, groups with the flag `i`, and look-around are there, which is what published
/// tokenizers use; anything else is refused. Nothing is tried twice at one place, whatever the pattern is.
public struct SplittingPattern: Sendable {
  private let program: PatternProgram

  /// - Throws: `EngineError` if the pattern is malformed, needs something that is refused, or matches an empty text.
  public init(_ pattern: String) throws(EngineError) {
    do throws(PatternMistake) {
      var parser = try PatternParser(pattern, .oniguruma)
      program = try PatternProgram(try parser.parse())
    } catch {
      throw EngineError(.data, "'\(pattern.prefix(200))' is not a regular expression that is supported: \(error.reason)")
    }
    var sets = StepSets(program)
    guard PatternMatcher(program, "").firstEnd(of: program.main, from: 0, &sets) == nil else {
      throw EngineError(.data, "'\(pattern.prefix(200))' matches an empty text, which is not supported")
    }
  }

  /// The matches in text that is valid UTF-8, in order, as ranges of bytes.
  public func matches(in text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
    var scalars: [UInt32] = []
    var places: [Int] = []
    scalars.reserveCapacity(text.count)
    places.reserveCapacity(text.count + 1)
    for (place, scalar) in zip(text.indices.lazy.filter { text[$0] & 0xC0 != 0x80 }, String(decoding: text, as: UTF8.self).unicodeScalars) {
      places.append(place)
      scalars.append(scalar.value)
    }
    places.append(text.count)
    let matcher = PatternMatcher(program, scalars)
    var sets = StepSets(program)
    var found: [Range<Int>] = []
    var start = 0
    while start < scalars.count {
      guard let end = matcher.firstEnd(of: program.main, from: start, &sets), end > start else {
        start += 1
        continue
      }
      found.append(places[start]..<places[end])
      start = end
    }
    return found
  }
}
