import Diagnostics
import Engine
import Files
import LuaHost
import LuaTensors
import Metrics
import Optimizers
import Tasks
import TensorCore
import Training
import TransformerModels

extension Trainer: LuaObject {
  public static var luaName: String { "Trainer" }
}

extension FitResult: LuaObject {
  public static var luaName: String { "Result" }
}

/// A batch in a training loop of a script's own.
public final class BatchObject: LuaObject {
  public static let luaName = "Batch"
  public static let expectedWord = "a batch, one of the list that trainer:batches() gives"
  let batch: Batch
  let divisor: Double
  let labelSmoothing: Double

  init(_ batch: Batch, divisor: Double, labelSmoothing: Double) {
    self.batch = batch
    self.divisor = divisor
    self.labelSmoothing = labelSmoothing
  }
}

func trainerModule(_ session: Session) -> Module {
  Module(
    "trainer", "Training: the whole loop at once, or its steps one by one.",
    classes: [
      trainerClass(session).declaration, resultClass().declaration, predictionsClass().declaration, batchClass().declaration,
      optimizerClass().declaration,
    ],
    absent: AbsentNames.trainer,
    functions: optimizerFunctions() + [
      Function(
        "fit", "Trains a model on a task. An equal training that was finished before is taken from the store; one that was cut off goes on.",
        Param<FitOptions>("options", "see the fields"), returns: "result"
      ) { try session.fit($0.request(in: session)) },
      Function(
        "evaluate", "Evaluates a model on a task's evaluation sets.",
        Param<FitOptions>(
          "options", "model, task, sizes of batches, loss, metrics and generation; those of a training are left aside, with a line that says so"),
        returns: "table of metrics: eval_loss, eval_accuracy, ..."
      ) { options in
        let (model, task) = try options.subject()
        try session.tell(of: model, task, trains: false)
        let others = options.trainingOnly
        if !others.isEmpty {
          session.noteOnce(
            "trainer.evaluate: \(others.joined(separator: ", ")): only trainer.fit and trainer.loop read \(others.count == 1 ? "it" : "them")")
        }
        if let generation = options.arguments.generation { try task.textRemarks(model.network, generation).forEach(session.noteOnce) }
        let metrics = try Trainer.evaluate(
          model, task, options.arguments(in: session), functions: options.functions(in: session), onText: session.showTexts)
        return LuaTable(fields: metrics.mapValues { .number($0) })
      },
      Function(
        "predict",
        "Lets a model write for a task's evaluation set, and compares the texts with the set's own. Each prompt counts once; examples that share one are references. An equal result that is stored is taken; one that was cut off goes on with the texts that are missing.",
        Param<PredictOptions>("options", "see the fields"),
        returns: "the texts and their metrics; predictions.jsonl in the stage's folder has them, too"
      ) { try session.predict($0.request(in: session)) },
      Function(
        "loop", "The steps of trainer.fit for a loop of the script's own: batches, learning rates, updates.",
        Param<FitOptions>("options", "as for fit"), returns: "trainer, not started"
      ) { options in
        let (model, task) = try options.subject()
        guard options.loss == nil else {
          throw EngineError(.argument, "trainer.loop: 'loss' has no meaning here: the loop computes the loss itself")
        }
        guard options.pauseAfter == nil else {
          throw EngineError(.argument, "trainer.loop: 'pause_after' has no meaning here: the loop itself says when it ends")
        }
        try model.requireIdle("trainer.loop")
        try session.tell(of: model, task, trains: true)
        // The script may unfreeze parameters between the steps.
        var callbacks = TrainerCallbacks()
        callbacks.mayUnfreeze = true
        callbacks.onWarning = { session.progress.note("warning: " + $0) }
        // A function that captured the trainer, and the trainer, keep each other until the script ends.
        let trainer = try Trainer(
          model: model, task: task, arguments: options.arguments(in: session), functions: options.functions(in: session), callbacks: callbacks)
        try session.begin()
        return trainer
      },
    ])
}

