/// A parsed pattern.
indirect enum PatternNode {
  case set(ScalarSet)
  case sequence([PatternNode])
  case choice([PatternNode])
  /// `most` nil: without end. Whether it is greedy changes what groups capture, not whether there is a match.
  case repeated(PatternNode, least: Int, most: Int?)
  case anchor(PatternAnchor)
  case look(PatternNode, isAhead: Bool, isNegated: Bool)

  /// The only length that it matches, if there is only one.
  var fixedWidth: Int? {
    switch self {
    case .set: return 1
    case .anchor, .look: return 0
    case .sequence(let parts):
      var sum = 0
      for part in parts {
        guard let width = part.fixedWidth else { return nil }
        let (total, overflow) = sum.addingReportingOverflow(width)
        if overflow { return nil }
        sum = total
      }
      return sum
    case .choice(let parts):
      let widths = Set(parts.map(\.fixedWidth))
      return widths.count == 1 ? widths.first ?? nil : nil
    case .repeated(let part, let least, let most):
      guard let width = part.fixedWidth else { return nil }
      if width == 0 { return 0 }
      guard least == most else { return nil }
      let (total, overflow) = width.multipliedReportingOverflow(by: least)
      return overflow ? nil : total
    }
  }
}

/// A condition on a place between two characters.
enum PatternAnchor: Sendable {
  case textStart, textEnd
  case lineStart
  /// `$`: the end, or before a line feed at the end.
  case lastLineEnd
  /// `$` with the flag `m`.
  case lineEnd
  case wordBoundary(isWanted: Bool, isASCIIOnly: Bool)

  func holds(at position: Int, in text: [UInt32]) -> Bool {
    switch self {
    case .textStart: return position == 0
    case .textEnd: return position == text.count
    case .lineStart: return position == 0 || text[position - 1] == 10
    case .lineEnd: return position == text.count || text[position] == 10
    case .lastLineEnd: return position == text.count || (position == text.count - 1 && text[position] == 10)
    case .wordBoundary(let isWanted, let isASCIIOnly):
      if text.isEmpty { return false }  // Python, before 3.14: an empty text has neither \b nor \B.
      let before = position > 0 && isWord(text[position - 1], isASCIIOnly: isASCIIOnly)
      let after = position < text.count && isWord(text[position], isASCIIOnly: isASCIIOnly)
      return (before != after) == isWanted
    }
  }
}
