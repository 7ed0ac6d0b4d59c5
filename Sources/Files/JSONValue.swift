import Diagnostics
import Foundation

/// A JSON value. Numbers keep the distinction between `1` and `1.0`, objects keep their order.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number written without fraction and exponent that fits 64 bits.
  case int(Int)
  /// Any other number; also NaN and the infinities, which Python's `json` writes as bare words.
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// The content of a JSON file. Throws `EngineError` naming path, line and what was expected.
  public init(file path: String, duplicateKeys: DuplicateKeys = .reject) throws {
    let data = try readFile(path, most: Self.mostBytes)
    // Values take several times the room of their text.
    try AddressSpace.require(8 * data.count, for: "reading the JSON of \(path)")
    try self.init(parsing: data, source: path, duplicateKeys: duplicateKeys)
  }

  /// The largest file that is parsed as a whole: tokenizers have some tens of megabytes.
  private static let mostBytes = 512 << 20

  /// Parses one JSON text.
  ///
  /// - Parameters:
  ///   - text: UTF-8 (a byte-order mark is skipped).
  ///   - source: what to call the text in errors, usually its path.
  ///   - maximumDepth: arrays and objects nested deeper are an error; the parser recurses.
  ///   - duplicateKeys: two members of one name are an error, or the last one wins.
  public init(
    parsing text: some ContiguousBytes, source: String, maximumDepth: Int = 128,
    duplicateKeys: DuplicateKeys = .reject
  ) throws {
    self = try text.withUnsafeBytes { bytes in
      var parser = JSONParser(
        bytes: bytes, source: source, maximumDepth: maximumDepth, duplicateKeys: duplicateKeys)
      return try parser.parseDocument()
    }
  }

  /// Parses one JSON text held in a string.
  public init(parsing text: String, source: String) throws {
    try self.init(parsing: Array(text.utf8), source: source)
  }

  /// What to do with two members of one name in one object.
  public enum DuplicateKeys: Sendable {
    case reject
    case keepLast
  }

  /// How a value is laid out as text. Numbers are the shortest text that reads back as the same
  /// number.
  public enum Layout: Sendable {
    /// 2-space indent and keys sorted by their bytes: files that people and `diff` read.
    case file
    /// 2-space indent, every element on a line of its own, keys in insertion order: tokenizer files.
    case indented
    /// No spaces and keys sorted by their bytes: equal values have equal bytes, so this is what
    /// digests are taken of.
    case canonical
    /// No spaces, keys in insertion order.
    case ordered
    /// As `ordered`, with NaN and infinities as null: one row of a `.jsonl` that any tool can read.
    case line
  }

  /// The value as JSON text, without a line end.
  public func encoded(_ layout: Layout = .file) -> String {
    var encoder = JSONEncoding(layout: layout)
    encoder.write(self, indent: 0)
    return String(decoding: encoder.bytes, as: UTF8.self)
  }

  /// "a string", "an integer", ...: the word for this value in error messages.
  public var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .int: "an integer"
    case .double: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// The value in at most `limit` characters, for error messages.
  public func excerpt(limit: Int = 60) -> String {
    let text = encoded(.line)
    return text.count <= limit ? text : text.prefix(max(limit, 4) - 3) + "..."
  }
}

// MARK: - Access

extension JSONValue {
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  public var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// An integer, also one written as `3.0`.
  public var intValue: Int? {
    switch self {
    case .int(let value): value
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  /// Any number.
  public var doubleValue: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The same with whole numbers written without a fraction, as people write them: 8 rather than 8.0.
  public var plain: JSONValue {
    switch self {
    case .double(let value): Int(exactly: value).map { .int($0) } ?? self
    case .array(let elements): .array(elements.map(\.plain))
    case .object(let members): .object(JSONObject(members.members.map { ($0, $1.plain) }))
    default: self
    }
  }

  /// A member of an object; nil where this is not an object or has no such member.
  public subscript(key: String) -> JSONValue? { objectValue?[key] }

  /// An element of an array; nil where this is not an array or is shorter.
  public subscript(position: Int) -> JSONValue? {
    guard let elements = arrayValue, elements.indices.contains(position) else { return nil }
    return elements[position]
  }
}

extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements))
  }
}

// MARK: - Encoding

private struct JSONEncoding {
  let layout: JSONValue.Layout
  var bytes: [UInt8] = []

  mutating func write(_ value: JSONValue, indent: Int) {
    switch value {
    case .null: append("null")
    case .bool(let flag): append(flag ? "true" : "false")
    case .int(let number): append(String(number))
    case .double(let number): append(text(of: number))
    case .string(let string): write(string)
    case .array(let elements):
      // Shapes and short lists of numbers stay on one line even in files.
      let isFlat = elements.allSatisfy { $0.arrayValue == nil && $0.objectValue == nil }
      let breaksLines = layout == .indented || layout == .file && !(isFlat && elements.count <= 16)
      write(elements.count, open: "[", close: "]", indent: indent, breaksLines: breaksLines) {
        $0.write(elements[$1], indent: indent + 1)
      }
    case .object(let object):
      var order = Array(0..<object.count)
      if layout == .file || layout == .canonical {
        order.sort { object.keys[$0].utf8.lexicographicallyPrecedes(object.keys[$1].utf8) }
      }
      let breaksLines = layout == .file || layout == .indented
      write(order.count, open: "{", close: "}", indent: indent, breaksLines: breaksLines) {
        $0.write(object.keys[order[$1]])
        $0.append(breaksLines ? ": " : ":")
        $0.write(object.values[order[$1]], indent: indent + 1)
      }
    }
  }

  private mutating func write(
    _ count: Int, open: String, close: String, indent: Int, breaksLines: Bool,
    element: (inout JSONEncoding, Int) -> Void
  ) {
    append(open)
    for position in 0..<count {
      if position > 0 { append(layout == .file && !breaksLines ? ", " : ",") }
      if breaksLines { append("\n" + String(repeating: "  ", count: indent + 1)) }
      element(&self, position)
    }
    if breaksLines && count > 0 { append("\n" + String(repeating: "  ", count: indent)) }
    append(close)
  }

  private func text(of number: Double) -> String {
    if number.isFinite { return number.description }
    if layout == .line { return "null" }
    return number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
  }

  private mutating func write(_ string: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case 0x08: append("\\b")
      case 0x09: append("\\t")
      case 0x0A: append("\\n")
      case 0x0C: append("\\f")
      case 0x0D: append("\\r")
      case 0..<0x20: append("\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16))
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }
}
