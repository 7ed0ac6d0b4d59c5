import Diagnostics
import Engine
import Files
import LuaHost
import Metrics
import Pipelines
import Reports

func reportModule(_ session: Session) -> Module {
  Module(
    "report", "Tables of results, printed, and figures: both are kept in results.json, and `perigee report` shows them.",
    functions: [
      Function(
        "table", "Prints a table with one row for each result.",
        Param<LuaTable>(
          "rows",
          "results of trainer.fit, or tables; with columns = { \"stage\", \"accuracy\", ... }, by default what the rows have, and title = \"...\"")
      ) { rows in try session.reportTable(rows) },
      Function(
        "plot", "Adds a figure to the run, which `perigee report` shows. A script that runs again adds it anew.",
        Param<PlotOptions>("options", "see the fields; one of them has the rows, and its name is the kind of chart")
      ) { options in try session.plot(options) },
      Function(
        "number", "A number as a table shows it: \"0.7950\", \"5e-05\", \"1,234.5\".", Param<Double>("value", "any number"), returns: "text"
      ) { numberText($0) },
    ])
}

extension Session {
  fileprivate func reportTable(_ argument: LuaTable) throws {
    if let unknown = argument.fields.keys.sorted().first(where: { !["columns", "title"].contains($0) }) {
      throw EngineError(.argument, "report.table: unknown field '\(unknown)'", hint: suggestion(for: unknown, among: ["columns", "title"]))
    }
    let columns = try columns(of: argument)
    let title = argument["title"]
    if case .nil = title {
    } else if title.text == nil {
      throw EngineError(.argument, "report.table: title must be a string, got \(title.configValue.briefly)")
    }
    let rows = try argument.list.enumerated().map { i, row in
      guard let reported = ReportedRow(row.configValue) else {
        throw EngineError(.argument, "report.table: row \(i + 1) is a \(row.typeName): expected a result of trainer.fit, or a table")
      }
      return reported
    }
    let cells = try rows.cells(of: columns, place: "report.table")
    let shown = columns.map { Table.Column($0, decimals: $0 == "seconds" ? 1 : nil) }
    // A check has no numbers to show.
    guard mode == .run else { return }
    try report(Table(columns: shown, rows: cells), title: title.text)
  }

  fileprivate func plot(_ options: PlotOptions) throws {
    let figure = try options.checked()
    // A check has no numbers to show.
    if mode == .run { try addFigure(figure.json) }
  }

  /// The columns of a table: those that are named, else what its rows have.
  private func columns(of argument: LuaTable) throws -> [String] {
    switch argument["columns"] {
    case .nil: break
    case .table(let list) where list.fields.isEmpty:
      return try list.list.map { value in
        guard let name = value.text else {
          throw EngineError(.argument, "report.table: columns must be a list of strings, got \(value.configValue.briefly) in it")
        }
        return name
      }
    case let other:
      throw EngineError(
        .argument, "report.table: columns must be a list of strings, got \(other.configValue.briefly)", hint: "write { \"stage\", \"accuracy\" }")
    }
    var metrics: [String] = []
    var others: Set<String> = []
    for row in argument.list {
      switch row {
      case .object(let result as FitResult):
        let names = result.metrics.keys.map(EvaluationName.bare)
        metrics += names.sorted().filter { !$0.hasPrefix("loss") && !metrics.contains($0) }
      case .table(let table): others.formUnion(table.fields.keys)
      default: break
      }
    }
    guard argument.list.contains(where: { if case .object = $0 { true } else { false } }) else { return others.sorted() }
    let isLossKnown = argument.list.contains {
      if case .object(let result as FitResult) = $0 { result.metrics[EvaluationName.loss] != nil } else { false }
    }
    let columns = ["stage", "trainable"] + (metrics.isEmpty && isLossKnown ? ["loss"] : metrics) + ["seconds"]
    return columns + others.subtracting(columns).sorted()
  }
}

/// A row of a table or figure: what a training gave, or a table with names.
enum ReportedRow {
  case result(FitResult)
  case table(ConfigTable)

  /// nil for what is neither.
  init?(_ value: ConfigValue) {
    switch value {
    case .object(let object as FitResult, _): self = .result(object)
    case .table(let table): self = .table(table)
    default: return nil
    }
  }

  fileprivate func cell(_ column: String, at place: String) throws -> JSONValue {
    switch self {
    case .result(let result): result.column(column) ?? .null
    case .table(let table): try table.fields[column]?.json(at: place) ?? .null
    }
  }

  fileprivate var names: [String] {
    switch self {
    case .result(let result): result.columnNames
    case .table(let table): Array(table.fields.keys)
    }
  }

}

extension [ReportedRow] {
  /// The cells of some columns. Throws for a column that no row has.
  fileprivate func cells(of columns: [String], place: String) throws -> [[JSONValue]] {
    let cells = try enumerated().map { i, row in try columns.map { try row.cell($0, at: "row \(i + 1) of \(place)") } }
    let known = Set(flatMap(\.names))
    for (i, column) in columns.enumerated() where !isEmpty && !known.contains(column) && !known.contains(EvaluationName.of(column)) {
      guard cells.allSatisfy({ $0[i] == .null }) else { continue }
      throw EngineError(.argument, "\(place): no row has a column '\(column)'", hint: suggestion(for: column, among: known.sorted()))
    }
    return cells
  }
}

/// The options of `report.plot`.
struct PlotOptions: LuaRecord {
  /// By kind of chart.
  private var rows: [String: PlottedRows] = [:]
  private var figure = Figure()

  static let recordName = Figure.recordName
  static let typeName = "PlotOptions"
  static let fields: [Field<Self>] =
    Figure.kinds.map { kind in .value(kind.name, \.rows[kind.name], "rows that are shown as " + kind.doc) }
    + Field.fields(of: \.figure).filter { Figure.settingNames.contains($0.name) }

  init() {}

  /// The figure with the columns that it shows. Throws for rows of no kind or several, and for values that cannot be shown so.
  fileprivate func checked() throws -> Figure {
    guard let (kind, plotted) = rows.first, rows.count == 1 else {
      let kinds = Figure.kinds.map(\.name).joined(separator: ", ")
      throw EngineError(.argument, "report.plot: expected rows in one of \(kinds), got \(rows.isEmpty ? "none" : "several")")
    }
    var figure = figure
    // One seed has no spread: `sweep.run` then leaves it out.
    if figure.spread == "spread", !plotted.rows.contains(where: { $0.names.contains("spread") }) { figure.spread = nil }
    let columns = figure.columns
    let cells = try plotted.rows.cells(of: columns, place: "report.plot")
    try figure.fill(kind: kind, rows: cells.map { JSONObject(zip(columns, $0)) })
    return figure
  }
}

/// Rows of a figure. What else a table of rows has is passed over: `sweep.run` notes there what it did.
private struct PlottedRows: FieldValue {
  var rows: [ReportedRow] = []

  static var typeName: String { "table" }
  static var expected: String { "a list of results of trainer.fit, or of tables" }
  var configValue: ConfigValue { .null }

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> PlottedRows {
    guard case .table(let table) = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    var rows = PlottedRows()
    for (i, element) in table.list.enumerated() {
      guard let row = ReportedRow(element) else {
        throw ValueMismatch(expected: "a result of trainer.fit, or a table", found: element.briefly, place: "[\(i + 1)]")
      }
      rows.rows.append(row)
    }
    return rows
  }
}
