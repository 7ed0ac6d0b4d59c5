import Diagnostics
import Metrics
import Tasks
import TensorCore
import Tokenizers
import TransformerModels

/// Evaluates a model on a task's sets; predictions are reduced batch by batch, logits are not kept.
struct Evaluator {
  let model: TrainableModel
  let task: TrainingTask
  let arguments: TrainingArguments
  var functions = TrainerFunctions()
  /// Told of a set for which the model predicts one class throughout, though it has several.
  var onSingleClass: ((SingleClassPrediction) -> Void)?
  /// Told of every text that the model writes.
  var onText: TextObserver?
  /// Keeps hidden states of an evaluation set, by its number, from one evaluation to the next.
  var hiddenStates: ((_ set: Int, EncodedDataset, _ batches: [[Int]]) -> HiddenStateCache?)?

  /// `eval_loss`, smoothed as in training, and the task's metrics of every set; all sets but the first have a suffix ("_mm" for MNLI's mismatched).
  func callAsFunction() throws -> [String: Double] {
    let context = model.network.context
    let wasTraining = context.isTraining
    context.isTraining = false
    defer { context.isTraining = wasTraining }
    var result: [String: Double] = [:]
    let suffixes = Self.suffixes(of: task)
    for (i, split) in task.evaluation.enumerated() {
      let suffix = suffixes[i]
      let data = try task.encoded(split, model.tokenizer, arguments)
      for (name, value) in try evaluate(data, set: i) { result[EvaluationName.of(name + suffix)] = value }
      guard let options = arguments.generation else { continue }
      let texts = try TextEvaluation(model, task, split, options, arguments, functions)
      for (name, value) in try texts.scores(of: texts.write(onText: onText)) { result[EvaluationName.of(name + suffix)] = value }
    }
    return result
  }

  /// What follows the names of each set's metrics; one empty suffix where there is no set.
  static func suffixes(of task: TrainingTask) -> [String] {
    [""] + task.evaluation.dropFirst().map(\.suffix)
  }

  private func evaluate(_ data: EncodedDataset, set: Int) throws -> [String: Double] {
    let type = try model.fittedType(of: task)
    var (lossSum, labelCount) = (0.0, 0)
    let batches = BatchSampler.evaluationBatches(data.lengths, batchSize: arguments.evalBatchSize)
    let cache = hiddenStates?(set, data, batches)
    // The largest of a vocabulary's scores takes time in every row.
    let metrics = arguments.generation == nil ? functions.metrics : nil
    let readsAnswers = try type.head.isSequence || metrics != nil || task.batchMetrics.contains { !$0.readsLoss }
    var seen = SeenAnswers(isSequence: type.head.isSequence, keepsLogits: metrics != nil)
    for (i, indices) in batches.enumerated() {
      try Interrupt.check()
      var batch = try data.batch(indices, for: type, arguments.preparation("evaluation masks", step: i, model.tokenizer))
      batch.hiddenStates = cache
      labelCount += batch.labelCount
      let smoothing = try arguments.labelSmoothing(of: model)
      guard readsAnswers else {
        lossSum += try Autograd.noGrad { try functions.loss(model, batch, labelSmoothing: smoothing).item() } * Double(batch.labelCount)
        continue
      }
      let (loss, logits) = try Autograd.noGrad { try functions.lossAndLogits(model, batch, labelSmoothing: smoothing) }
      lossSum += try loss.item() * Double(batch.labelCount)
      // Metrics see the task's order: which class F1 is about does not depend on the model.
      try seen.add(type.answers(logits), type.references(batch, of: data), type.aligned(logits), batch.examples)
    }
    var result = ["loss": lossSum / Double(max(labelCount, 1))]
    guard data.count > 0 else { return result }
    let predictions = try seen.all()
    let (answers, references) = (predictions.answers, predictions.references)
    if let single = SingleClassPrediction(answers, references, task, set: task.evaluation[set].name) { onSingleClass?(single) }
    try addTaskMetrics(&result, answers.map(\.number), references.map(\.number), data)
    if let metrics {
      for (name, value) in try metrics(predictions) { result[name] = value }
    }
    return result
  }

  private func addTaskMetrics(
    _ result: inout [String: Double], _ predictions: [Double], _ references: [Double], _ data: EncodedDataset
  ) throws {
    let names = try task.batchMetrics.filter { !predictions.isEmpty || $0.readsLoss }.map(\.name)
    guard !names.isEmpty else { return }
    if let bad = predictions.firstIndex(where: { !$0.isFinite }) {
      throw EngineError(.notFinite, "evaluation: the prediction for \(data.places([bad])) is not finite")
    }
    for score in try MetricCatalogue.scores(names, predictions: predictions, references: references, loss: result["loss"]) {
      result[score.name] = score.value
    }
  }
}

extension Trainer {
  /// What the first evaluation set should give as predictions, without logits that mean anything: what a check can call a
  /// script's metrics with. nil where there is no set, or where examples have no answer of their own.
  public static func references(
    _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments
  ) throws -> Predictions? {
    guard task.type.head.isSequence, let set = task.evaluation.first else { return nil }
    let data = try task.encoded(set, model.tokenizer, arguments)
    let references = try task.type.references(data.batch(Array(0..<data.count)), of: data)
    return Predictions(
      answers: references, references: references, logits: try .zeros([data.count, task.type.head.labels.count]))
  }
}

/// What a model has said about an evaluation set so far, batch by batch.
private struct SeenAnswers {
  private var (answers, references): ([Answer], [Answer]) = ([], [])
  /// For a sequence head, the example of each answer and its logits, if these are kept.
  private var examples: [Int] = []
  private var logits: [[Float]] = []
  private let isSequence: Bool
  private let keepsLogits: Bool

  init(isSequence: Bool, keepsLogits: Bool) {
    self.isSequence = isSequence
    self.keepsLogits = isSequence && keepsLogits
  }

  mutating func add(_ answers: [Answer], _ references: [Answer], _ scores: Tensor, _ examples: [Int]) {
    self.answers += answers
    self.references += references
    self.examples += examples
    if keepsLogits {
      logits += (0..<scores.rows).map { Array(scores.floats[$0 * scores.columns..<($0 + 1) * scores.columns]) }
    }
  }

  /// All of it: for a sequence head in the order of the examples, which batches have not.
  func all() throws -> Predictions {
    guard isSequence else { return Predictions(answers: answers, references: references, logits: nil) }
    let order = examples.indices.sorted { examples[$0] < examples[$1] }
    return Predictions(
      answers: order.map { answers[$0] }, references: order.map { references[$0] },
      logits: keepsLogits ? try Tensor(order.flatMap { logits[$0] }, [order.count, logits.first?.count ?? 0]) : nil)
  }
}
