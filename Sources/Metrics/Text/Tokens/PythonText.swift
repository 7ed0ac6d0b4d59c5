/// A word as the scalars of Unicode that it is written with.
///
/// Swift's strings are equal when they look alike; those of the reference programs when they are written alike.
typealias Word = [Unicode.Scalar]

extension Unicode.Scalar {
  /// What byte-wise programs, such as Perl scripts without an encoding, take for a space.
  var isASCIISpace: Bool { (0x09...0x0D).contains(value) || value == 0x20 }

  /// 0 to 9.
  var isASCIIDigit: Bool { (0x30...0x39).contains(value) }
}

extension [Unicode.Scalar] {
  /// The scalars of a text.
  init(_ text: String) { self = Array(text.unicodeScalars) }

  /// The runs between spaces, as Python's `str.split` cuts a text.
  func words(where isSpace: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> [Word] {
    split(whereSeparator: isSpace).map(Array.init)
  }

  /// Without spaces at the end.
  var withoutTrailingSpaces: [Unicode.Scalar] {
    guard let last = lastIndex(where: { !$0.isPythonSpace }) else { return [] }
    return Array(self[...last])
  }

  /// Lower case by Unicode's full mappings, with the sigma of a word's end as Python and Java write it.
  var lowercased: [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(count)
    for (place, scalar) in enumerated() {
      if scalar.isASCII {
        result.append(("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) | 0x20) : scalar)
      } else if scalar == "\u{3A3}" {
        result.append(endsWord(place) ? "\u{3C2}" : "\u{3C3}")
      } else {
        result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
      }
    }
    return result
  }

  /// Whether a cased letter comes before this place and none after it.
  private func endsWord(_ place: Int) -> Bool {
    func isCased(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isCased }
    let before = self[..<place].last { !$0.properties.isCaseIgnorable }
    let after = self[(place + 1)...].first { !$0.properties.isCaseIgnorable }
    return before.map(isCased) == true && after.map(isCased) != true
  }

  /// With every occurrence of `text` replaced, from the left.
  func replacing(_ text: String, with replacement: String) -> [Unicode.Scalar] {
    let (pattern, substitute) = (Array(text.unicodeScalars), Array(replacement.unicodeScalars))
    guard count >= pattern.count, contains(pattern[0]) else { return self }
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(count)
    var place = 0
    while place < count {
      if self[place] == pattern[0], self[place...].starts(with: pattern) {
        result += substitute
        place += pattern.count
      } else {
        result.append(self[place])
        place += 1
      }
    }
    return result
  }

  /// With spaces put between or around two neighbours that fit, as a regular expression of two characters does from left to
  /// right: what it has matched is not looked at again.
  func spacingPairs(
    _ isFirst: (Unicode.Scalar) -> Bool, _ isSecond: (Unicode.Scalar) -> Bool, _ form: PairSpacing
  ) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(count + count / 8)
    var place = 0
    while place < count {
      if place + 1 < count, isFirst(self[place]), isSecond(self[place + 1]) {
        if form == .beforeAndBetween { result.append(" ") }
        result.append(self[place])
        result.append(" ")
        result.append(self[place + 1])
        if form == .betweenAndAfter { result.append(" ") }
        place += 2
      } else {
        result.append(self[place])
        place += 1
      }
    }
    return result
  }
}

/// Where spaces go around a pair of characters, one of them always between the two.
enum PairSpacing {
  case between
  case beforeAndBetween
  case betweenAndAfter
}
