import Diagnostics
import Metrics
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
  /// Keeps hidden states of an evaluation set, by its number, from one evaluation to the next.
  var hiddenStates: ((_ set: Int, EncodedDataset, _ batches: [[Int]]) -> HiddenStateCache?)?

  /// `eval_loss` and the task's metrics of every set; all sets but the first have a suffix ("_mm" for MNLI's mismatched).
  func callAsFunction() throws -> [String: Double] {
    let context = model.network.context
    let wasTraining = context.isTraining
    context.isTraining = false
    defer { context.isTraining = wasTraining }
    var result: [String: Double] = [:]
    let suffixes = Self.suffixes(of: task)
    for (i, split) in task.evaluation.enumerated() {
      let suffix = suffixes[i]
      let data = try task.encoded(split, tokenizer: model.tokenizer, maxLength: arguments.maxLength)
      for (name, value) in try evaluate(data, set: i) { result["eval_" + name + suffix] = value }
    }
    return result
  }

  /// What follows the names of each set's metrics; one empty suffix where there is no set.
  static func suffixes(of task: TrainingTask) -> [String] {
    [""] + task.evaluation.dropFirst().map { $0.name.contains("mismatched") ? "_mm" : "_" + $0.name }
  }

  private func evaluate(_ data: EncodedDataset, set: Int) throws -> [String: Double] {
    var (lossSum, labelCount, correct) = (0.0, 0, 0)
    let places = try model.labelPlaces(task)
    var predictions = [Double](repeating: 0, count: data.count)
    let draw = RandomSource(seed: arguments.usedSeed, stream: RandomSource.stream(named: "evaluation masks"))
    let batches = BatchSampler.evaluationBatches(data.lengths, batchSize: arguments.evalBatchSize)
    let cache = hiddenStates?(set, data, batches)
    var seen = SeenPredictions(examples: functions.metrics == nil ? 0 : data.count, places: places)
    for (i, indices) in batches.enumerated() {
      try Interrupt.check()
      var batch = try data.batch(indices)
      try task.label(&batch, data, RandomSource(seed: draw.seed, stream: draw.stream, step: UInt64(i)), arguments, model.tokenizer)
      batch.reorderClasses(places)
      batch.hiddenStates = cache
      let (loss, logits) = try Autograd.noGrad { try functions.loss(model, batch) }
      let counted = batch.labelCount
      lossSum += try loss.item() * Double(counted)
      labelCount += counted
      let predicted = logits.predictedClasses
      // Metrics see the task's order: which class F1 is about does not depend on the model.
      let rows = places.map { places in predicted.map { places.firstIndex(of: $0) ?? $0 } } ?? predicted
      if functions.metrics != nil { seen.add(logits, rows, batch) }
      switch batch.labels {
      case .classes: for (row, example) in indices.enumerated() { predictions[example] = Double(rows[row]) }
      case .scores: for (row, example) in indices.enumerated() { predictions[example] = logits.element(row) }
      case .tokens(let tokens):
        correct += zip(tokens.filter { $0 != ignoredLabel }, rows).reduce(0) { $0 + ($1.0 == Int32($1.1) ? 1 : 0) }
      case .none: break
      }
    }
    var result = ["loss": lossSum / Double(max(labelCount, 1))]
    if case .maskedLM = task.modelTask { result["accuracy"] = Double(correct) / Double(max(labelCount, 1)) }
    guard data.count > 0 else { return result }
    if let single = SingleClassPrediction(predictions, data.labels, task, set: task.evaluation[set].name) { onSingleClass?(single) }
    try addTaskMetrics(&result, predictions, data)
    if let metrics = functions.metrics {
      for (name, value) in try metrics(seen.all(predictions, data.labels, model.network.task)) { result[name] = value }
    }
    return result
  }

  private func addTaskMetrics(_ result: inout [String: Double], _ predictions: [Double], _ data: EncodedDataset) throws {
    guard !task.metricNames.isEmpty else { return }
    if let bad = predictions.firstIndex(where: { !$0.isFinite }) {
      throw EngineError(.notFinite, "evaluation: the prediction for \(data.places([bad])) is not finite")
    }
    for score in try MetricCatalogue.scores(task.metricNames, predictions: predictions, references: data.labels) {
      result[score.name] = score.value
    }
  }
}

extension Trainer {
  /// The labels of the first evaluation set as predictions, without logits that mean anything: what a check can call a script's
  /// metrics with. nil where there is no set, or its labels are drawn anew in every evaluation.
  public static func perfectPredictions(
    _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments
  ) throws -> Predictions? {
    guard case .sequenceClassification(let names, let problem) = task.modelTask, let set = task.evaluation.first else { return nil }
    let data = try task.encoded(set, tokenizer: model.tokenizer, maxLength: arguments.maxLength)
    return Predictions(
      values: data.labels, labels: data.labels, areClasses: problem != .regression, logits: try .zeros([data.count, names.count]))
  }
}

/// What a script's metrics need beside classes and scores: all logits, or the tokens in masked places.
private struct SeenPredictions {
  private var logits: [[Float]]
  /// The columns of the task's labels, where they are not its own order.
  private let places: [Int]?
  private var tokens: (values: [Double], labels: [Double]) = ([], [])

  init(examples: Int, places: [Int]?) {
    logits = [[Float]](repeating: [], count: examples)
    self.places = places
  }

  mutating func add(_ batch: Tensor, _ classes: [Int], _ labelled: Batch) {
    if case .tokens(let labels) = labelled.labels {
      tokens.values += classes.map { Double($0) }
      tokens.labels += labels.filter { $0 != ignoredLabel }.map { Double($0) }
      return
    }
    for (row, example) in labelled.examples.enumerated() where logits.indices.contains(example) {
      let scores = batch.floats[row * batch.columns..<(row + 1) * batch.columns]
      logits[example] = places.map { $0.map { scores[scores.startIndex + $0] } } ?? Array(scores)
    }
  }

  func all(_ values: [Double], _ labels: [Double], _ task: ModelTask) throws -> Predictions {
    guard case .sequenceClassification(let names, let problem) = task else {
      return Predictions(values: tokens.values, labels: tokens.labels, areClasses: true, logits: nil)
    }
    return Predictions(
      values: values, labels: labels, areClasses: problem != .regression,
      logits: try Tensor(logits.flatMap { $0 }, [logits.count, names.count]))
  }
}

extension Tensor {
  /// The column of the largest value in each row.
  var predictedClasses: [Int] {
    let (values, width) = (floats, columns)
    return (0..<rows).map { row in
      var best = 0
      for column in 0..<width where values[row * width + column] > values[row * width + best] { best = column }
      return best
    }
  }
}
