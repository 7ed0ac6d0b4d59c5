import Diagnostics

// Own parser: SwiftCSV 0.10 takes an unterminated quote for the end of the file, knows no line
// numbers, drops spaces that RFC 4180 counts as text, and misses a comma that a combining character
// follows.

/// The rows of a comma-separated table as RFC 4180 describes it: quoted fields may hold commas,
/// line breaks and doubled quotes; lines end with `\n` or `\r\n`.
///
/// A quote inside an unquoted field is an ordinary character.
func commaSeparatedRows(
  _ bytes: UnsafeBufferPointer<UInt8>, path: String, columns: ColumnSelection
) throws -> [Row] {
  var layout: (positions: [Int], count: Int)?
  if case .positions(let positions, let count) = columns { layout = (positions, count) }
  var scanner = CommaSeparatedScanner(bytes: bytes, path: path)
  var rows: [Row] = []
  while let record = try scanner.next() {
    guard let layout else {
      guard case .named(let names) = columns else { break }
      let found = try positions(of: names, in: record.fields, path: path, line: record.line)
      layout = (found, record.fields.count)
      continue
    }
    let count = record.fields.count
    if count < layout.count || record.fields[layout.count...].contains(where: { !$0.isEmpty }) {
      let problem =
        count < layout.count
        ? "\(count) of \(layout.count) comma-separated fields (a line break outside quotes?)"
        : "\(count) comma-separated fields, expected \(layout.count) (a comma outside quotes?)"
      rows.append(Row(line: record.line, content: .malformed(problem), range: record.range))
    } else {
      rows.append(
        Row(line: record.line, content: .values(layout.positions.map { record.fields[$0] }), range: record.range))
    }
  }
  return rows
}

/// The first record, and its fields.
func commaSeparatedHeader(_ bytes: UnsafeBufferPointer<UInt8>, path: String) throws -> (range: Range<Int>, names: [String]) {
  var scanner = CommaSeparatedScanner(bytes: bytes, path: path)
  return try scanner.next().map { ($0.range, columnNames($0.fields)) } ?? (0..<0, [])
}

private struct CommaSeparatedScanner {
  private static let quote = UInt8(ascii: "\"")
  private static let comma = UInt8(ascii: ",")
  private static let lineFeed = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")

  let bytes: UnsafeBufferPointer<UInt8>
  let path: String
  private var position = 0
  private var line = 1

  init(bytes: UnsafeBufferPointer<UInt8>, path: String) {
    self.bytes = bytes
    self.path = path
  }

  /// The next record that is not a blank line; nil at the end.
  mutating func next() throws -> (fields: [String], line: Int, range: Range<Int>)? {
    while let length = lineBreak(at: position) {
      position += length
      line += 1
    }
    guard position < bytes.count else { return nil }
    let (start, first) = (line, position)
    var fields: [String] = []
    while true {
      let isQuoted = position < bytes.count && bytes[position] == Self.quote
      fields.append(isQuoted ? try quotedField() : unquotedField())
      if position < bytes.count, bytes[position] == Self.comma {
        position += 1
        continue
      }
      let end = position
      if let length = lineBreak(at: position) {
        position += length
        line += 1
      }
      return (fields, start, first..<end)
    }
  }

  private func lineBreak(at index: Int) -> Int? {
    guard index < bytes.count else { return nil }
    if bytes[index] == Self.lineFeed { return 1 }
    guard bytes[index] == Self.carriageReturn else { return nil }
    if index + 1 == bytes.count { return 1 }
    return bytes[index + 1] == Self.lineFeed ? 2 : nil
  }

  private mutating func unquotedField() -> String {
    let start = position
    while position < bytes.count, bytes[position] != Self.comma, lineBreak(at: position) == nil {
      position += 1
    }
    return string(UnsafeBufferPointer(rebasing: bytes[start..<position]))
  }

  private mutating func quotedField() throws -> String {
    let opening = line
    position += 1
    var content: [UInt8] = []
    while true {
      let rest = UnsafeBufferPointer(rebasing: bytes[position...])
      guard let length = firstIndex(of: Self.quote, in: rest) else {
        throw EngineError(
          .data, "\(path):\(opening): a quoted field that opens on this line never closes")
      }
      let part = rest[..<length]
      content.append(contentsOf: part)
      line += part.reduce(0) { $1 == Self.lineFeed ? $0 + 1 : $0 }
      position += length + 1
      guard position < bytes.count, bytes[position] == Self.quote else { break }
      content.append(Self.quote)
      position += 1
    }
    guard
      position == bytes.count || bytes[position] == Self.comma || lineBreak(at: position) != nil
    else {
      throw EngineError(
        .data, "\(path):\(line): text after the closing quote of a field",
        hint: "a quote inside a quoted field is written twice")
    }
    return String(decoding: content, as: UTF8.self)
  }
}
