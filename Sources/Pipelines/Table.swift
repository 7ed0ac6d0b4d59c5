import Files

/// A table of a report: shown as aligned text, kept as data.
public struct Table: Sendable, Equatable {
  /// One column.
  public struct Column: Sendable, Equatable, ExpressibleByStringLiteral {
    public let name: String
    /// Digits after the point for numbers that have one; nil: as many as the column's numbers need.
    public let decimals: Int?

    public init(_ name: String, decimals: Int? = nil) {
      self.name = name
      self.decimals = decimals
    }

    public init(stringLiteral name: String) { self.init(name) }
  }

  public let columns: [Column]
  /// Cells by row; short rows are filled with null, which shows as nothing.
  public private(set) var rows: [[JSONValue]]

  public init(columns: [Column], rows: [[JSONValue]] = []) {
    self.columns = columns
    self.rows = []
    for row in rows { append(row) }
  }

  /// Adds a row; cells beyond the last column are dropped.
  public mutating func append(_ row: [JSONValue]) {
    let filled = row.prefix(columns.count)
    rows.append(filled + Array(repeating: .null, count: columns.count - filled.count))
  }

  /// The rows as objects, column name to value, for `results.json`. Values are not rounded.
  public var json: JSONValue {
    .array(rows.map { .object(JSONObject(zip(columns.map(\.name), $0))) })
  }

  /// The table as lines of text: numbers to the right with grouped thousands, all else to the left,
  /// two spaces between columns, no spaces at line ends.
  ///
  /// - Parameter bold: shows the header in bold type (terminals only).
  public func text(bold: Bool = false) -> String {
    guard !columns.isEmpty else { return "" }
    let (cells, isRight) = (cellTexts, isNumeric)
    let headers = columns.map { Self.printable($0.name) }
    let widths = columns.indices.map { column in
      ([headers[column]] + cells.map { $0[column] }).map(displayWidth).max() ?? 0
    }
    func line(_ texts: [String]) -> String {
      var line = ""
      for (column, text) in texts.enumerated() {
        let space = String(repeating: " ", count: widths[column] - displayWidth(text))
        line += (column > 0 ? "  " : "") + (isRight[column] ? space + text : text + space)
      }
      while line.last == " " { line.removeLast() }
      return line
    }
    let header = line(headers)
    let rule = widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ")
    return ([bold ? "\u{1B}[1m\(header)\u{1B}[0m" : header, rule] + cells.map(line))
      .map { $0 + "\n" }.joined()
  }

  /// What is shown of every cell: the numbers of a column with their points below each other.
  public var cellTexts: [[String]] {
    let formats = columns.indices.map { column in
      NumberFormat(rows.compactMap { if case .double(let number) = $0[column] { number } else { nil } })
    }
    return rows.map { row in
      row.indices.map { Self.text(of: row[$0], decimals: columns[$0].decimals, formats[$0]) }
    }
  }

  /// For every column whether it has numbers and nothing else.
  public var isNumeric: [Bool] {
    columns.indices.map { column in
      let values = rows.map { $0[column] }.filter { $0 != .null }
      return !values.isEmpty && values.allSatisfy { $0.doubleValue != nil }
    }
  }

  private static func text(of value: JSONValue, decimals: Int?, _ format: NumberFormat) -> String {
    switch value {
    case .null: ""
    case .bool(let flag): flag ? "yes" : "no"
    case .int(let number): grouped(String(number))
    case .double(let number):
      if let decimals, number.isFinite { grouped(fixed(number, decimals: decimals)) } else { format.text(number) }
    case .string(let text): printable(text)
    case .array, .object: printable(value.word)
    }
  }

  /// Line ends and escape sequences in a cell would break the table, or the reader's terminal.
  static func printable(_ text: String) -> String {
    String(
      text.map {
        $0.unicodeScalars.contains { $0.properties.generalCategory == .control } ? " " : $0
      })
  }
}
