import Diagnostics

/// A strict recursive-descent JSON reader.
///
/// Foundation's reader drops duplicate keys silently, blurs `1` and `1.0`, and gives no line, and
/// all three matter here: a safetensors header with two tensors of one name must not load.
/// Beyond the standard it takes `NaN`, `Infinity` and `-Infinity`, which Python writes.
struct JSONParser {
  let bytes: UnsafeRawBufferPointer
  let source: String
  let maximumDepth: Int
  let duplicateKeys: JSONValue.DuplicateKeys
  private var offset = 0
  private var depth = 0

  init(
    bytes: UnsafeRawBufferPointer, source: String, maximumDepth: Int,
    duplicateKeys: JSONValue.DuplicateKeys
  ) {
    self.bytes = bytes
    self.source = source
    self.maximumDepth = maximumDepth
    self.duplicateKeys = duplicateKeys
  }

  mutating func parseDocument() throws -> JSONValue {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
    let value = try parseValue()
    skipSpace()
    if offset < bytes.count { throw unexpected("the end of the text") }
    return value
  }

  private mutating func parseValue() throws -> JSONValue {
    skipSpace()
    switch peek() {
    case UInt8(ascii: "{"): return try nested { try $0.parseObject() }
    case UInt8(ascii: "["): return try nested { try $0.parseArray() }
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
    case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    case UInt8(ascii: "N"): return try parseWord("NaN", .double(.nan))
    case UInt8(ascii: "I"): return try parseWord("Infinity", .double(.infinity))
    case UInt8(ascii: "-"): return try parseNumber()
    default:
      if peekDigit() != nil { return try parseNumber() }
      throw unexpected("a value")
    }
  }

  private mutating func nested(
    _ parse: (inout JSONParser) throws -> JSONValue
  ) throws -> JSONValue {
    depth += 1
    defer { depth -= 1 }
    if depth > maximumDepth { throw failure("nested deeper than \(maximumDepth) levels") }
    offset += 1
    return try parse(&self)
  }

  private mutating func parseObject() throws -> JSONValue {
    var object = JSONObject()
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(object) }
    while true {
      skipSpace()
      guard peek() == UInt8(ascii: "\"") else { throw unexpected("a key in double quotes") }
      let start = offset
      let key = try parseString()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw unexpected("':'") }
      let value = try parseValue()
      if duplicateKeys == .keepLast {
        object[key] = value
      } else if !object.append(key, value) {
        offset = start
        throw failure("duplicate key \(JSONValue.string(key).excerpt())")
      }
      skipSpace()
      if take(UInt8(ascii: "}")) { return .object(object) }
      guard take(UInt8(ascii: ",")) else { throw unexpected("',' or '}'") }
    }
  }

  private mutating func parseArray() throws -> JSONValue {
    var elements: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try parseValue())
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw unexpected("',' or ']'") }
    }
  }

  private mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws -> JSONValue {
    let end = offset + word.utf8CodeUnitCount
    let matches = word.withUTF8Buffer { letters in
      end <= bytes.count && bytes[offset..<end].elementsEqual(letters)
    }
    guard matches else { throw unexpected("a value") }
    offset = end
    return value
  }

  // MARK: - Numbers

  private mutating func parseNumber() throws -> JSONValue {
    let start = offset
    let isNegative = take(UInt8(ascii: "-"))
    if isNegative && peek() == UInt8(ascii: "I") {
      return try parseWord("Infinity", .double(-.infinity))
    }
    let firstDigit = offset
    var magnitude: Int? = 0
    while let digit = peekDigit() {
      let (shifted, overflow) = (magnitude ?? 0).multipliedReportingOverflow(by: 10)
      let (sum, overflowToo) = shifted.subtractingReportingOverflow(digit)
      magnitude = magnitude == nil || overflow || overflowToo ? nil : sum
      offset += 1
    }
    if offset == firstDigit { throw unexpected("a digit") }
    if bytes[firstDigit] == UInt8(ascii: "0") && offset > firstDigit + 1 {
      offset = firstDigit
      throw failure("a number starts with 0")
    }
    var isInteger = true
    if take(UInt8(ascii: ".")) {
      isInteger = false
      try skipDigits()
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      isInteger = false
      offset += 1
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try skipDigits()
    }
    // The magnitude is accumulated as a negative number, because Int.min has no positive twin.
    if isInteger, let negated = magnitude {
      if isNegative { return negated == 0 ? .double(-0.0) : .int(negated) }
      if negated != Int.min { return .int(-negated) }
    }
    guard let number = Double(String(decoding: bytes[start..<offset], as: UTF8.self)) else {
      offset = start
      throw failure("malformed number")
    }
    return .double(number)
  }

  private mutating func skipDigits() throws {
    guard peekDigit() != nil else { throw unexpected("a digit") }
    while peekDigit() != nil { offset += 1 }
  }

  private func peekDigit() -> Int? {
    guard let byte = peek(), byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
      return nil
    }
    return Int(byte - UInt8(ascii: "0"))
  }

  // MARK: - Strings

  private mutating func parseString() throws -> String {
    offset += 1
    var start = offset
    var unescaped: [UInt8] = []
    while let byte = peek() {
      switch byte {
      case UInt8(ascii: "\""):
        let part = UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
        let text =
          unescaped.isEmpty
          ? String(validating: part, as: UTF8.self)
          : String(validating: unescaped + part, as: UTF8.self)
        guard let text else {
          offset = start
          throw failure("invalid UTF-8 in a string")
        }
        offset += 1
        return text
      case UInt8(ascii: "\\"):
        unescaped.append(contentsOf: bytes[start..<offset])
        offset += 1
        unescaped.append(contentsOf: try parseEscape())
        start = offset
      case 0..<0x20:
        throw failure("control character in a string; it must be escaped")
      default:
        offset += 1
      }
    }
    throw failure("the text ends inside a string")
  }

  private mutating func parseEscape() throws -> [UInt8] {
    guard let letter = peek() else { throw failure("the text ends inside a string") }
    offset += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [letter]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"): return try parseUnicodeEscape()
    default:
      offset -= 1
      throw unexpected("one of \" \\ / b f n r t u after a backslash")
    }
  }

  private mutating func parseUnicodeEscape() throws -> [UInt8] {
    var code = try parseHexQuad()
    if (0xD800..<0xDC00).contains(code), take(UInt8(ascii: "\\")) {
      guard take(UInt8(ascii: "u")) else { throw failure("half of a surrogate pair") }
      let low = try parseHexQuad()
      guard (0xDC00..<0xE000).contains(low) else { throw failure("half of a surrogate pair") }
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw failure("half of a surrogate pair") }
    return Array(String(Character(scalar)).utf8)
  }

  private mutating func parseHexQuad() throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = peek().flatMap({ Character(Unicode.Scalar($0)).hexDigitValue }) else {
        throw unexpected("four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      offset += 1
    }
    return code
  }

  // MARK: - Scanning and errors

  private func peek() -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    offset += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }

  private func unexpected(_ expected: String) -> EngineError {
    guard let byte = peek() else { return failure("expected \(expected), the text ends") }
    let isPrintable = byte > 0x20 && byte < 0x7F
    let found =
      isPrintable
      ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x" + String(byte, radix: 16)
    return failure("expected \(expected), found \(found)")
  }

  private func failure(_ what: String) -> EngineError {
    let place = min(offset, bytes.count)
    let line = 1 + bytes[..<place].count { $0 == 0x0A }
    return EngineError(.data, "\(source):\(line): invalid JSON: \(what) (byte \(place))")
  }
}
