/// A piece of a template.
struct TemplateToken {
  enum Kind { case text, blockBegin, blockEnd, variableBegin, variableEnd, name, string, int, float, sign, end }

  var kind: Kind
  var text: String
  var line: Int
}

/// Takes a template apart as Jinja2's lexer does with `trim_blocks` and `lstrip_blocks`.
struct TemplateLexer {
  private let letters: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private var found: [TemplateToken] = []
  /// Whether what was read last ended a line.
  private var isLineStart = true

  init(_ text: String) {
    var letters: [Unicode.Scalar] = []
    // Line ends are LF for a template, and the last one does not count.
    for letter in text.unicodeScalars {
      if letter == "\n", letters.last == "\r" { letters.removeLast() } else if letters.last == "\r" { letters[letters.count - 1] = "\n" }
      letters.append(letter)
    }
    if letters.last == "\r" { letters[letters.count - 1] = "\n" }
    if letters.last == "\n" { letters.removeLast() }
    self.letters = letters
  }

  mutating func tokens() throws -> [TemplateToken] {
    while position < letters.count { try textAndTag() }
    add(.end, "the end of the template")
    return found
  }

  // MARK: Text

  /// The text up to the next tag, and the tag.
  private mutating func textAndTag() throws {
    let start = position
    var tag = start
    while tag < letters.count, !isAt(tag, "{{"), !isAt(tag, "{%"), !isAt(tag, "{#") { tag += 1 }
    guard tag < letters.count else {
      addText(start..<tag)
      position = tag
      return
    }
    let kind = letters[tag + 1]
    var inside = tag + 2
    let sign = sign(&inside)
    addText(start..<textEnd(start, tag, sign, mayStrip: kind != "{"))
    advance(to: inside)
    switch kind {
    case "#": try comment()
    case "{":
      add(.variableBegin, "{{")
      try code(isBlock: false)
    default: if try !raw() { try block() }
    }
  }

  private mutating func block() throws {
    add(.blockBegin, "{%")
    try code(isBlock: true)
  }

  private func sign(_ place: inout Int) -> Unicode.Scalar? {
    guard place < letters.count, letters[place] == "-" || letters[place] == "+" else { return nil }
    defer { place += 1 }
    return letters[place]
  }

  /// Where the text in front of a tag ends.
  private func textEnd(_ start: Int, _ tag: Int, _ sign: Unicode.Scalar?, mayStrip: Bool) -> Int {
    var end = tag
    if sign == "-" {
      while end > start, letters[end - 1].isPythonSpace { end -= 1 }
    } else if sign == nil, mayStrip {
      while end > start, letters[end - 1] != "\n", letters[end - 1].isPythonSpace { end -= 1 }
      let beginsLine = end > start ? letters[end - 1] == "\n" : isLineStart
      if !beginsLine { end = tag }
    }
    return end
  }

  private mutating func comment() throws {
    var end = position
    while end < letters.count, !isAt(end, "#}") { end += 1 }
    guard end < letters.count else { throw TemplateMistake("a comment has no end '#}'", line: line) }
    let sign = end > position ? letters[end - 1] : nil
    closeTag(end + 2, sign)
  }

  /// `{% raw %}`, whose content is text; false: it is another tag.
  private mutating func raw() throws -> Bool {
    guard var start = keyword("raw", position) else { return false }
    let sign = sign(&start)
    guard sign != "+", isAt(start, "%}") else { return false }
    start += 2
    if sign == "-" { skipSpaces(&start) }
    advance(to: start)
    isLineStart = letters[start - 1] == "\n"
    var end = start
    while end < letters.count {
      if isAt(end, "{%") {
        var inside = end + 2
        let opening = self.sign(&inside)
        if var close = keyword("endraw", inside) {
          let closing = self.sign(&close)
          if isAt(close, "%}") {
            addText(start..<textEnd(start, end, opening, mayStrip: true))
            closeTag(close + 2, closing)
            return true
          }
        }
      }
      end += 1
    }
    throw TemplateMistake("{% raw %} has no {% endraw %}", line: line)
  }

  /// The place behind a word and the spaces around it; nil: something else stands there.
  private func keyword(_ word: String, _ place: Int) -> Int? {
    var place = place
    skipSpaces(&place)
    guard isAt(place, word) else { return nil }
    place += word.unicodeScalars.count
    skipSpaces(&place)
    return place
  }

  /// Goes on behind a tag that ends at `end`, and what its sign, or `trim_blocks`, takes away.
  private mutating func closeTag(_ end: Int, _ sign: Unicode.Scalar?) {
    var end = end
    if sign == "-" { skipSpaces(&end) } else if sign != "+", end < letters.count, letters[end] == "\n" { end += 1 }
    advance(to: end)
    isLineStart = letters[end - 1] == "\n"
  }

  // MARK: Code

  private mutating func code(isBlock: Bool) throws {
    let (end, kind) = isBlock ? ("%}", TemplateToken.Kind.blockEnd) : ("}}", .variableEnd)
    var open: [Unicode.Scalar] = []
    while position < letters.count {
      if open.isEmpty {
        let sign: Unicode.Scalar? = isAt(position, "-" + end) ? "-" : isBlock && isAt(position, "+" + end) ? "+" : nil
        if sign != nil || isAt(position, end) {
          add(kind, end)
          // A variable's line end stays.
          closeTag(position + (sign == nil ? 2 : 3), isBlock ? sign : sign ?? "+")
          return
        }
      }
      try codeToken(&open)
    }
    throw TemplateMistake("a tag has no end '\(end)'", line: line)
  }

