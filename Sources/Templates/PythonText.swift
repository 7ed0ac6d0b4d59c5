/// Python's operations on strings, letter by letter (code points, not Swift's characters).
enum PythonText {
  /// The letters that an argument names; nil: none, that is white space.
  static func optional(_ value: TemplateValue) -> String? { if case .string(let text) = value { text } else { nil } }

  /// Without letters of `set` (nil: white space) at the ends.
  static func stripped(_ text: String, _ set: String?, start: Bool, end: Bool) -> String {
    let set = set.map { Set($0.unicodeScalars) }
    func goes(_ letter: Unicode.Scalar) -> Bool { set.map { $0.contains(letter) } ?? letter.isPythonSpace }
    var letters = text.unicodeScalars[...]
    if start { letters = letters.drop(while: goes) }
    if end { while let last = letters.last, goes(last) { letters.removeLast() } }
    return String(letters)
  }

  static func capitalized(_ text: String) -> String {
    guard let first = text.unicodeScalars.first else { return text }
    return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
  }

  /// `str.title`: a word is a run of letters.
  static func titled(_ text: String) -> String {
    var isInside = false
    return text.unicodeScalars.map { letter in
      defer { isInside = letter.properties.isCased }
      return isInside ? letter.properties.lowercaseMapping : letter.properties.titlecaseMapping
    }.joined()
  }

  static func isLetter(_ letter: Unicode.Scalar) -> Bool {
    [.uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter].contains(letter.properties.generalCategory)
  }

  /// Whether all letters that have a case have this one, and there are some.
  static func isCased(_ text: String, upper: Bool) -> Bool {
    let cased = text.unicodeScalars.filter { $0.properties.isUppercase || $0.properties.isLowercase }
    return !cased.isEmpty && cased.allSatisfy { upper ? $0.properties.isUppercase : $0.properties.isLowercase }
  }

  /// `str.splitlines`
  static func lines(_ text: String) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var previous: Unicode.Scalar?
    var isOpen = false
    for letter in text.unicodeScalars {
      defer { previous = letter }
      if letter == "\n", previous == "\r" { continue }
      if [0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029].contains(letter.value) {
        lines.append(String(line))
        line = String.UnicodeScalarView()
        isOpen = false
      } else {
        line.append(letter)
        isOpen = true
      }
    }
    return isOpen ? lines + [String(line)] : lines
  }

  /// `str.split()` at white space; `most`: splits at most, below 0 all.
  static func words(_ text: String, most: Int) -> [String] {
    var words: [String] = []
    var rest = text.unicodeScalars.drop(while: \.isPythonSpace)
    while !rest.isEmpty {
      if words.count == most { return words + [String(rest)] }
      let end = rest.firstIndex(where: \.isPythonSpace) ?? rest.endIndex
      words.append(String(rest[..<end]))
      rest = rest[end...].drop(while: \.isPythonSpace)
    }
    return words
  }

  /// `str.split(separator)`; `most`: splits at most, below 0 all.
  static func parts(_ text: String, between separator: String, most: Int) -> [String] {
    let (text, separator) = (Array(text.utf8), Array(separator.utf8))
    var parts: [String] = []
    var (start, place) = (0, 0)
    while place + separator.count <= text.count, parts.count != most {
      if text[place...].starts(with: separator) {
        parts.append(String(decoding: text[start..<place], as: UTF8.self))
        place += separator.count
        start = place
      } else {
        place += 1
      }
    }
    return parts + [String(decoding: text[start...], as: UTF8.self)]
  }

  /// `str.replace(old, new, count)`
  static func replaced(_ renderer: TemplateRenderer, _ text: String, _ given: [TemplateValue?]) throws -> TemplateValue {
    guard case .string(let old)? = given[0], case .string(let new)? = given[1] else {
      throw TemplateMistake("'replace' takes two strings")
    }
    let most = given[2]?.whole ?? -1
    if old.isEmpty {
      // In front of each letter, and at the end.
      var pieces = text.unicodeScalars.map { String($0) } + [""]
      for place in pieces.indices where most < 0 || place < most { pieces[place] = new + pieces[place] }
      try renderer.charge(pieces.count * (1 + new.utf8.count / 32))
      return try renderer.made(pieces.joined())
    }
    try renderer.charge(TemplateMethods.searchCost(text, old))
    let parts = parts(text, between: old, most: most)
    try renderer.charge(parts.count * (1 + new.utf8.count / 32))
    return try renderer.made(parts.joined(separator: new))
  }
}
