import Diagnostics
import Engine
import Files
import LuaHost
import Metrics
import Pipelines

/// The resolved parameters of a pipeline; unknown names are errors.
public final class ParameterValues: LuaObject {
  public static let luaName = "Params"
  let values: JSONObject

  init(_ values: JSONObject) { self.values = values }
}

func paramsModule(_ session: Session) -> Module {
  Module(
    "params", "The parameters of a pipeline: declared once, with defaults; --set name=value overrides them.",
    classes: [
      Class<ParameterValues>(
        "The values of the declared parameters, by name.",
        .dynamicFields { params in Dictionary(params.values.members.map { ($0, $1.lua) }, uniquingKeysWith: { a, _ in a }) },
        .method("all", "All values, as a table.", returns: "table") { JSONValue.object($0.values).lua },
        .metamethod("__tostring", "names and values", Param<ParameterValues>("params", "parameters")) {
          JSONValue.object($0.values).encoded(.ordered)
        }
      ).declaration
    ],
    call: Function(
      "params", "Declares the parameters and gives their values.",
      Param<LuaTable>("declarations", "name = default, or name = { default, doc = \"...\", min = , max = , choices = { } }"),
      returns: "the values, by name"
    ) { declarations in ParameterValues(try session.declare(ParameterSet(declarations.configTable, place: "params"))) })
}

func stageModule(_ session: Session) -> Module {
  Module(
    "stage", "Named parts of a pipeline. What trainer.fit does inside is stored by content: an equal stage is not trained again.",
    call: Function(
      "stage", "Runs a stage.", Param<String>("name", "unique in the pipeline"),
      Param<LuaValue>("body", "the function to run; or a table of further inputs that its results depend on"),
      Param<LuaFunction?>("function_after_inputs", "the function, if inputs were given"), returns: "what the function returns"
    ) { name, second, third in
      let inputs: JSONValue
      let body: LuaFunction
      switch (second, third) {
      case (.function(let function), nil): (inputs, body) = (.null, function)
      case (.table, let function?): (inputs, body) = (try second.json("inputs of stage '\(name)'"), function)
      default:
        throw EngineError(.argument, "bad arguments to 'stage' (expected a name and a function, or a name, a table of inputs and a function)")
      }
      return Results(list: try session.runStage(name, inputs: inputs) { try body.call([]) })
    })
}

func reportModule(_ session: Session) -> Module {
  Module(
    "report", "Tables of results: printed, and kept in results.json.",
    functions: [
      Function(
        "table", "Prints a table with one row for each result.",
        Param<LuaTable>(
          "rows",
          "results of trainer.fit, or tables; with columns = { \"stage\", \"accuracy\", ... }, by default what the rows have, and title = \"...\"")
      ) { rows in try session.reportTable(rows) },
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
    var known: [String] = []
    let rows: [[JSONValue]] = try argument.list.enumerated().map { i, row in
      switch row {
      case .object(let object as FitResult):
        known += object.columnNames
        return columns.map { object.column($0) ?? .null }
      case .table(let table):
        known += table.fields.keys
        return try columns.map { try table[$0].json("row \(i + 1) of report.table") }
      default:
        throw EngineError(.argument, "report.table: row \(i + 1) is a \(row.typeName): expected a result of trainer.fit, or a table")
      }
    }
    for column in columns where !rows.isEmpty && !known.contains(column) && !known.contains(EvaluationName.of(column)) {
      guard rows.allSatisfy({ $0[columns.firstIndex(of: column) ?? 0] == .null }) else { continue }
      throw EngineError(.argument, "report.table: no row has a column '\(column)'", hint: suggestion(for: column, among: Array(Set(known))))
    }
    let shown = columns.map { Table.Column($0, decimals: $0 == "seconds" ? 1 : nil) }
    // A check has no numbers to show.
    guard mode == .run else { return }
    try report(Table(columns: shown, rows: rows), title: title.text)
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

func logModule(_ session: Session) -> Module {
  Module(
    "log", "Messages beside the results.",
    functions: [
      Function("info", "Writes a line to standard error.", Param<String>("text", "the line")) { session.progress.note($0) },
      Function("warn", "Writes a warning to standard error.", Param<String>("text", "the warning")) { session.progress.note("warning: " + $0) },
      Function("metrics", "Adds a row to metrics.jsonl.", Param<LuaTable>("row", "names and numbers")) { row in
        guard case .object(let object) = try LuaValue.table(row).json("row of log.metrics") else {
          throw EngineError(.argument, "log.metrics: expected named values")
        }
        try session.log(object)
      },
    ])
}
