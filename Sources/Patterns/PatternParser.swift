/// Whose rules a pattern follows.
enum PatternDialect {
  /// Python's `re`: what it refuses is refused.
  case python
  /// Oniguruma's Ruby syntax, which splits text for the reference tokenizers: the part of it that published ones use.
  case oniguruma
}

/// Reads a pattern.
struct PatternParser {
  private static let largestDepth = 100
  private static let largestLength = 100_000

  private let letters: [Unicode.Scalar]
  private let dialect: PatternDialect
  private var position = 0
  private var flags = Flags()
  private var depth = 0
  private var groupNames: Set<String> = []

  private struct Flags {
    var ignoresCase = false, isMultiline = false, dotTakesLineFeed = false, isASCIIOnly = false
  }

  init(_ pattern: String, _ dialect: PatternDialect = .python) throws(PatternMistake) {
    self.dialect = dialect
    letters = Array(pattern.unicodeScalars)
    guard letters.count <= Self.largestLength else {
      throw PatternMistake(reason: "\(letters.count) characters, expected at most \(Self.largestLength)")
    }
  }

  mutating func parse() throws(PatternMistake) -> PatternNode {
    let node = try choice(isTop: true)
    if next != nil { throw mistake("unbalanced parenthesis") }
    return node
  }

  // MARK: Characters

  private var next: Unicode.Scalar? { position < letters.count ? letters[position] : nil }

  private mutating func take() -> Unicode.Scalar? {
    defer { position += 1 }
    return next
  }

  private mutating func take(_ letter: Unicode.Scalar) -> Bool {
    guard next == letter else { return false }
    position += 1
    return true
  }

  private mutating func digits(_ isDigit: (Unicode.Scalar) -> Bool, atMost count: Int = .max) -> String {
    var text = ""
    while text.count < count, let letter = next, isDigit(letter) {
      text.unicodeScalars.append(letter)
      position += 1
    }
    return text
  }

  private func mistake(_ reason: String) -> PatternMistake {
    PatternMistake(reason: "\(reason) at position \(min(position, letters.count))")
  }

  // MARK: Structure

