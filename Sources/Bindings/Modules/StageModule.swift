import Diagnostics
import Engine
import Files
import LuaHost
import Pipelines

/// A stage as a script gives it: a name and a function, or a name, a table of inputs and a function.
private struct StageArguments {
  let name: String
  let inputs: JSONValue
  let body: LuaFunction

  init(_ function: String, _ name: String, _ second: LuaValue, _ third: LuaFunction?) throws {
    self.name = name
    switch (second, third) {
    case (.function(let function), nil): (inputs, body) = (.null, function)
    case (.table, let function?): (inputs, body) = (try second.json("inputs of stage '\(name)'"), function)
    default:
      throw EngineError(.argument, "bad arguments to '\(function)' (expected a name and a function, or a name, a table of inputs and a function)")
    }
  }

  static var name: Param<String> { Param("name", "unique in the pipeline") }
  static var body: Param<LuaValue> { Param("body", "the function to run; or a table of further inputs that its results depend on") }
  static var function: Param<LuaFunction?> { Param("function_after_inputs", "the function, if inputs were given") }
}

func stageModule(_ session: Session) -> Module {
  Module(
    "stage", "Named parts of a pipeline. What trainer.fit does inside is stored by content: an equal stage is not trained again.",
    call: Function("stage", "Runs a stage.", StageArguments.name, StageArguments.body, StageArguments.function, returns: "what the function returns")
    {
      let stage = try StageArguments("stage", $0, $1, $2)
      return Results(list: try session.runStage(stage.name, inputs: stage.inputs) { try stage.body.call([]) })
    },
    functions: [
      Function(
        "attempt",
        "Runs a stage as stage(...) does, but does not wait where another process works at it: the function is then left, and the stage may come again.",
        StageArguments.name, StageArguments.body, StageArguments.function,
        returns: "true, and what the function returns; or false, and a table: key of the stage, and holder, the other process in words"
      ) { name, body, function in
        let stage = try StageArguments("stage.attempt", name, body, function)
        if let results = try session.runStage(stage.name, inputs: stage.inputs, .attempts, { try stage.body.call([]) }) {
          return Results(list: [.bool(true)] + results)
        }
        guard let away = session.turnedAway else { return Results(list: [.bool(false)]) }
        return Results(list: [
          .bool(false),
          .table(LuaTable(fields: ["key": .string(away.key.digest.hex), "holder": .string(away.holder ?? "another process")])),
        ])
      },
      Function(
        "key",
        "The key of a stage, for stage.look: of the first training in it that has pause_after, or whose result is not stored. The function is left there, and nothing is trained.",
        StageArguments.name, StageArguments.body, StageArguments.function,
        returns: "the key, and whether that training has pause_after; nil where the function came to its end, and in a check"
      ) { name, body, function in
        let stage = try StageArguments("stage.key", name, body, function)
        guard session.mode == .run, try session.runStage(stage.name, inputs: stage.inputs, .looks, { try stage.body.call([]) }) == nil,
          let away = session.turnedAway
        else { return Results(list: [.nil]) }
        return Results(list: [.string(away.key.digest.hex), .bool(away.isPausable)])
      },
      Function(
        "look", "What is stored under a stage's key, also while another process works at it.", Param<String>("key", "of stage.key or stage.attempt"),
        returns: "a table: finished; holder, the process that works at it, in words; evaluations, a list of the metrics of each so far"
      ) { key in
        let found = try session.look(digest(key, "stage.look"))
        var fields: [String: LuaValue] = ["finished": .bool(found.isFinished)]
        if let holder = found.holder { fields["holder"] = .string(holder) }
        fields["evaluations"] = .table(LuaTable(list: found.evaluations.map { .table(LuaTable(fields: $0.mapValues { .number($0) })) }))
        return LuaValue.table(LuaTable(fields: fields))
      },
      Function(
        "wait", "Waits until no other process works at one of some stages.", Param<[String]>("keys", "of stage.attempt"),
        Param<Double>("seconds", "how long at most", default: 1e9, in: 0...1e9), returns: "whether one can be attempted again"
      ) { keys, seconds in try session.wait(for: keys.map { try digest($0, "stage.wait") }, seconds: seconds) },
      Function(
        "shard", "Which of several processes this is that run the same script over one cache: --shard.",
        returns: "its number, from 1, and how many there are; nothing without --shard"
      ) { () -> Results in
        session.isSharedOut = true
        return Results(list: session.shard.map { [.integer($0.number), .integer($0.count)] } ?? [])
      },
    ])
}

private func digest(_ key: String, _ function: String) throws -> Digest {
  guard let digest = Digest(hex: key) else { throw EngineError(.argument, "\(function): '\(key)' is no key of a stage") }
  return digest
}
