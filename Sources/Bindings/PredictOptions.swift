import Datasets
import Diagnostics
import Engine
import Files
import LuaHost
import Tasks
import Training

/// Options of `trainer.predict`.
struct PredictOptions: LuaRecord {
  var model: TrainableModel?
  var task: Task?
  var set: String?
  var arguments = TrainingArguments()
  var logitsProcessor: LuaFunction?

  private static let argumentNames: Set = ["generation", "max_length", "seed", "save_seconds"]

  static let recordName = "predict options"
  static let fields: [Field<Self>] =
    [
      .object("model", \.model, "what writes", type: "Model", required: true),
      .object("task", \.task, "what it writes for", type: "Task", required: true),
      .value("set", \.set, "name of the evaluation set; default: the task's first"), .logitsProcessor(\.logitsProcessor),
    ] + Field.fields(of: \.arguments).filter { argumentNames.contains($0.name) }

  static var foreignNames: [String: ForeignName] {
    TrainingArguments.foreignNames.merging(
      [
        "test_dataset": .isCalled("set"), "split": .isCalled("set"), "eval_split": .isCalled("set"),
        "batch_size": .isCalled("generation", reason: "generation = { batch_size = ... }"),
        "metrics": .isLeftOut("the task has the metrics: tasks.causal_lm { metrics = { \"rougeL\" } }"),
      ]) { $1 }
  }

  /// What is asked for: with the session's seed where the script gives none.
  func request(in session: Session) throws -> PredictRequest {
    guard let model, let task else { throw EngineError(.argument, "predict options: missing field 'model' or 'task'") }
    var request = PredictRequest(model: model, task: task.task, arguments: arguments)
    request.set = set
    request.arguments.seed = arguments.seed ?? session.seed
    request.functions.logitsProcessor = logitsProcessor?.logitsProcessor(session, seed: request.arguments.usedSeed)
    request.functionIdentities = try functionIdentities(logitsProcessor.map { [("logits_processor", $0)] } ?? [], model)
    return request
  }
}

extension PredictResult: LuaObject {
  public static var luaName: String { "Predictions" }
}

extension PredictResult: LuaContent {
  public func contentIdentity() throws -> JSONValue { ["predictions": .string(key)] }
}

/// The class of what `trainer.predict` gives.
func predictionsClass() -> Class<PredictResult> {
  Class<PredictResult>(
    "What a model wrote for an evaluation set: each prompt once, in the set's order.",
    .property("stage", "the stage's name") { $0.stage },
    .property("prompts", "what the model was given") { $0.predictions.map(\.prompt) },
    .property("texts", "what it wrote, a text for each prompt") { $0.predictions.map(\.text) },
    .property("references", "the set's own texts, a list for each prompt, for metrics") {
      $0.predictions.map { LuaTable(list: $0.references.map { .string($0) }) }
    },
    .property("scores", "log probability of each text, as the length penalty has it") { $0.predictions.map(\.score) },
    .property("metrics", "the task's metrics of texts: eval_rougeL, ...") { LuaTable(fields: $0.metrics.mapValues { .number($0) }) },
    .property("tokens", "tokens that were written") { $0.tokens },
    .property("seconds", "seconds of writing") { $0.seconds },
    .property("reused", "whether a stored result was taken") { $0.isReused },
    .property("key", "digest of everything that the texts depend on") { $0.key },
    .metamethod("__tostring", "stage and metrics", Param<PredictResult>("predictions", "what trainer.predict gave")) {
      "Predictions(\($0.stage): \($0.summary))"
    })
}
