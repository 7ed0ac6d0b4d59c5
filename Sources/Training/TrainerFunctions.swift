import Diagnostics
import TensorCore
import TransformerModels

/// What a script computes in the trainer's place. A resumed run ends with the same bits if each depends on its arguments
/// alone. What they return is checked by whoever sets them.
public struct TrainerFunctions {
  /// The schedule's multiplier, finite and at least 0: `done` updates of `total` are done, at least 0 and below `total`.
  public var schedule: ((_ done: Int, _ total: Int) throws -> Double)?
  /// The mean loss of a batch, a scalar. Logits and labels are those of `TransformerModel.loss`; labels are int32 classes
  /// or tokens, or float32 scores of the logits' shape.
  public var loss: ((_ logits: Tensor, _ labels: Tensor, _ model: TrainableModel) throws -> Tensor)?
  /// Metrics of an evaluation set by name, without "eval_"; finite.
  public var metrics: ((Predictions) throws -> [String: Double])?

  public init() {}

  /// The loss of a batch, and the logits that it was computed from.
  ///
  /// - Parameter divisor: the labels of all batches of an update; each batch's mean counts with its share of them. nil: the
  ///   batch stands alone.
  func loss(
    _ model: TrainableModel, _ batch: Batch, labelSmoothing: Double = 0, divisor: Double? = nil
  ) throws -> (loss: Tensor, logits: Tensor) {
    let network = model.network
    guard let loss else { return try network.loss(batch, labelSmoothing: labelSmoothing, divisor: divisor) }
    network.context.begin()
    let logits = try network.scored(batch)
    let value = try loss(logits, batch.labelTensor(), model)
    guard let divisor, divisor != Double(batch.labelCount) else { return (value, logits) }
    return (try value.binary(.mul, Double(batch.labelCount) / divisor), logits)
  }
}

extension Trainer {
  /// Calls a script's schedule and loss once, with zeros for logits, so that a check finds their mistakes.
  public func tryFunctions() throws {
    guard totalSteps > 0 else { return }
    _ = try learningRate
    guard let loss = functions.loss, let labels = try nextBatches().first?.labelTensor() else { return }
    let columns = task.modelTask == .maskedLM ? try model.network.config.int("vocab_size") : model.network.numLabels
    _ = try loss(Tensor.zeros([labels.shape[0], columns]).requiresGrad(true), labels, model)
  }
}

/// What a model said about an evaluation set, and what it should have said.
public struct Predictions {
  /// The class, from 0, or the score of each example; for masked language modelling the token in each masked place.
  public let values: [Double]
  /// Likewise.
  public let labels: [Double]
  /// Whether values and labels are classes or tokens rather than scores.
  public let areClasses: Bool
  /// [examples, labels]; nil for masked language modelling.
  public let logits: Tensor?

  public init(values: [Double], labels: [Double], areClasses: Bool, logits: Tensor?) {
    self.values = values
    self.labels = labels
    self.areClasses = areClasses
    self.logits = logits
  }
}

extension Batch {
  /// The labels that count in the loss: int32 classes [sequences] or tokens [masked], or float32 scores [sequences, 1].
  public func labelTensor() throws -> Tensor {
    switch labels {
    case .classes(let classes): return try Tensor(classes, [classes.count])
    case .scores(let scores): return try Tensor(scores, [scores.count, 1])
    case .tokens(let tokens):
      let counted = tokens.filter { $0 != ignoredLabel }
      return try Tensor(counted, [counted.count])
    case .none: throw EngineError(.argument, "the batch has no labels")
    }
  }
}
