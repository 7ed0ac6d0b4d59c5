import Diagnostics
import Files

/// Cuts text at the matches of a pattern: Llama's and Qwen's words are a regular expression's.
struct PatternSplit: PreTokenizer {
  /// What becomes of a match.
  private enum Behavior: String, CaseIterable {
    case isolated = "Isolated"
    case removed = "Removed"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    /// Neighbouring matches are one piece.
    case contiguous = "Contiguous"
  }

  private let pattern: TextPattern
  private let behavior: Behavior
  /// What lies between the matches is taken for the matches.
  private let isInverted: Bool

  init(_ json: JSONValue, at place: String) throws {
    pattern = try TextPattern(json["pattern"], at: place)
    let name = try json.string("behavior", at: place)
    guard let behavior = Behavior(rawValue: name) else {
      throw EngineError(
        .data, "\(place): behavior '\(name)'", hint: "expected one of " + Behavior.allCases.map(\.rawValue).joined(separator: ", "))
    }
    self.behavior = behavior
    isInverted = try json.bool("invert", default: false, at: place)
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    var parts: [(range: Range<Int>, isMatch: Bool)] = []
    var position = 0
    for match in pattern.matches(in: text) {
      if position < match.lowerBound { parts.append((position..<match.lowerBound, isInverted)) }
      parts.append((match, !isInverted))
      position = match.upperBound
    }
    if position < text.count { parts.append((position..<text.count, isInverted)) }
    for (i, part) in parts.enumerated() {
      let next = i + 1 < parts.count ? parts[i + 1].isMatch : nil
      if behavior == .removed, part.isMatch {
        out.cut()
        continue
      }
      out.bytes.append(contentsOf: text[part.range])
      let isJoined =
        switch behavior {
        case .isolated, .removed: false
        case .contiguous: next == part.isMatch
        // A match goes with one neighbour that is none.
        case .mergedWithPrevious: !part.isMatch && next == true
        case .mergedWithNext: part.isMatch && next == false
        }
      if !isJoined { out.cut() }
    }
    out.cut()
  }
}

/// Sets digits apart: each one, or runs of them.
struct Digits: PreTokenizer {
  private let areIndividual: Bool

  init(_ json: JSONValue, at place: String) throws {
    areIndividual = try json.bool("individual_digits", default: false, at: place)
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    var wasDigit = false
    out.append(text) { next in
      let isDigit = UnicodeClasses.isNumeric(next)
      defer { wasDigit = isDigit }
      return isDigit != wasDigit || (isDigit && areIndividual) ? .first : .inside
    }
  }
}

/// Writes spaces as a visible character, with one in front of the text: SentencePiece's words.
struct Metaspace: PreTokenizer, Decoder {
  private enum Scheme: String, CaseIterable { case always, first, never }

  private let replacement: [UInt8]
  private let scheme: Scheme
  private let splits: Bool

  init(_ json: JSONValue, at place: String) throws {
    replacement = Array((try json.optionalString("replacement", at: place) ?? "\u{2581}").utf8)
    // Files of early versions have a flag instead of the scheme.
    let addsPrefix = try json.bool("add_prefix_space", default: true, at: place)
    let name = try json.optionalString("prepend_scheme", at: place) ?? (addsPrefix ? "always" : "never")
    guard let scheme = Scheme(rawValue: name) else {
      throw EngineError(
        .data, "\(place): prepend_scheme '\(name)'", hint: "expected one of " + Scheme.allCases.map(\.rawValue).joined(separator: ", "))
    }
    self.scheme = scheme
    splits = try json.bool("split", default: true, at: place)
    guard !replacement.isEmpty else { throw EngineError(.data, "\(place): 'replacement' is empty") }
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    var bytes = TextPattern.text([0x20]).replaced(with: replacement, in: Array(text))
    let isWanted = scheme == .always || (scheme == .first && out.isAtStart)
    if isWanted, !bytes.starts(with: replacement) { bytes = replacement + bytes }
    var position = 0
    while position < bytes.count {
      let isSpace = bytes[position...].starts(with: replacement)
      if isSpace, splits { out.cut() }
      let length = isSpace ? replacement.count : 1
      out.bytes.append(contentsOf: bytes[position..<position + length])
      position += length
    }
    out.cut()
  }

  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
    tokens.enumerated().map { index, token in
      let isFirst = index == 0 && scheme != .never && token.starts(with: replacement)
      return TextPattern.text(replacement).replaced(with: [0x20], in: isFirst ? Array(token.dropFirst(replacement.count)) : token)
    }
  }
}
