import Diagnostics
import Files
import Foundation

/// A file format of rows and named columns.
public enum TableFormat: String, Sendable, CaseIterable {
  /// Tab-separated with a header; quotes are ordinary characters (`QUOTE_NONE`), one row per line.
  case tsv
  /// Comma-separated with a header, quoted as RFC 4180 says.
  case csv
  /// One JSON object per line.
  case jsonl

  /// The format that the extension of `path` stands for.
  ///
  /// - Throws: `EngineError` if it stands for none.
  public init(path: String) throws {
    try FilePath.require(path)
    let known = Self.allCases.map { "." + $0.rawValue }
    guard let format = Self(rawValue: FilePath.fileExtension(of: path).lowercased()) else {
      throw EngineError(
        .argument, "\(path): the format cannot be told from the extension",
        hint: "expected \(known.joined(separator: ", ")), or name the format")
    }
    self = format
  }

  /// The format of a name. `owner`: whose option it is, for messages.
  ///
  /// - Throws: `EngineError` if there is none.
  public init(named name: String, in owner: String) throws {
    let known = Self.allCases.map(\.rawValue)
    guard let format = Self(rawValue: name) else {
      throw EngineError(
        .argument, "\(owner): format is '\(name)': expected one of \(known.joined(separator: ", "))", hint: suggestion(for: name, among: known))
    }
    self = format
  }
}

/// The columns to read from a table.
enum ColumnSelection: Sendable {
  /// By name, in the wanted order.
  case named([String])
  /// By position, counted from 0, in a file that has no header and `count` columns.
  case positions([Int], count: Int)
}

/// One row of a table.
struct Row: Equatable {
  enum Content: Equatable {
    /// The selected columns, in the order asked for.
    case values([String])
    /// What is wrong with the row.
    case malformed(String)
  }

  /// The line where the row starts, counted from 1.
  let line: Int
  let content: Content
  /// Its bytes in the text, without the line end.
  let range: Range<Int>
}

/// The selected columns of every row of a file.
///
/// Blank lines are passed over, as csv readers do.
///
/// Throws `EngineError` for what makes the whole file unreadable (missing, empty, not UTF-8, NUL
/// bytes, no such column); what is wrong with a single row is left for the caller to judge.
func readRows(_ path: String, format: TableFormat, columns: ColumnSelection) throws -> [Row] {
  var text = try readText(path)
  return try rows(of: &text, path, format: format, columns: columns)
}

/// The same of a text that was read already; `path` is its name in messages. `onObject`: see `jsonLineRows`.
func rows(
  of text: inout String, _ path: String, format: TableFormat, columns: ColumnSelection, onObject: (JSONObject) -> Void = { _ in }
) throws -> [Row] {
  guard !text.utf8.isEmpty else {
    let expected = if case .named = columns, format != .jsonl { "a header line" } else { "rows" }
    throw EngineError(.data, "\(path): empty file, expected \(expected)")
  }
  return try text.withUTF8 { buffer in
    let bytes = withoutByteOrderMark(buffer)
    try refuseNUL(in: bytes, path: path)
    let rows =
      switch format {
      case .tsv: try tabSeparatedRows(bytes, path: path, columns: columns)
      case .csv: try commaSeparatedRows(bytes, path: path, columns: columns)
      case .jsonl: jsonLineRows(bytes, columns: columns, onObject: onObject)
      }
    guard !rows.isEmpty else {
      let after = if case .named = columns, format != .jsonl { " after the header" } else { "" }
      throw EngineError(.data, "\(path): no rows\(after)")
    }
    return rows
  }
}

/// The columns' names in a header's fields.
func columnNames(_ fields: [String]) -> [String] { fields.map { $0.trimmingCharacters(in: .whitespaces) } }

/// The positions of the selected columns in a header.
func positions(of columns: [String], in header: [String], path: String, line: Int) throws -> [Int] {
  let names = columnNames(header)
  return try columns.map { column in
    let matches = names.indices.filter { names[$0] == column }
    if let match = matches.first, matches.count == 1 { return match }
    guard matches.isEmpty else {
      throw EngineError(.data, "\(path):\(line): \(matches.count) columns are called '\(column)'")
    }
    let near = nearestName(to: column, among: names).map { "did you mean '\($0)'?" }
    throw EngineError(
      .data, "\(path):\(line): no column '\(column)' (columns: \(listing(names)))",
      hint: names.count == 1 ? otherSeparator(in: names[0]) ?? near ?? "one column only, is the separator right?" : near)
  }
}

