import Diagnostics
import Generation
import Tasks
import TensorCore
import TransformerModels

/// What a script computes in the trainer's place. A resumed run ends with the same bits if each depends on its arguments
/// alone. What they return is checked by whoever sets them.
public struct TrainerFunctions {
  /// The schedule's multiplier, finite and at least 0: `done` updates of `total` are done, at least 0 and below `total`.
  public var schedule: ((_ done: Int, _ total: Int) throws -> Double)?
  /// The mean loss of a batch, a scalar. Logits and labels are those of `TaskType.loss`; labels are int32 classes
  /// or tokens, or float32 scores of the logits' shape.
  public var loss: ((_ logits: Tensor, _ labels: Tensor, _ model: TrainableModel) throws -> Tensor)?
  /// Metrics of an evaluation set by name, without "eval_"; finite. Not asked of a set for which the model writes texts.
  public var metrics: ((Predictions) throws -> [String: Double])?
  /// The same of what the model wrote.
  public var textMetrics: ((WrittenPredictions) throws -> [String: Double])?
  /// Changes scores while the model writes texts.
  public var logitsProcessor: TokenGenerator.Processor?

  public init() {}

  /// The loss of a batch.
  ///
  /// - Parameter divisor: the labels of all batches of an update; each batch's mean counts with its share of them. nil: the
  ///   batch stands alone.
  func loss(_ model: TrainableModel, _ batch: Batch, labelSmoothing: Double, divisor: Double? = nil) throws -> Tensor {
    guard loss == nil else { return try lossAndLogits(model, batch, labelSmoothing: labelSmoothing, divisor: divisor).loss }
    return try model.type.loss(model.network, batch, labelSmoothing: labelSmoothing, divisor: divisor)
  }

  /// The loss of a batch, and the logits that it was computed from.
  func lossAndLogits(
    _ model: TrainableModel, _ batch: Batch, labelSmoothing: Double, divisor: Double? = nil
  ) throws -> (loss: Tensor, logits: Tensor) {
    let network = model.network
    guard let loss else { return try model.type.lossAndLogits(network, batch, labelSmoothing: labelSmoothing, divisor: divisor) }
    network.context.begin()
    let logits = try network.logits(batch, rows: batch.rows)
    let value = try loss(logits, batch.requiredLabels(), model)
    guard let divisor, divisor != Double(batch.labelCount) else { return (value, logits) }
    return (try value.binary(.mul, Double(batch.labelCount) / divisor), logits)
  }
}

extension Trainer {
  /// Calls a script's schedule and loss once, with zeros for logits, so that a check finds their mistakes.
  public func tryFunctions() throws {
    guard totalSteps > 0 else { return }
    _ = try learningRate
    guard let loss = functions.loss, let labels = try nextBatches().first?.requiredLabels() else { return }
    _ = try loss(Tensor.zeros([labels.shape[0], model.network.outputCount()]).requiresGrad(true), labels, model)
  }
}

/// What a model said about an evaluation set, and what it should have said.
public struct Predictions {
  /// The class or score of each example, in the file's order; of a language model the token in each row that counts.
  public let answers: [Answer]
  /// Likewise.
  public let references: [Answer]
  /// [examples, labels]; nil for a language model.
  public let logits: Tensor?

  public init(answers: [Answer], references: [Answer], logits: Tensor?) {
    self.answers = answers
    self.references = references
    self.logits = logits
  }
}
