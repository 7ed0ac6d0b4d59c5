import Diagnostics
import Engine
import Files
import LuaHost
import LuaMethods
import Tasks
import Training

/// Options of `trainer.fit`: what to train, and Transformers' training arguments.
struct FitOptions: LuaRecord {
  var model: TrainableModel?
  var task: Task?
  var arguments = TrainingArguments()
  var onStep: LuaFunction?
  var onEvaluate: LuaFunction?
  var onEpoch: LuaFunction?
  var schedule: LuaFunction?
  var loss: LuaFunction?
  var computeMetrics: LuaFunction?
  var logitsProcessor: LuaFunction?
  var pauseAfter: Int?

  static let recordName = "trainer options"
  static let typeName = "FitOptions"
  static let fields: [Field<Self>] =
    [
      .object("model", \.model, "what to train", type: "Model", required: true),
      .object("task", \.task, "what to train on", type: "Task", required: true),
      .function("on_step", \.onStep, "called after every update", type: "fun(trainer: Trainer)"),
      .function("on_evaluate", \.onEvaluate, "called after every evaluation", type: "fun(trainer: Trainer, metrics: table)"),
      .function("on_epoch", \.onEpoch, "called after every epoch, numbered from 1", type: "fun(trainer: Trainer, epoch: integer)"),
      .function(
        "loss", \.loss,
        "the mean loss of a batch, a scalar tensor, in place of the task's; labels are int32 classes (in the model's order) or tokens, or scores of the logits' shape",
        type: "fun(logits: Tensor, labels: Tensor, model: Model): Tensor"),
      .function(
        "compute_metrics", \.computeMetrics,
        "metrics of an evaluation set by name, beside the task's: from predicted classes (from 0, in the task's order) or scores, the labels, and the logits [examples, labels]; with generation from the texts that the model wrote, the references of each, and its tokens",
        type: "fun(predictions: number[]|string[], labels: number[]|string[][], logits: Tensor|integer[][]|nil): table<string, number>"),
      .logitsProcessor(\.logitsProcessor),
      .int(
        "pause_after", \.pauseAfter,
        "evaluations after which the training pauses: its state is saved, and the same stage goes on from there when it comes again; results do not depend on it; default: never",
        in: 1...),
    ] + Field.fields(of: \.arguments).map { $0.name == "lr_scheduler_type" ? scheduler : $0 }

  static var foreignNames: [String: ForeignName] { TrainingArguments.foreignNames }

  func validate() throws(EngineError) {
    try arguments.validate()
    try checkFunctions()
    if pauseAfter != nil, arguments.evalStrategy == .no {
      throw EngineError(
        .argument, "'pause_after' with eval_strategy = \"no\": nothing is evaluated", hint: "set eval_strategy to \"epoch\" or \"steps\"")
    }
  }

  var hasCallbacks: Bool { onStep != nil || onEvaluate != nil || onEpoch != nil }

  /// Model and task; both are required fields.
  func subject() throws -> (TrainableModel, TrainingTask) {
    guard let model, let task else { throw EngineError(.argument, "trainer options: missing field 'model' or 'task'") }
    try model.requireResult("model")
    return (model, task.task)
  }

  /// The options that an evaluation reads.
  private static let evaluationNames: Set = [
    "model", "task", "max_length", "per_device_eval_batch_size", "mlm_probability", "label_smoothing_factor", "label_smoothing_type", "seed", "loss",
    "compute_metrics", "generation", "max_target_length", "logits_processor",
  ]

  /// The options that are given and mean something to a training alone.
  var trainingOnly: [String] {
    let plain = Self()
    return Self.fields.filter { field in
      guard !Self.evaluationNames.contains(field.name) else { return false }
      let value = field.read(self)
      if case .object = value { return true }
      return value.json != field.read(plain).json
    }.map(\.name)
  }

  /// What is asked for: functions and callbacks that call the script's, and what they compute.
  func request(in session: Session) throws -> FitRequest {
    let (model, task) = try subject()
    let arguments = arguments(in: session)
    var request = FitRequest(model: model, task: task, arguments: arguments)
    request.functions = functions(in: session)
    request.callbacks = callbacks
    request.functionIdentities = try Bindings.functionIdentities(given, model)
    request.isScripted = model.adapters.contains { $0.method is LuaMethod }
    request.pauseAfter = pauseAfter
    request.metricNames = { try metricNames(model, task, arguments) }
    return request
  }

  /// The arguments with the session's seed where the script gives none.
  func arguments(in session: Session) -> TrainingArguments {
    var arguments = self.arguments
    arguments.seed = arguments.seed ?? session.seed
    return arguments
  }
}

extension FitOptions {
  /// The script's functions as the trainer calls them.
  private var callbacks: TrainerCallbacks {
    var callbacks = TrainerCallbacks()
    callbacks.mayUnfreeze = hasCallbacks
    if let function = onStep { callbacks.onStep = { trainer in _ = try function.call([.object(trainer)]) } }
    if let function = onEvaluate {
      callbacks.onEvaluate = { trainer, metrics in
        let table = LuaTable(fields: metrics.mapValues { .number($0) })
        _ = try function.call([.object(trainer), .table(table)])
      }
    }
    if let function = onEpoch {
      callbacks.onEpoch = { trainer, epoch in _ = try function.call([.object(trainer), .integer(epoch)]) }
    }
    return callbacks
  }
}
