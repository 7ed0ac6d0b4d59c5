import Diagnostics
import Files
import Foundation

/// The rows of a file with one JSON object per line; numbers and booleans become text, as a table's
/// fields are. `onObject` gets each.
func jsonLineRows(_ bytes: UnsafeBufferPointer<UInt8>, columns: ColumnSelection, onObject: (JSONObject) -> Void = { _ in }) -> [Row] {
  guard case .named(let names) = columns else { return [] }
  var rows: [Row] = []
  forEachLine(of: bytes) { number, line in
    guard hasContent(line) else { return }
    rows.append(Row(line: number, content: content(of: line, names: names, onObject), range: range(of: line, in: bytes)))
  }
  return rows
}

/// The names of the first row's members, none where it is no object.
func jsonNames(_ bytes: UnsafeBufferPointer<UInt8>) -> [String] {
  (try? JSONValue(parsing: firstLine(of: bytes, where: hasContent), source: "", duplicateKeys: .keepLast))?.objectValue?.keys ?? []
}

private func hasContent(_ line: UnsafeBufferPointer<UInt8>) -> Bool {
  line.contains { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
}

private func content(of line: UnsafeBufferPointer<UInt8>, names: [String], _ onObject: (JSONObject) -> Void) -> Row.Content {
  let object: JSONObject
  do {
    let value = try JSONValue(parsing: line, source: "", duplicateKeys: .keepLast)
    guard let found = value.objectValue else {
      return .malformed(
        "not a JSON object, expected one object per line"
          + (value.arrayValue == nil ? "" : " (a JSON array? write its elements on lines of their own)"))
    }
    object = found
    onObject(object)
  } catch {
    // The row's own place goes in front.
    return .malformed("\(error)".replacing(":1: ", with: "", maxReplacements: 1))
  }
  var values: [String] = []
  for name in names {
    switch object[name] {
    case .string(let text) where text.utf8.contains(0): return .malformed("column '\(name)' holds a NUL character")
    case .string(let text): values.append(text)
    case .bool(let truth): values.append(truth ? "true" : "false")
    case .int(let number): values.append(String(number))
    case .double(let number): values.append(String(number))
    case .null: return .malformed("column '\(name)' is null, expected a string or a number")
    case .array, .object: return .malformed("column '\(name)' is an array or an object, expected a string or a number")
    case nil:
      let near = nearestColumn(to: name, among: object.keys.sorted())
      return .malformed("no column '\(name)' (columns: \(listing(object.keys.sorted())))\(near)")
    }
  }
  return .values(values)
}

private func nearestColumn(to name: String, among names: [String]) -> String {
  nearestName(to: name, among: names).map { "; did you mean '\($0)'?" } ?? ""
}
