/// The characters that one place of a pattern matches.
struct ScalarSet: Sendable {
  enum Item: Sendable {
    case range(ClosedRange<UInt32>)
    case digit(Bool)
    case space(Bool)
    case word(Bool)
    /// Unicode's property, without the separators of ASCII that Python adds.
    case whiteSpace(Bool)
    /// Characters of some categories, as far as `newestMajor` knows them.
    case category(Set<Unicode.GeneralCategory>, Bool)
    /// What `.` means: everything, or all but the line feed.
    case any(lineFeed: Bool)
  }

  /// The Unicode version of the reference tokenizers' regular expressions: later characters have no category.
  private static let newestMajor = 16

  /// What `\p{...}` can name.
  static let categories: [String: Set<Unicode.GeneralCategory>] = {
    var names: [String: Set<Unicode.GeneralCategory>] = [
      "Lu": [.uppercaseLetter], "Ll": [.lowercaseLetter], "Lt": [.titlecaseLetter], "Lm": [.modifierLetter], "Lo": [.otherLetter],
      "Mn": [.nonspacingMark], "Mc": [.spacingMark], "Me": [.enclosingMark],
      "Nd": [.decimalNumber], "Nl": [.letterNumber], "No": [.otherNumber],
      "Pc": [.connectorPunctuation], "Pd": [.dashPunctuation], "Ps": [.openPunctuation], "Pe": [.closePunctuation],
      "Pi": [.initialPunctuation], "Pf": [.finalPunctuation], "Po": [.otherPunctuation],
      "Sm": [.mathSymbol], "Sc": [.currencySymbol], "Sk": [.modifierSymbol], "So": [.otherSymbol],
    ]
    for (name, set) in names { names[String(name.prefix(1)), default: []].formUnion(set) }
    return names
  }()

  private let items: [Item]
  private let isNegated: Bool
  private let ignoresCase: Bool
  private let isASCIIOnly: Bool
  /// Whether each of the first 128 characters is in the set.
  private var ascii: (low: UInt64, high: UInt64) = (0, 0)

  init(_ items: [Item], isNegated: Bool = false, ignoresCase: Bool = false, isASCIIOnly: Bool = false) {
    self.items = items
    self.isNegated = isNegated
    self.ignoresCase = ignoresCase
    self.isASCIIOnly = isASCIIOnly
    for value in 0..<UInt32(64) where decide(value) { ascii.low |= 1 << UInt64(value) }
    for value in 0..<UInt32(64) where decide(value + 64) { ascii.high |= 1 << UInt64(value) }
  }

  func contains(_ value: UInt32) -> Bool {
    if value < 64 { return ascii.low >> UInt64(value) & 1 != 0 }
    if value < 128 { return ascii.high >> UInt64(value - 64) & 1 != 0 }
    return decide(value)
  }

  private func decide(_ value: UInt32) -> Bool {
    var found = holds(value)
    if ignoresCase, !found { found = otherCases(of: value).contains(where: holds) }
    return found != isNegated
  }

  private func holds(_ value: UInt32) -> Bool {
    items.contains { item in
      switch item {
      case .range(let range): range.contains(value)
      case .digit(let isWanted): isDigit(value) == isWanted
      case .space(let isWanted): isSpace(value) == isWanted
      case .whiteSpace(let isWanted): Unicode.Scalar(value)?.properties.isWhitespace == isWanted
      case .category(let categories, let isWanted): hasCategory(value, categories) == isWanted
      case .word(let isWanted): isWord(value, isASCIIOnly: isASCIIOnly) == isWanted
      case .any(let takesLineFeed): takesLineFeed || value != 10
      }
    }
  }

  /// Letters beside those that Unicode's mappings of one letter to one tell: a long s, the signs for kelvin, two kinds of i.
  private static let sharedCases: [UInt32: [UInt32]] = [
    0x73: [0x17F], 0x17F: [0x73], 0x6B: [0x212A], 0x69: [0x130, 0x131], 0x130: [0x69], 0x131: [0x69],
  ]

  private func otherCases(of value: UInt32) -> [UInt32] {
    if isASCIIOnly, value >= 128 { return [] }
    var found = [value]
    // Twice: from a capital letter over the small one to others that share it.
    for _ in 0..<2 {
      for known in found {
        guard let properties = Unicode.Scalar(known)?.properties else { continue }
        for mapping in [properties.lowercaseMapping, properties.uppercaseMapping] where mapping.unicodeScalars.count == 1 {
          found += mapping.unicodeScalars.map(\.value)
        }
        found += Self.sharedCases[known] ?? []
      }
    }
    return found.filter { !isASCIIOnly || $0 < 128 }
  }

  private func hasCategory(_ value: UInt32, _ categories: Set<Unicode.GeneralCategory>) -> Bool {
    guard let properties = Unicode.Scalar(value)?.properties, categories.contains(properties.generalCategory) else { return false }
    return properties.age.map { $0.major <= Self.newestMajor } ?? false
  }

  private func isDigit(_ value: UInt32) -> Bool {
    if value < 128 || isASCIIOnly { return (48...57).contains(value) }
    return Unicode.Scalar(value)?.properties.generalCategory == .decimalNumber
  }

  /// `str.isspace`: white space, and the four separators of ASCII.
  private func isSpace(_ value: UInt32) -> Bool {
    if (9...13).contains(value) || value == 32 { return true }
    if isASCIIOnly { return false }
    return (28...31).contains(value) || Unicode.Scalar(value)?.properties.isWhitespace == true
  }
}

/// `str.isalnum`, or an underscore.
func isWord(_ value: UInt32, isASCIIOnly: Bool) -> Bool {
  switch value {
  case 48...57, 65...90, 97...122, 95: return true
  case 0..<128: return false
  default: break
  }
  guard !isASCIIOnly, let properties = Unicode.Scalar(value)?.properties else { return false }
  switch properties.generalCategory {
  case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
    .letterNumber, .otherNumber:
    return true
  default: return properties.numericType != nil
  }
}