private func trainerClass(_ session: Session) -> Class<Trainer> {
  Class<Trainer>(
    "A training under way, as callbacks see it; or the steps of one, made by trainer.loop.",
    .property("step", "updates done") { $0.state.step },
    .property("total_steps", "updates of the whole run") { $0.totalSteps },
    .property("steps_per_epoch", "updates of one epoch") { $0.stepsPerEpoch },
    .property("epoch", "epochs done, with a fraction") { Double($0.state.step) / Double($0.stepsPerEpoch) },
    .property("loss", "loss of the last update; nil in a loop of the script's own, which computes it itself") { $0.hasLoss ? $0.state.loss : nil },
    .property("grad_norm", "norm of the last update's gradient, before clipping") { $0.state.gradientNorm },
    .property("tokens", "tokens trained on so far") { $0.state.tokens },
    .property(
      "learning_rate",
      "the schedule's highest step size; assigning changes it for all later updates, and those of parameter groups by the same factor",
      get: { $0.state.learningRate },
      set: { trainer, value in
        guard value.isFinite, value >= 0 else {
          throw EngineError(.argument, "learning_rate = \(value): expected a finite number of at least 0")
        }
        try trainer.setLearningRate(value)
      }),
    .property("seed", "seeds order, dropout and masking: what Model:train takes") { Int(clamping: $0.arguments.usedSeed) },
    .property("current_learning_rate", "the step size of the next update, parameter groups with their own apart") { try $0.learningRate },
    .method("stop", "Ends the training after this update.") { $0.stop() },
    .method("freeze", "Freezes parameters.", Param<String>("name", "a part of their paths: \"encoder.layer.0\"")) {
      try $0.setTrainable(false, matching: $1)
    },
    .method("unfreeze", "Lets parameters train.", Param<String>("name", "a part of their paths: \"LayerNorm\"")) {
      try $0.setTrainable(true, matching: $1)
    },
    .method("batches", "The batches of the next update (several with gradient_accumulation_steps).", returns: "list of batches") {
      trainer in
      let batches = try trainer.nextBatches()
      let divisor = Double(max(1, batches.reduce(0) { $0 + $1.labelCount }))
      let labelSmoothing = try trainer.arguments.labelSmoothing(of: trainer.model)
      return batches.map { BatchObject($0, divisor: divisor, labelSmoothing: labelSmoothing) }
    },
    .method(
      "update", "Clips the gradients, updates the parameters, clears the gradients, and goes to the next step.",
      returns: "norm of the gradient before clipping"
    ) { trainer in
      try trainer.model.requireIdle("update")
      return try trainer.applyUpdate()
    },
    .method(
      "log", "Adds a row to metrics.jsonl, with the stage's name and the step.",
      Param<LuaTable>("row", "names and numbers, such as { loss = total, learning_rate = trainer.current_learning_rate }")
    ) { trainer, row in
      guard row.list.isEmpty, case .object(let values) = try LuaValue.table(row).json("row of Trainer:log") else {
        throw EngineError(.argument, "Trainer:log: expected named values", hint: "write { name = value }")
      }
      var entry: JSONObject = ["step": .int(trainer.state.step)]
      if let stage = session.fitName ?? session.stage?.name { entry["stage"] = .string(stage) }
      for (name, value) in values.members { entry[name] = value }
      try session.log(entry)
    },
    .method("evaluate", "Evaluates the model.", returns: "table of metrics") { trainer in
      let metrics = try Trainer.evaluate(
        trainer.model, trainer.task, trainer.arguments, functions: trainer.functions, onText: session.showTexts)
      return LuaTable(fields: metrics.mapValues { .number($0) })
    },
    .metamethod("__tostring", "step and loss", Param<Trainer>("trainer", "a trainer")) {
      "Trainer(step \($0.state.step) of \($0.totalSteps))"
    })
}

private func resultClass() -> Class<FitResult> {
  Class<FitResult>(
    "What a training gave.",
    .property("stage", "the stage's name") { $0.stage },
    .property("model", "the trained model; of a paused training an error") { result in
      try result.model.requireResult("result.model")
      return result.model
    },
    .property("metrics", "metrics of the final weights: eval_accuracy, eval_loss, ...") {
      LuaTable(fields: $0.metrics.mapValues { .number($0) })
    },
    .property("trainable", "number of trained parameters") { $0.trainable },
    .property("total", "number of parameters") { $0.total },
    .property("steps", "updates") { $0.steps },
    .property("tokens", "tokens trained on") { $0.tokens },
    .property("seconds", "seconds of training and evaluation") { $0.seconds },
    .property(
      "peak_tensor_mb",
      "the highest memory that tensors held for the training, in MB (2^20 bytes), without other models of the process; nil where it is not known"
    ) { $0.peakTensorMB },
    .property("best_step", "the step whose weights the model has, with load_best_model_at_end; nil where these are the last step's") { $0.bestStep },
    .property(
      "endings", "how the training ended, in words, where that is not at its last step with that step's weights: early stopping, the best step"
    ) { $0.endings },
    .property("warnings", "what makes the metrics doubtful, in words: predictions of one class throughout") { $0.warnings },
    .property("paused", "whether the training was paused, as pause_after says: metrics and steps are those of that evaluation") { $0.isPaused },
    .property("reused", "whether a stored result was taken") { $0.isReused },
    .property("key", "digest of everything that the result depends on") { $0.key },
    .absent(
      Dictionary(
        uniqueKeysWithValues: (MetricCatalogue.metrics.map(\.name) + ["loss", "combined"]).flatMap { name in
          [(name, "it is result.metrics.\(EvaluationName.of(name))"), (EvaluationName.of(name), "it is result.metrics.\(EvaluationName.of(name))")]
        })),
    .metamethod("__tostring", "stage and metrics", Param<FitResult>("result", "a result")) {
      "Result(" + [$0.stage, $0.summary].filter { !$0.isEmpty }.joined(separator: ": ") + ")"
    })
}

private func batchClass() -> Class<BatchObject> {
  Class<BatchObject>(
    "Packed sequences with their labels.",
    .property("size", "number of sequences") { $0.batch.offsets.count },
    .property("tokens", "number of tokens") { $0.batch.ids.count },
    .property("input_ids", "token ids of all sequences, end to end without padding: int32 [tokens]") { batch in
      try Tensor(batch.batch.ids, [batch.batch.ids.count])
    },
    .property("token_type_ids", "which text of a pair each token is of, 0 or 1: int32 [tokens]") { batch in
      try Tensor(batch.batch.tokenTypes, [batch.batch.tokenTypes.count])
    },
    .property("offsets", "where each sequence begins in input_ids, from 0, and where the last one ends: int32 [size + 1]") { batch in
      try Tensor(batch.batch.offsets.values, [batch.batch.offsets.values.count])
    },
    .property("lengths", "tokens of each sequence") { $0.batch.offsets.lengths },
    .property(
      "labels", "int32 classes [size], float32 scores [size, 1], or for masked language modelling the int32 tokens in the masked places [masked]"
    ) { try $0.batch.requiredLabels() },
    .property("examples", "positions of the sequences in the data set, from 0") { $0.batch.examples },
    .metamethod("__tostring", "sizes", Param<BatchObject>("batch", "a batch")) {
      "Batch(\($0.batch.offsets.count) sequences, \($0.batch.ids.count) tokens)"
    })
}
