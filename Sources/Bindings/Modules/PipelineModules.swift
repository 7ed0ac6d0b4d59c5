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
