import Diagnostics
import Foundation

/// The rows of a file with one JSON object per line; numbers and booleans become text, as a table's
/// fields are.
func jsonLineRows(_ bytes: UnsafeBufferPointer<UInt8>, columns: ColumnSelection) -> [Row] {
  guard case .named(let names) = columns else { return [] }
  let decoder = JSONDecoder()
  var rows: [Row] = []
  forEachLine(of: bytes) { number, line in
    guard line.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }) else {
      return
    }
    rows.append(Row(line: number, content: content(of: line, names: names, decoder: decoder)))
  }
  return rows
}

private func content(
  of line: UnsafeBufferPointer<UInt8>, names: [String], decoder: JSONDecoder
) -> Row.Content {
  guard let object = try? decoder.decode([String: JSONField].self, from: Data(line)) else {
    let isArray = line.first(where: { $0 != UInt8(ascii: " ") }) == UInt8(ascii: "[")
    return .malformed(
      "not a JSON object, expected one object per line"
        + (isArray ? " (a JSON array? write its elements on lines of their own)" : ""))
  }
  var values: [String] = []
  for name in names {
    switch object[name] {
    case .text(let text) where text.utf8.contains(0):
      return .malformed("column '\(name)' holds a NUL character")
    case .text(let text):
      values.append(text)
    case .other(let what):
      return .malformed("column '\(name)' is \(what), expected a string or a number")
    case nil:
      let near = nearestColumn(to: name, among: object.keys.sorted())
      return .malformed("no column '\(name)' (columns: \(listing(object.keys.sorted())))\(near)")
    }
  }
  return .values(values)
}

private enum JSONField: Decodable {
  case text(String)
  case other(String)

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if let text = try? value.decode(String.self) {
      self = .text(text)
    } else if let truth = try? value.decode(Bool.self) {
      self = .text(truth ? "true" : "false")
    } else if let integer = try? value.decode(Int.self) {
      self = .text(String(integer))
    } else if let number = try? value.decode(Double.self) {
      self = .text(String(number))
    } else if value.decodeNil() {
      self = .other("null")
    } else {
      self = .other("an array or an object")
    }
  }
}

private func nearestColumn(to name: String, among names: [String]) -> String {
  nearestName(to: name, among: names).map { "; did you mean '\($0)'?" } ?? ""
}
