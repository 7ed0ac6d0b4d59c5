import Diagnostics
import Files
import Pipelines

/// A figure that a script added to its run with `report.plot`: rows, and which of their columns are shown how. `results.json` keeps
/// it in this form.
public struct Figure: Record, Sendable {
  /// The kind of chart, by its name in `ChartCatalogue`.
  public private(set) var kind = ""
  public private(set) var title: String?
  /// Names of columns.
  public private(set) var x = ""
  public private(set) var y = ""
  public private(set) var value: String?
  public private(set) var by: String?
  public var spread: String?
  public private(set) var xLabel: String?
  public private(set) var yLabel: String?
  var xScale = Axis.Scale.linear
  var yScale = Axis.Scale.linear
  var rows = FigureRows()

  public static let recordName = "report.plot"
  public static let fields: [Field<Self>] = [
    .value("kind", \.kind, "the kind of chart", required: true),
    .value("title", \.title, "what stands above it; default: the columns' names"),
    .value("x", \.x, "the column of the horizontal axis", required: true),
    .value("y", \.y, "the column of the vertical axis; of bars, their length", required: true),
    .value("value", \.value, "the column that shades a heat map"),
    .value("by", \.by, "a column: rows with one value of it are a series of their own"),
    .value("spread", \.spread, "a column: how far y spreads to both sides; 'spread' may be missing, as in rows of sweep.run with one seed"),
    .value("x_label", \.xLabel, "the name of the horizontal axis; default: that of its column"),
    .value("y_label", \.yLabel, "the name of the vertical axis; default: that of its column"),
    .value("x_scale", \.xScale, "how the horizontal axis spreads numbers"),
    .value("y_scale", \.yScale, "how the vertical axis spreads numbers"),
    .value("rows", \.rows, "the rows, as objects of the columns that are shown", required: true),
  ]

  public init() {}

  /// The names of all kinds, which are the fields of `report.plot` that hold rows, and what each of them is.
  public static var kinds: [(name: String, doc: String)] { ChartCatalogue.kinds.map { ($0.name, $0.doc) } }

  /// The fields that say what is shown, beside the rows.
  public static var settingNames: [String] { fields.map(\.name).filter { !["kind", "rows"].contains($0) } }

  /// The most rows that one figure may have: what a reader can tell apart, and a page can hold.
  public static let mostRows = 10_000

  /// Gives the figure its rows. Throws where they do not fit the kind of chart.
  public mutating func fill(kind: String, rows: [JSONObject]) throws(EngineError) {
    (self.kind, self.rows.values) = (kind, rows)
    do throws(EngineError) { try validate() } catch { throw error.at(Self.recordName) }
  }

  /// The columns that are shown.
  public var columns: [String] { [x, y, value, by, spread].compactMap(\.self) }

  public func validate() throws(EngineError) {
    guard let chart = ChartCatalogue.kind(named: kind) else {
      throw EngineError(.argument, "no chart '\(kind)'", hint: suggestion(for: kind, among: Self.kinds.map(\.name)))
    }
    if rows.values.count > Self.mostRows {
      throw EngineError(.argument, "\(rows.values.count) rows, expected at most \(Self.mostRows)", hint: "leave some out, or take means")
    }
    if chart.needsValue != (value != nil) {
      throw EngineError(.argument, chart.needsValue ? "missing field 'value': the column that shades a \(kind)" : "'value' is for a heatmap alone")
    }
    _ = try chart.init(self)
  }

  /// The names of the axes.
  var labels: (x: String, y: String) { (xLabel ?? x, yLabel ?? y) }
  var valueLabel: String { value ?? "" }

  /// As a part of a page. Throws where its values do not fit the kind of chart, which `validate` has made sure of.
  func markup() throws(EngineError) -> Markup {
    guard let chart = ChartCatalogue.kind(named: kind) else { return .empty }
    let usual = value.map { "\($0) by \(x) and \(y)" } ?? "\(labels.y) by \(labels.x)"
    return try chart.init(self).drawn().figure(title: title ?? usual)
  }
}

/// The rows of a figure: texts, numbers and nothing by their columns' names.
struct FigureRows: FieldValue, Sendable {
  var values: [JSONObject] = []

  static var typeName: String { "table[]" }
  static var expected: String { "a list of rows" }
  var configValue: ConfigValue { JSONValue.array(values.map { .object($0) }).configValue }

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> FigureRows {
    guard case .table(let table) = value, table.fields.isEmpty else { throw ValueMismatch(expected: expected, found: value.briefly) }
    var rows = FigureRows()
    for (i, row) in table.list.enumerated() {
      guard case .table(let cells) = row, cells.list.isEmpty, let object = row.json.objectValue else {
        throw ValueMismatch(expected: "a row", found: row.briefly, place: "[\(i + 1)]")
      }
      rows.values.append(object)
    }
    return rows
  }
}

extension Axis.Scale: FieldChoice {
  static var typeName: String { "PlotScale" }
}

// MARK: - Rows as what charts show

extension Figure {
  /// A number of a row; nil where the row has none, or one that is not finite.
  private func number(_ column: String, _ row: JSONObject, _ place: Int) throws(EngineError) -> Double? {
    switch row[column] ?? .null {
    case .null: return nil
    case .int(let number): return Double(number)
    case .double(let number): return number.isFinite ? number : nil
    case let other:
      let hint = column == x && kind != BarChart.name ? "a bar chart takes names for x" : nil
      throw EngineError(.argument, "row \(place + 1): '\(column)' must be a number, got \(other.excerpt())", hint: hint)
    }
  }