  private mutating func choice(isTop: Bool = false) throws(PatternMistake) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.largestDepth else { throw mistake("more than \(Self.largestDepth) groups inside each other") }
    var parts: [PatternNode] = []
    repeat { parts.append(try sequence(mayHoldFlags: isTop && parts.isEmpty)) } while take("|")
    return parts.count == 1 ? parts[0] : .choice(parts)
  }

  private mutating func sequence(mayHoldFlags: Bool) throws(PatternMistake) -> PatternNode {
    var parts: [PatternNode] = []
    while let letter = next, letter != "|", letter != ")" {
      position += 1
      switch letter {
      case "^" where dialect == .oniguruma, "$" where dialect == .oniguruma:
        throw mistake("the anchor '\(letter)', which is not supported,")
      case "\\": parts.append(try escape())
      case "[": parts.append(.set(try bracketed()))
      case ".": parts.append(.set(set([.any(lineFeed: flags.dotTakesLineFeed)])))
      case "^": parts.append(.anchor(flags.isMultiline ? .lineStart : .textStart))
      case "$": parts.append(.anchor(flags.isMultiline ? .lineEnd : .lastLineEnd))
      case "(":
        if let group = try group(mayHoldFlags: mayHoldFlags && parts.isEmpty) { parts.append(group) }
      case "*", "+", "?", "{":
        if let (least, most) = try counts(letter) {
          try repeatLast(of: &parts, least, most)
        } else {
          parts.append(.set(literal(letter)))
        }
      default: parts.append(.set(literal(letter)))
      }
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  /// What a repeat asks for; nil where the brace is an ordinary character.
  private mutating func counts(_ letter: Unicode.Scalar) throws(PatternMistake) -> (Int, Int?)? {
    switch letter {
    case "*": return (0, nil)
    case "+": return (1, nil)
    case "?": return (0, 1)
    default: break
    }
    if next == "}" { return nil }
    let start = position
    let low = digits { ("0"..."9").contains($0) }
    var high = low
    if take(",") { high = digits { ("0"..."9").contains($0) } }
    guard take("}") else {
      position = start
      return nil
    }
    func number(_ text: String) throws(PatternMistake) -> Int {
      guard let value = Int(text), value <= PatternProgram.largestCount else {
        throw mistake("a repeat of \(text.prefix(20)), expected at most \(PatternProgram.largestCount),")
      }
      return value
    }
    let least = low.isEmpty ? 0 : try number(low)
    let most = high.isEmpty ? nil : try number(high)
    if let most, most < least { throw mistake("the least number of repeats is above the greatest") }
    return (least, most)
  }

  private mutating func repeatLast(of parts: inout [PatternNode], _ least: Int, _ most: Int?) throws(PatternMistake) {
    guard let last = parts.last else { throw mistake("nothing to repeat") }
    switch last {
    case .anchor: throw mistake("nothing to repeat")
    case .repeated: throw mistake("multiple repeat")
    default: break
    }
    // Lazy: the same texts match, but not the same parts of them.
    if take("?"), dialect == .oniguruma { throw mistake("a lazy repeat, which is not supported,") }
    if next == "+" { throw mistake("a possessive repeat, which is not supported,") }
    parts[parts.count - 1] = .repeated(last, least: least, most: most)
  }

  // MARK: Groups

  /// What follows "("; nil for flags and comments.
  private mutating func group(mayHoldFlags: Bool) throws(PatternMistake) -> PatternNode? {
    guard take("?") else { return try rest(ofGroup: flags) }
    guard let kind = take() else { throw mistake("unexpected end of pattern") }
    switch kind {
    case ":": return try rest(ofGroup: flags)
    case "P": return try namedGroup()
    case "#":
      while let letter = take() { if letter == ")" { return nil } }
      throw mistake("missing ), unterminated comment")
    case "=", "!": return .look(try rest(ofGroup: flags), isAhead: true, isNegated: kind == "!")
    case "<":
      guard let sign = take(), sign == "=" || sign == "!" else { throw mistake("unknown extension ?<") }
      let inner = try rest(ofGroup: flags)
      guard inner.fixedWidth != nil else { throw mistake("look-behind requires fixed-width pattern") }
      return .look(inner, isAhead: false, isNegated: sign == "!")
    case "(": throw mistake("a condition on a group, which is not supported,")
    case ">": throw mistake("an atomic group, which is not supported,")
    default:
      position -= 1
      return try flagged(mayHoldFlags)
    }
  }

  private mutating func rest(ofGroup inner: Flags) throws(PatternMistake) -> PatternNode {
    let outer = flags
    flags = inner
    defer { flags = outer }
    let node = try choice()
    guard take(")") else { throw mistake("missing ), unterminated subpattern") }
    // In a sequence of its own, so that a repeat after the group repeats the group.
    return .sequence([node])
  }

  private mutating func namedGroup() throws(PatternMistake) -> PatternNode {
    if take("=") { throw mistake("a back-reference, which is not supported,") }
    guard take("<") else { throw mistake("unknown extension ?P") }
    let name = digits { isWord($0.value, isASCIIOnly: false) }
    guard take(">"), let first = name.unicodeScalars.first, !("0"..."9").contains(first) else {
      throw mistake("bad group name")
    }
    guard groupNames.insert(name).inserted else { throw mistake("redefinition of a group's name") }
    return try rest(ofGroup: flags)
  }

  private mutating func flagged(_ mayHoldFlags: Bool) throws(PatternMistake) -> PatternNode? {
    var changed = flags
    var isOn = true
    var count = 0
    var alphabet: Unicode.Scalar?
    var turnedOn: Set<Unicode.Scalar> = []
    while let letter = take() {
      if isOn { turnedOn.insert(letter) } else if turnedOn.contains(letter) { throw mistake("a flag turned on and off") }
      switch letter {
      case "i": changed.ignoresCase = isOn
      case "m": changed.isMultiline = isOn
      case "s": changed.dotTakesLineFeed = isOn
      case "a" where isOn && alphabet ?? letter == letter, "u" where isOn && alphabet ?? letter == letter:
        alphabet = letter
        changed.isASCIIOnly = letter == "a"
      case "x": throw mistake("the flag x, which is not supported,")
      case "-" where isOn:
        isOn = false
        count = 0
        continue
      case ":" where count > 0: return try rest(ofGroup: changed)
      case ")" where count > 0 && isOn:
        guard mayHoldFlags else { throw mistake("global flags not at the start of the expression") }
        flags = changed
        return nil
      default: throw mistake(count == 0 && isOn ? "unknown extension ?\(letter)" : "unknown flag")
      }
      count += 1
    }
    throw mistake("missing flag, : or )")
  }

  // MARK: Characters and classes

  private func set(_ items: [ScalarSet.Item], isNegated: Bool = false) -> ScalarSet {
    ScalarSet(items, isNegated: isNegated, ignoresCase: flags.ignoresCase, isASCIIOnly: flags.isASCIIOnly)
  }

  /// What follows "\p" or "\P": a category of characters in braces.
  private mutating func property(isWanted: Bool) throws(PatternMistake) -> ScalarSet.Item {
    guard take("{") else { throw mistake("expected { after \\p") }
    let isInverted = take("^")
    let name = digits { $0.isASCII && $0.properties.isAlphabetic }
    guard take("}"), let categories = ScalarSet.categories[name] else {
      throw mistake("the property '\(name)', which is not supported,")
    }
    return .category(categories, isWanted != isInverted)
  }

  private func literal(_ letter: Unicode.Scalar) -> ScalarSet { set([.range(letter.value...letter.value)]) }

  /// The class that the letter of an escape stands for.
  private func category(_ letter: Unicode.Scalar) -> ScalarSet.Item? {
    switch letter {
    case "s" where dialect == .oniguruma: .whiteSpace(true)
    case "S" where dialect == .oniguruma: .whiteSpace(false)
    case "d" where dialect == .oniguruma: .category([.decimalNumber], true)
    case "D" where dialect == .oniguruma: .category([.decimalNumber], false)
    case "w" where dialect == .oniguruma, "W" where dialect == .oniguruma: nil
    case "d": .digit(true)
    case "D": .digit(false)
    case "s": .space(true)
    case "S": .space(false)
    case "w": .word(true)
    case "W": .word(false)
    default: nil
    }
  }

  private mutating func escape() throws(PatternMistake) -> PatternNode {
    guard let letter = take() else { throw mistake("bad escape (end of pattern)") }
    if let category = category(letter) { return .set(set([category])) }
    if dialect == .oniguruma {
      if letter == "p" || letter == "P" { return .set(set([try property(isWanted: letter == "p")])) }
      guard !"AZzGbBhHRXKk".unicodeScalars.contains(letter) else { throw mistake("the escape '\\\(letter)', which is not supported,") }
    }
    switch letter {
    case "A": return .anchor(.textStart)
    case "Z": return .anchor(.textEnd)
    case "b", "B": return .anchor(.wordBoundary(isWanted: letter == "b", isASCIIOnly: flags.isASCIIOnly))
    case "1"..."9":
      // Three octal digits are a character, anything else a group.
      let octal = letters[(position - 1)...].prefix(3)
      guard octal.count == 3, octal.allSatisfy({ ("0"..."7").contains($0) }) else {
        throw mistake("a back-reference, which is not supported,")
      }
      position += 2
      return .set(set([try character(octal.reduce(0) { $0 * 8 + $1.value - 48 }, limit: 0o377)]))
    default: return .set(set([try singleCharacter(letter)]))
    }
  }

  private func character(_ value: UInt32, limit: UInt32 = 0x10FFFF) throws(PatternMistake) -> ScalarSet.Item {
    guard value <= limit else { throw mistake("bad escape") }
    return .range(value...value)
  }

  /// Escapes that mean one character, in classes and outside.
  private mutating func singleCharacter(_ letter: Unicode.Scalar) throws(PatternMistake) -> ScalarSet.Item {
    func isHex(_ letter: Unicode.Scalar) -> Bool { letter.isASCII && letter.properties.isASCIIHexDigit }
    switch letter {
    case "a": return try character(7)
    case "f": return try character(12)
    case "n": return try character(10)
    case "r": return try character(13)
    case "t": return try character(9)
    case "v": return try character(11)
    case "x", "u", "U":
      let count = letter == "x" ? 2 : letter == "u" ? 4 : 8
      let text = digits(isHex, atMost: count)
      guard text.count == count, let value = UInt32(text, radix: 16) else { throw mistake("incomplete escape") }
      return try character(value)
    case "0":
      let text = digits({ ("0"..."7").contains($0) }, atMost: 2)
      return try character(UInt32("0" + text, radix: 8) ?? 0)
    case "N": throw mistake("a character by its name, which is not supported,")
    case "a"..."z", "A"..."Z", "1"..."9": throw mistake("bad escape")
    default: return try character(letter.value)
    }
  }

  /// What follows "[".
  private mutating func bracketed() throws(PatternMistake) -> ScalarSet {
    let isNegated = take("^")
    var items: [ScalarSet.Item] = []
    while true {
      if !items.isEmpty, take("]") { return set(items, isNegated: isNegated) }
      let first = try member()
      guard take("-") else {
        items.append(first)
        continue
      }
      if take("]") {
        items += [first, .range(45...45)]
        return set(items, isNegated: isNegated)
      }
      guard case .range(let low) = first, case .range(let high) = try member(), low.lowerBound <= high.lowerBound else {
        throw mistake("bad character range")
      }
      items.append(.range(low.lowerBound...high.lowerBound))
    }
  }

  private mutating func member() throws(PatternMistake) -> ScalarSet.Item {
    guard let letter = take() else { throw mistake("unterminated character set") }
    if dialect == .oniguruma, letter == "[" || (letter == "&" && next == "&") {
      throw mistake("a class inside a class, which is not supported,")
    }
    guard letter == "\\" else { return .range(letter.value...letter.value) }
    guard let escaped = take() else { throw mistake("bad escape (end of pattern)") }
    if let category = category(escaped) { return category }
    if dialect == .oniguruma, escaped == "p" || escaped == "P" { return try property(isWanted: escaped == "p") }
    switch escaped {
    case "b": return .range(8...8)
    case "1"..."7":
      let text = String(escaped) + digits({ ("0"..."7").contains($0) }, atMost: 2)
      return try character(UInt32(text, radix: 8) ?? .max, limit: 0o377)
    default: return try singleCharacter(escaped)
    }
  }
}