  private mutating func codeToken(_ open: inout [Unicode.Scalar]) throws {
    let letter = letters[position]
    switch letter {
    case _ where letter.isPythonSpace: advance(to: position + 1)
    case "0"..."9": number()
    case "'", "\"": try string(letter)
    case _ where letter == "_" || letter.properties.isXIDContinue:
      var end = position
      while end < letters.count, letters[end] == "_" || letters[end].properties.isXIDContinue { end += 1 }
      add(.name, text(position..<end))
      advance(to: end)
    default:
      guard
        let sign = [
          "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
        ]
        .first(where: { isAt(position, $0) })
      else { throw TemplateMistake("unexpected '\(letter)'", line: line) }
      if let closing = ["{": "}" as Unicode.Scalar, "(": ")", "[": "]"][letter] { open.append(closing) }
      if "})]".unicodeScalars.contains(letter), open.popLast() != letter { throw TemplateMistake("unexpected '\(letter)'", line: line) }
      add(.sign, sign)
      advance(to: position + sign.unicodeScalars.count)
    }
  }

  private mutating func number() {
    func isDigit(_ place: Int) -> Bool { place < letters.count && ("0"..."9").contains(letters[place]) }
    func digits(_ place: inout Int) {
      while isDigit(place) || place < letters.count && letters[place] == "_" && isDigit(place + 1) { place += 1 }
    }
    var end = position
    digits(&end)
    var kind = TemplateToken.Kind.int
    if position == 0 || letters[position - 1] != "." {
      if end < letters.count, letters[end] == ".", isDigit(end + 1) {
        kind = .float
        end += 1
        digits(&end)
      }
      if end < letters.count, letters[end] == "e" || letters[end] == "E" {
        var exponent = end + 1
        _ = sign(&exponent)
        if isDigit(exponent) {
          kind = .float
          digits(&exponent)
          end = exponent
        }
      }
    }
    add(kind, text(position..<end).filter { $0 != "_" })
    advance(to: end)
  }

  private mutating func string(_ quote: Unicode.Scalar) throws {
    var end = position + 1
    var content = ""
    while end < letters.count, letters[end] != quote {
      if letters[end] == "\\" {
        end += 1
        try escape(&end, &content)
      } else {
        content.unicodeScalars.append(letters[end])
        end += 1
      }
    }
    guard end < letters.count else { throw TemplateMistake("a string has no end \(quote)", line: line) }
    add(.string, content)
    advance(to: end + 1)
  }

  /// What stands behind a backslash, as in Python.
  private func escape(_ place: inout Int, _ content: inout String) throws {
    guard place < letters.count else { return }
    let letter = letters[place]
    place += 1
    func code(_ digits: Substring.UnicodeScalarView, radix: Int) throws {
      guard let value = UInt32(String(digits), radix: radix), let scalar = Unicode.Scalar(value) else {
        throw TemplateMistake("'\\\(letter)\(String(digits))' is no character", line: line)
      }
      content.unicodeScalars.append(scalar)
    }
    let plain: [Unicode.Scalar: Unicode.Scalar] = [
      "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}", "f": "\u{C}", "v": "\u{B}",
    ]
    if let meaning = plain[letter] {
      content.unicodeScalars.append(meaning)
    } else if let count = ["x": 2, "u": 4, "U": 8][letter] {
      let end = min(place + count, letters.count)
      try code(Substring(text(place..<end)).unicodeScalars, radix: 16)
      place = end
    } else if ("0"..."7").contains(letter) {
      place -= 1
      var end = place
      while end < min(place + 3, letters.count), ("0"..."7").contains(letters[end]) { end += 1 }
      try code(Substring(text(place..<end)).unicodeScalars, radix: 8)
      place = end
    } else if letter == "N" {
      throw TemplateMistake("'\\N{...}' is not supported in a string", line: line)
    } else if letter != "\n" {
      content.unicodeScalars.append(contentsOf: ["\\", letter])
    }
  }

  // MARK: Letters

  private func isAt(_ place: Int, _ word: String) -> Bool {
    let word = word.unicodeScalars
    return letters.count - place >= word.count && letters[place...].starts(with: word)
  }

  private func skipSpaces(_ place: inout Int) {
    while place < letters.count, letters[place].isPythonSpace { place += 1 }
  }

  private func text(_ range: Range<Int>) -> String {
    var text = ""
    text.unicodeScalars.append(contentsOf: letters[range])
    return text
  }

  private mutating func addText(_ range: Range<Int>) {
    if !range.isEmpty { add(.text, text(range)) }
  }

  private mutating func add(_ kind: TemplateToken.Kind, _ text: String) { found.append(TemplateToken(kind: kind, text: text, line: line)) }

  private mutating func advance(to place: Int) {
    line += letters[position..<place].count { $0 == "\n" }
    position = place
  }
}