  /// A text or number of a row as a name.
  private func name(_ column: String, _ row: JSONObject, _ place: Int) throws(EngineError) -> String {
    switch row[column] ?? .null {
    case .string(let text): return text
    case .int(let number): return String(number)
    case .double(let number): return TickFormat.short(number)
    case .bool(let flag): return flag ? "true" : "false"
    case let other: throw EngineError(.argument, "row \(place + 1): '\(column)' must be a text or a number, got \(other.excerpt())")
    }
  }

  /// Whether there are few enough points for each to have its words.
  private var hasTitles: Bool { rows.values.count <= 500 }

  private func title(_ row: JSONObject) -> String? {
    guard hasTitles else { return nil }
    return columns.compactMap { column in row[column].map { "\(column) \($0.doubleValue.map(numberText) ?? $0.shown)" } }.joined(separator: ", ")
  }

  private func point(_ row: JSONObject, _ place: Int, x: Double) throws(EngineError) -> ChartPoint? {
    guard let y = try number(y, row, place) else { return nil }
    let spread: Double? = if let spread = self.spread { try number(spread, row, place) } else { nil }
    if let spread, spread < 0 { throw EngineError(.argument, "row \(place + 1): '\(self.spread ?? "")' must not be negative, got \(spread)") }
    return ChartPoint(x: x, y: y, spread: spread, title: title(row))
  }

  /// Points with a number each for x and y, by series.
  func series() throws(EngineError) -> [ChartSeries] {
    var series = Named<ChartPoint>()
    for (i, row) in rows.values.enumerated() {
      guard let x = try number(x, row, i) else { continue }
      for (axis, scale, value) in [("x", xScale, x), ("y", yScale, try number(y, row, i) ?? 1)] where scale == .log && value <= 0 {
        throw EngineError(.argument, "row \(i + 1): a logarithmic \(axis) axis takes numbers above 0, got \(value)")
      }
      let name = if let by { try self.name(by, row, i) } else { "" }
      if let point = try point(row, i, x: x) { series.append(point, to: name) }
    }
    return series.all.enumerated().map { ChartSeries(name: $1.name, points: $1.values, style: $0) }
  }

  /// Values with a name for x: x of a point is the place of that name.
  func namedSeries() throws(EngineError) -> (categories: [String], series: [ChartSeries]) {
    if let (axis, _) = [("x", xScale), ("y", yScale)].first(where: { $0.1 == .log }) {
      throw EngineError(.argument, "'\(axis)_scale': bars begin at 0, which a logarithmic axis does not have")
    }
    var categories = Named<Int>()
    var series = Named<ChartPoint>()
    for (i, row) in rows.values.enumerated() {
      let place = categories.place(of: try name(x, row, i))
      let name = if let by { try self.name(by, row, i) } else { "" }
      guard let point = try point(row, i, x: Double(place)) else { continue }
      try requireFirst(!(series[name]?.contains { $0.x == point.x } ?? false), row, i)
      series.append(point, to: name)
    }
    return (categories.all.map(\.name), series.all.enumerated().map { ChartSeries(name: $1.name, points: $1.values, style: $0) })
  }

  /// Values by two names each.
  func cells() throws(EngineError) -> (columns: [String], rows: [String], values: [[Double?]]) {
    guard let value else { throw EngineError(.argument, "missing field 'value'") }
    if let unfit = [("by", by), ("spread", spread)].first(where: { $0.1 != nil })?.0 {
      throw EngineError(.argument, "a heatmap has no '\(unfit)'")
    }
    var (columns, lines) = (Named<Int>(), Named<Int>())
    var cells: [[Int]: Double] = [:]
    var seen: Set<[Int]> = []
    for (i, row) in rows.values.enumerated() {
      let place = [lines.place(of: try name(y, row, i)), columns.place(of: try name(x, row, i))]
      try requireFirst(seen.insert(place).inserted, row, i)
      cells[place] = try number(value, row, i)
    }
    let values = lines.all.indices.map { line in columns.all.indices.map { cells[[line, $0]] } }
    return (columns.all.map(\.name), lines.all.map(\.name), values)
  }

  private func requireFirst(_ isFirst: Bool, _ row: JSONObject, _ place: Int) throws(EngineError) {
    guard !isFirst else { return }
    throw EngineError(.argument, "row \(place + 1): a second one for \(title(row) ?? x)", hint: "give one row for each, such as a mean")
  }
}

/// Lists by name, in the order in which the names came.
struct Named<Element> {
  private(set) var all: [(name: String, values: [Element])] = []
  private var places: [String: Int] = [:]

  mutating func place(of name: String) -> Int {
    if let place = places[name] { return place }
    places[name] = all.count
    all.append((name, []))
    return all.count - 1
  }

  mutating func append(_ element: Element, to name: String) {
    let place = place(of: name)
    all[place].values.append(element)
  }

  subscript(name: String) -> [Element]? { places[name].map { all[$0].values } }
}

extension JSONValue {
  /// For a reader: a number with all its digits, a text without quotes.
  var shown: String {
    switch self {
    case .null: ""
    case .bool(let flag): flag ? "true" : "false"
    case .int(let number): String(number)
    case .double(let number): JSONValue.double(number).plain.encoded(.ordered)
    case .string(let text): text
    case .array(let elements): elements.map(\.shown).joined(separator: ", ")
    case .object: excerpt(limit: 80)
    }
  }
}
