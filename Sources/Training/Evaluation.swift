import Diagnostics
import Metrics
import TensorCore
import Tokenizers
import TransformerModels

/// Evaluates a model on a task's sets; predictions are reduced batch by batch, logits are not kept.
struct Evaluator {
  let model: TransformerModel
  let tokenizer: Tokenizer
  let task: TrainingTask
  let arguments: TrainingArguments
  /// Keeps hidden states of an evaluation set, by its number, from one evaluation to the next.
  var hiddenStates: ((_ set: Int, EncodedDataset, _ batches: [[Int]]) -> HiddenStateCache?)?

  /// `eval_loss` and the task's metrics of every set; all sets but the first have a suffix ("_mm" for MNLI's mismatched).
  func callAsFunction() throws -> [String: Double] {
    let wasTraining = model.context.isTraining
    model.context.isTraining = false
    defer { model.context.isTraining = wasTraining }
    var result: [String: Double] = [:]
    for (i, split) in task.evaluation.enumerated() {
      let suffix = i == 0 ? "" : split.name.contains("mismatched") ? "_mm" : "_" + split.name
      let data = try task.encoded(split, tokenizer: tokenizer, maxLength: arguments.maxLength)
      for (name, value) in try evaluate(data, set: i) { result["eval_" + name + suffix] = value }
    }
    return result
  }

  private func evaluate(_ data: EncodedDataset, set: Int) throws -> [String: Double] {
    var (lossSum, labelCount, correct) = (0.0, 0, 0)
    var predictions = [Double](repeating: 0, count: data.count)
    let draw = RandomSource(seed: arguments.usedSeed, stream: RandomSource.stream(named: "evaluation masks"))
    let batches = BatchSampler.evaluationBatches(data.lengths, batchSize: arguments.evalBatchSize)
    let cache = hiddenStates?(set, data, batches)
    for (i, indices) in batches.enumerated() {
      try Interrupt.check()
      var batch = try data.batch(indices)
      try task.label(&batch, data, RandomSource(seed: draw.seed, stream: draw.stream, step: UInt64(i)), arguments, tokenizer)
      batch.hiddenStates = cache
      let (loss, logits) = try Autograd.noGrad { try model.loss(batch) }
      let counted = batch.labelCount
      lossSum += try loss.item() * Double(counted)
      labelCount += counted
      let rows = logits.predictedClasses
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
    guard !task.metricNames.isEmpty, data.count > 0 else { return result }
    if let bad = predictions.firstIndex(where: { !$0.isFinite }) {
      throw EngineError(.notFinite, "evaluation: the prediction for \(data.places([bad])) is not finite")
    }
    for score in try MetricCatalogue.scores(task.metricNames, predictions: predictions, references: data.labels) {
      result[score.name] = score.value
    }
    return result
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
