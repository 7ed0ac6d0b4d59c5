import Diagnostics
import Engine
import Files
import LuaHost
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
