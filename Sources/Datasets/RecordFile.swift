import Diagnostics
import Files

/// The rows of a file as they stand there, with the texts of the columns that are asked about: what is written back with more columns.
/// Blank lines of tables are passed over.
public struct RecordFile {
  /// A row.
  public struct Record: Sendable {
    /// Where it starts, counted from 1.
    public let line: Int
    /// Its chosen columns.
    public let values: [String]
    /// All of it, without the line end.
    public let source: Substring
  }

  /// nil: a text a line.
  public let format: TableFormat?
  /// The header's line; nil where the format has none.
  public let header: Substring?
  /// The names of all columns; of JSON those of all rows.
  public let names: [String]
  /// The columns that were chosen.
  public let columns: [String]
  public let records: [Record]

  /// Columns that texts of classification usually stand in, the first that a file has: one text, or a pair.
  private static let usual = [
    ["text"], ["sentence"], ["sentence1", "sentence2"], ["premise", "hypothesis"], ["question1", "question2"], ["question", "sentence"], ["prompt"],
    ["input"],
  ]

  /// - Parameters:
  ///   - content: the whole file.
  ///   - path: its name, for messages.
  ///   - columns: names in the wanted order; empty: those that are usual.
  ///   - more: names of columns behind those.
  /// - Throws: `EngineError` with the place for a row that is not as the format says, and where a column is missing.
  public init(_ content: String, path: String, format: TableFormat?, columns: [String], more: [String] = []) throws {
    var content = content
    if content.utf8.starts(with: [0xEF, 0xBB, 0xBF]) { content = String(content.utf8.dropFirst(3)) ?? content }
    self.format = format
    guard let format else {
      if let name = (columns + more).first {
        throw EngineError(
          .argument, "\(path): a text a line has no column '\(name)'", hint: "give the format of the table: --format tsv, csv or jsonl")
      }
      (header, names, self.columns) = (nil, [], ["text"])
      records = try Self.lines(of: &content, path)
      return
    }
    let first = try Self.header(of: &content, path, format)
    header = first.source
    let known = first.names
    if columns.isEmpty {
      guard let usual = Self.usual.first(where: { $0.allSatisfy(known.contains) && ($0 != ["sentence"] || !known.contains("question")) }) else {
        throw EngineError(.argument, "\(path): which column has the text? The columns are \(listing(known))", hint: "name it with --text")
      }
      self.columns = usual + more
    } else {
      self.columns = columns + more
    }
    var (names, isKnown) = (known, Set(known))
    let rows = try rows(of: &content, path, format: format, columns: .named(self.columns)) { object in
      for name in object.keys where isKnown.insert(name).inserted { names.append(name) }
    }
    self.names = names
    let bytes = content.utf8
    var place = (index: bytes.startIndex, offset: 0)
    func source(_ range: Range<Int>) -> Substring {
      let start = bytes.index(place.index, offsetBy: range.lowerBound - place.offset)
      let end = bytes.index(start, offsetBy: range.count)
      place = (end, range.upperBound)
      return content[start..<end]
    }
    records = try rows.map { row in
      switch row.content {
      case .malformed(let problem): throw malformed(problem, row, path)
      case .values(let values): Record(line: row.line, values: values, source: source(row.range))
      }
    }
  }

  /// The names of a table's columns: those of its header, or of the first row of JSON. Throws as `init` does.
  public static func columnNames(_ content: String, path: String, format: TableFormat) throws -> [String] {
    var content = content
    if content.utf8.starts(with: [0xEF, 0xBB, 0xBF]) { content = String(content.utf8.dropFirst(3)) ?? content }
    return try header(of: &content, path, format).names
  }

  private static func lines(of content: inout String, _ path: String) throws -> [Record] {
    try content.withUTF8 { try refuseNUL(in: $0, path: path) }
    var lines = content.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    guard !lines.isEmpty else { throw EngineError(.data, "\(path): empty file, expected a text a line") }
    return lines.enumerated().map { number, line in
      let text = line.utf8.last == UInt8(ascii: "\r") ? line.dropLast() : line
      return Record(line: number + 1, values: [String(text)], source: text)
    }
  }

  /// The first row's names, and its text where it is a header.
  private static func header(of content: inout String, _ path: String, _ format: TableFormat) throws -> (source: Substring?, names: [String]) {
    if content.utf8.isEmpty { throw EngineError(.data, "\(path): empty file, expected \(format == .jsonl ? "rows" : "a header line")") }
    var found: (range: Range<Int>, names: [String]) = (0..<0, [])
    try content.withUTF8 { bytes in
      try refuseNUL(in: bytes, path: path)
      found =
        switch format {
        case .tsv: tabSeparatedHeader(bytes)
        case .csv: try commaSeparatedHeader(bytes, path: path)
        case .jsonl: (0..<0, jsonNames(bytes))
        }
    }
    guard format != .jsonl else { return (nil, found.names) }
    let start = content.utf8.index(content.startIndex, offsetBy: found.range.lowerBound)
    return (content[start..<content.utf8.index(start, offsetBy: found.range.count)], found.names)
  }
}