/// What to do where the whole header was taken for one name because other separators stand in it.
private func otherSeparator(in header: String) -> String? {
  if header.contains("\t") { return "the header has tabs: give format = \"tsv\", or call the file .tsv" }
  if header.contains(";") { return "the header has ';', which separates no columns: expected commas (csv) or tabs (tsv)" }
  if header.contains(",") { return "the header has commas: give format = \"csv\", or call the file .csv" }
  return nil
}

/// Names for an error message, cut where a file that is no table would fill the screen.
func listing(_ names: [String]) -> String {
  let shown = names.prefix(24).map { excerpt($0) }
  let rest = names.count - shown.count
  return shown.joined(separator: ", ") + (rest > 0 ? ", and \(rest) more" : "")
}

/// A value for an error message, on one line and of bounded length.
func excerpt(_ value: String) -> String {
  let line = String(value.prefix(60).map { $0.isNewline ? " " : $0 })
  return value.count > 60 ? line + "..." : line
}

/// Calls `body` with each line's number, counted from 1, and its bytes without `\n` or `\r\n`,
/// unless the line is empty.
///
/// Only `\n` ends a line: U+2028 and the like are part of the text.
func forEachLine(
  of bytes: UnsafeBufferPointer<UInt8>,
  _ body: (_ number: Int, _ line: UnsafeBufferPointer<UInt8>) throws -> Void
) rethrows {
  var start = 0
  var number = 1
  while start < bytes.count {
    let found = line(of: bytes, at: start)
    if !found.line.isEmpty { try body(number, found.line) }
    start = found.next
    number += 1
  }
}

/// The first line that is wanted, as `forEachLine` gives it; empty where there is none.
func firstLine(
  of bytes: UnsafeBufferPointer<UInt8>, where isWanted: (UnsafeBufferPointer<UInt8>) -> Bool = { !$0.isEmpty }
) -> UnsafeBufferPointer<UInt8> {
  var start = 0
  while start < bytes.count {
    let found = line(of: bytes, at: start)
    if isWanted(found.line) { return found.line }
    start = found.next
  }
  return UnsafeBufferPointer(rebasing: bytes[bytes.count...])
}

/// The line that begins at a place, without its end, and where the next one begins.
private func line(of bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> (line: UnsafeBufferPointer<UInt8>, next: Int) {
  let rest = UnsafeBufferPointer(rebasing: bytes[start...])
  let length = firstIndex(of: UInt8(ascii: "\n"), in: rest) ?? rest.count
  let hasReturn = length > 0 && rest[length - 1] == UInt8(ascii: "\r")
  return (UnsafeBufferPointer(rebasing: rest[..<(hasReturn ? length - 1 : length)]), start + length + 1)
}

/// The lines of a text file that are not empty, with their numbers. Throws where it has none.
func linesOfText(_ path: String) throws -> [(number: Int, text: String)] {
  var text = try readText(path)
  return try text.withUTF8 { buffer in
    let bytes = withoutByteOrderMark(buffer)
    try refuseNUL(in: bytes, path: path)
    var lines: [(Int, String)] = []
    forEachLine(of: bytes) { lines.append(($0, string($1))) }
    guard !lines.isEmpty else { throw EngineError(.data, "\(path): no text in it") }
    return lines
  }
}

/// `memchr`: files have tens of millions of bytes, and a loop over them takes seconds in debug
/// builds.
func firstIndex(of byte: UInt8, in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
  guard let base = bytes.baseAddress, !bytes.isEmpty,
    let found = memchr(base, Int32(byte), bytes.count)
  else { return nil }
  return UnsafeRawPointer(found) - UnsafeRawPointer(base)
}

func string(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
  String(decoding: bytes, as: UTF8.self)
}

/// Where a part of some bytes stands in them.
func range(of part: UnsafeBufferPointer<UInt8>, in bytes: UnsafeBufferPointer<UInt8>) -> Range<Int> {
  guard let start = part.baseAddress, let base = bytes.baseAddress else { return 0..<0 }
  return start - base..<start - base + part.count
}

func withoutByteOrderMark(
  _ bytes: UnsafeBufferPointer<UInt8>
) -> UnsafeBufferPointer<UInt8> {
  bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? UnsafeBufferPointer(rebasing: bytes[3...]) : bytes
}

func refuseNUL(in bytes: UnsafeBufferPointer<UInt8>, path: String) throws {
  guard let index = firstIndex(of: 0, in: bytes) else { return }
  let line = bytes[..<index].reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
  throw EngineError(
    .data, "\(path):\(line): NUL byte", hint: "expected text, is the file binary or damaged?")
}
