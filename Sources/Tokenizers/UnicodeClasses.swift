/// Character classes as the reference tokenizer has them.
///
/// The reference mixes libraries with tables of several Unicode versions, all older than the Swift
/// standard library's. A scalar that came after a library's version is unassigned to it, so a class
/// is the current property limited to the scalars of that age, plus the few that have changed
/// category since. The tests compare every scalar.
enum UnicodeClasses {
  /// `\p{L}`, `\p{N}` and `\w` of the regular expressions: Unicode 16.
  private static let regexMajor = 16
  /// Categories in the BERT stages: Unicode 8.
  private static let bertMajor = 8
  /// Canonical ordering and decomposition: Unicode 9.
  private static let normalizationMajor = 9

  private static func exists(_ scalar: Unicode.Scalar, in major: Int) -> Bool {
    scalar.properties.age.map { $0.major <= major } ?? false
  }

  /// The classes that GPT-2's splitting pattern tells apart.
  enum Split: UInt8 {
    case other, letter, number, space
  }

  static func split(_ scalar: Unicode.Scalar) -> Split {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return exists(scalar, in: regexMajor) ? .letter : .other
    case .decimalNumber, .letterNumber, .otherNumber:
      return exists(scalar, in: regexMajor) ? .number : .other
    default:
      return properties.isWhitespace ? .space : .other
    }
  }

  /// `split` of the ASCII range.
  static let asciiSplit: [Split] = (0..<128).map { split(Unicode.Scalar(UInt8($0))) }

  /// Digits of any kind: Rust's `char::is_numeric`.
  static func isNumeric(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: false
    }
  }

  static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x80 { return scalar.value == 0x20 || (0x09...0x0D).contains(scalar.value) }
    return scalar.properties.isWhitespace
  }

  /// `\w` of the regular expressions.
  static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    if scalar.value < 0x80 {
      return properties.isAlphabetic || properties.numericType != nil || scalar == "_"
    }
    switch properties.generalCategory {
    case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: break
    default: guard properties.isAlphabetic || properties.isJoinControl else { return false }
    }
    return exists(scalar, in: regexMajor)
  }

  /// Control, format and private-use characters, which BERT's cleaning removes, as it does U+0000
  /// and U+FFFD.
  static func isRemovedByBert(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09, 0x0A, 0x0D: return false
    case 0xFFFD: return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .privateUse: return exists(scalar, in: bertMajor)
    default: return false
    }
  }

  static func isBertPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: return true
    case ..<0x80: return false
    case 0x166D, 0x111C9: return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      return exists(scalar, in: bertMajor)
    default: return false
    }
  }

  /// Nonspacing marks: what BERT's accent stripping removes.
  static func isBertAccent(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case ..<0x300: return false
    case 0x1734, 0x1171E: return true
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: return false
    default:
      return scalar.properties.generalCategory == .nonspacingMark && exists(scalar, in: bertMajor)
    }
  }

  /// Marks of any kind: what the `StripAccents` normalizer removes.
  static func isCombiningMark(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case ..<0x300: return false
    case 0x1CF2, 0x1CF3: return true
    case 0x111C9: return false
    default: break
    }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark:
      return exists(scalar, in: normalizationMajor)
    default: return false
    }
  }

  /// Whether normalization forms know the scalar; they leave every other one alone.
  static func isNormalizable(_ scalar: Unicode.Scalar) -> Bool {
    exists(scalar, in: normalizationMajor)
  }

  /// The blocks that BERT sets apart character by character.
  static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      return true
    default: return false
    }
  }
}

// MARK: UTF-8 bytes

/// The scalar that starts at `position` of text that is valid UTF-8, and its length in bytes.
@inline(__always)
func scalar(in bytes: UnsafeBufferPointer<UInt8>, at position: Int) -> (Unicode.Scalar, length: Int) {
  let first = UInt32(bytes[position])
  if first < 0x80 { return (Unicode.Scalar(UInt8(first)), 1) }
  let length = min(first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4, bytes.count - position)
  var value = first & (first < 0xE0 ? 0x1F : first < 0xF0 ? 0x0F : 0x07)
  for offset in 1..<max(length, 1) { value = value << 6 | UInt32(bytes[position + offset] & 0x3F) }
  return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
}

/// The scalar that ends before `position` (which is above 0), and its length in bytes.
func scalar(in bytes: UnsafeBufferPointer<UInt8>, endingAt position: Int) -> (
  Unicode.Scalar, length: Int
) {
  var start = position - 1
  while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
  return (scalar(in: bytes, at: start).0, position - start)
}

/// Appends the UTF-8 bytes of a scalar.
@inline(__always)
func append(_ scalar: Unicode.Scalar, to bytes: inout [UInt8]) {
  if scalar.value < 0x80 {
    bytes.append(UInt8(truncatingIfNeeded: scalar.value))
  } else {
    bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
  }
}

/// Calls `body` with every scalar of valid UTF-8 text.
@inline(__always)
func forEachScalar(of bytes: [UInt8], _ body: (Unicode.Scalar) -> Void) {
  bytes.withUnsafeBufferPointer { buffer in
    var position = 0
    while position < buffer.count {
      let (next, length) = scalar(in: buffer, at: position)
      body(next)
      position += length
    }
  }
}
