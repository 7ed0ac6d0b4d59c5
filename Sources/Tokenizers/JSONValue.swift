import Diagnostics
import Foundation

/// A JSON document whose objects keep their order and whose keys are compared scalar by scalar.
///
/// Vocabularies hold tokens that are canonically equivalent and yet different ("é" as one scalar
/// and as two), which a dictionary keyed by `String` would merge.
enum JSONValue: Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([JSONMember])

  /// The value of the last member with this key (ASCII names of settings, not tokens).
  subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.key == key }?.value
  }

  var isNull: Bool {
    if case .null = self { return true }
    return false
  }

  /// What it is, for error messages.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .int, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

struct JSONMember: Sendable {
  var key: String
  var value: JSONValue

  init(_ key: String, _ value: JSONValue) {
    self.key = key
    self.value = value
  }
}

// MARK: Typed access; a wrong type is an error that names the place.

extension JSONValue {
  func bool(_ key: String, default fallback: Bool, at place: String) throws -> Bool {
    switch self[key] {
    case nil, .null: return fallback
    case .bool(let value): return value
    case let other?: throw mistyped(key, "true or false", other, at: place)
    }
  }

  func optionalString(_ key: String, at place: String) throws -> String? {
    switch self[key] {
    case nil, .null: return nil
    case .string(let value): return value
    case let other?: throw mistyped(key, "a string", other, at: place)
    }
  }

  func string(_ key: String, at place: String) throws -> String {
    if let value = try optionalString(key, at: place) { return value }
    throw EngineError(.data, "\(place): '\(key)' is missing, expected a string")
  }

  func array(_ key: String, at place: String) throws -> [JSONValue] {
    switch self[key] {
    case .array(let values): return values
    case nil: throw EngineError(.data, "\(place): '\(key)' is missing, expected an array")
    case let other?: throw mistyped(key, "an array", other, at: place)
    }
  }

  private func mistyped(
    _ key: String, _ expected: String, _ given: JSONValue, at place: String
  ) -> EngineError {
    EngineError(.data, "\(place): '\(key)' is \(given.kind), expected \(expected)")
  }
}

// MARK: Writing

extension JSONValue {
  /// UTF-8 text of the value; with an indent of two spaces per level, arrays and objects break
  /// lines.
  func serialized(indented: Bool) -> Data {
    var bytes = [UInt8]()
    write(into: &bytes, indent: indented ? 0 : nil)
    bytes.append(UInt8(ascii: "\n"))
    return Data(bytes)
  }

  private func write(into out: inout [UInt8], indent: Int?) {
    switch self {
    case .null: out += Array("null".utf8)
    case .bool(let value): out += Array((value ? "true" : "false").utf8)
    case .int(let value): out += Array(String(value).utf8)
    case .number(let value): out += Array((value.isFinite ? String(value) : "null").utf8)
    case .string(let value): JSONValue.write(value, into: &out)
    case .array(let values):
      JSONValue.writeList(values, "[", "]", into: &out, indent: indent) { value, out, inner in
        value.write(into: &out, indent: inner)
      }
    case .object(let members):
      JSONValue.writeList(members, "{", "}", into: &out, indent: indent) { member, out, inner in
        JSONValue.write(member.key, into: &out)
        out += Array(": ".utf8)
        member.value.write(into: &out, indent: inner)
      }
    }
  }

  private static func writeList<Element>(
    _ elements: [Element], _ open: Unicode.Scalar, _ close: Unicode.Scalar, into out: inout [UInt8],
    indent: Int?, each: (Element, inout [UInt8], Int?) -> Void
  ) {
    out.append(UInt8(ascii: open))
    let inner = indent.map { $0 + 2 }
    for (index, element) in elements.enumerated() {
      if index > 0 { out += Array((indent == nil ? ", " : ",").utf8) }
      if let inner { lineBreak(inner, into: &out) }
      each(element, &out, inner)
    }
    if let indent, !elements.isEmpty { lineBreak(indent, into: &out) }
    out.append(UInt8(ascii: close))
  }

  private static func lineBreak(_ indent: Int, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\n"))
    out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent))
  }

  private static func write(_ text: String, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
      case 0..<0x20:
        let hex = String(byte, radix: 16)
        out += Array(("\\u" + String(repeating: "0", count: 4 - hex.count) + hex).utf8)
      default: out.append(byte)
      }
    }
    out.append(UInt8(ascii: "\""))
  }
}
