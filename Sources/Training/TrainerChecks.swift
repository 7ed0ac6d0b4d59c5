import Datasets
import Diagnostics
import Metrics
import NN
import Tasks
import TensorCore
import TransformerModels

// What a training may not begin with, and the errors of one whose numbers are no longer finite.

extension Trainer {
  /// "eval_accuracy": the metric that selects the best evaluation.
  public var bestMetricName: String {
    EvaluationName.of(arguments.metricForBestModel ?? task.metricForBestModel)
  }

  var isGreaterBetter: Bool {
    if let given = arguments.greaterIsBetter { return given }
    let name = EvaluationName.bare(bestMetricName)
    // As in Transformers, more of a script's own metric is better unless it is a loss.
    if functions.metrics != nil, !task.metricNames.contains(name) { return !name.hasSuffix("loss") }
    return MetricCatalogue.greaterIsBetter(name) ?? false
  }

  static func check(
    _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments, _ functions: TrainerFunctions,
    trains: Bool = true
  ) throws {
    _ = try model.fittedType(of: task)
    guard !trains || model.network.parameterCounts().trainable > 0 else {
      throw EngineError(.argument, "nothing to train: no parameter requires grad", hint: "add an adapter, or unfreeze something")
    }
    if trains, task.evaluation.isEmpty {
      let useless =
        arguments.loadBestModelAtEnd
        ? "load_best_model_at_end"
        : arguments.earlyStoppingPatience.map { "early_stopping_patience = \($0)" }
      if let useless {
        throw EngineError(
          .argument, "\(useless): the task '\(task.name)' has no evaluation set: nothing is evaluated",
          hint: "give the task validation files")
      }
    }
    for (name, length) in [("max_length", arguments.maxLength), ("max_target_length", arguments.maxTargetLength ?? 0)]
    where length > model.network.maxLength {
      throw EngineError(.argument, "\(name) = \(length): the model's positions end at \(model.network.maxLength)")
    }
    if arguments.maxTargetLength != nil, TaskTypeCatalogue.foreignArguments(of: Swift.type(of: task.type)).contains("max_target_length") {
      throw EngineError(
        .argument, "max_target_length: task '\(task.name)' has no targets of their own, which a decoder writes from what an encoder reads",
        hint: "max_length limits an example")
    }
    let table = model.network.config
    let vocabulary = try table.int("vocab_size")
    guard model.tokenizer.vocabularySize <= vocabulary else {
      throw EngineError(
        .data, "the tokenizer has \(model.tokenizer.vocabularySize) tokens, the model's table \(vocabulary): they belong to different models")
    }
    if functions.loss != nil, arguments.labelSmoothingFactor > 0 {
      throw EngineError(.argument, "label_smoothing_factor with a loss of the script's own: the loss has to smooth the labels itself")
    }
    if arguments.labelSmoothingFactor > 0, (Swift.type(of: task.type) as? any SequenceTaskType.Type)?.labelKind == .scores {
      throw EngineError(
        .argument, "label_smoothing_factor: task '\(task.name)' has scores, and no classes over which a label could be spread", hint: "leave it out")
    }
    // What a script's function gives is known only after an evaluation.
    if let wanted = arguments.metricForBestModel, functions.metrics == nil {
      let bare = EvaluationName.bare(wanted)
      func names(writes: Bool) throws -> [String] {
        let own = try task.evaluatedNames(writes: writes)
        return Evaluator.suffixes(of: task).flatMap { suffix in own.map { $0 + suffix } }
      }
      let known = try names(writes: arguments.generation != nil)
      guard known.contains(bare) else {
        let isWritten = try names(writes: true).contains(bare)
        throw EngineError(
          .argument,
          "metric_for_best_model = '\(wanted)': "
            + (isWritten ? "it compares texts, and no text is written" : "task '\(task.name)' has no such metric"),
          hint: isWritten ? "give generation too: generation = { ... }" : suggestion(for: bare, among: known))
      }
    }
    try checkGeneration(model, task, arguments, functions)
  }

  /// Throws where the last update left something that is not finite: no loss after it would tell.
  func requireFinite() throws {
    guard let bad = trainedParameters().first(where: { $0.tensor.firstNonFinite != nil }) else { return }
    throw EngineError(
      .notFinite, "step \(state.step): the update left a value that is not finite; first parameter that is not finite: \(bad.name)",
      hint: Self.remedy)
  }

  private static let remedy = "a lower learning_rate or max_grad_norm may help"

  /// The error of a loss or gradient that is not finite: the step, the rows, and the first parameter that is at fault.
  func notFinite(_ what: String, _ batch: Batch) -> EngineError {
    let parameters = model.network.namedParameters()
    let culprit: String
    if let bad = parameters.first(where: { $0.tensor.firstNonFinite != nil }) {
      culprit = "first parameter that is not finite: \(bad.name)"
    } else if let bad = parameters.first(where: { $0.tensor.grad?.firstNonFinite != nil }) {
      culprit = "all parameters are finite; first gradient that is not: \(bad.name)"
    } else {
      culprit = "all parameters are finite"
    }
    return EngineError(
      .notFinite, "step \(state.step + 1): \(what); \(culprit); batch: \(data.places(batch.examples))",
      hint: Self.remedy)
  }
}
