import Datasets
import TensorCore
import TransformerModels

/// A number for each text, or pair of texts. The loss is the mean squared error.
///
/// logits: [sequences, 1]; labels: float32 [sequences, 1].
public struct Regression: SequenceTaskType {
  public static let name = "regression"
  public static let labelKind = LabelKind.scores
  public static let labelCounts = 1...1
  public let labels: [String]

  public init(labels: [String] = ["score"]) { self.labels = labels }

  public static func misfit(labels count: Int) -> String { "gives \(count) scores to one text" }

  public var summary: String { "a score" }

  public func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws {
    batch.labels = try Tensor(batch.examples.map { Float(try data.score($0)) }, [batch.examples.count, 1])
  }

  public func loss(_ logits: Tensor, _ labels: Tensor, labelSmoothing: Double, divisor: Double?) throws -> Tensor {
    try logits.mseLoss(labels, divisor: divisor)
  }

  public func answers(_ logits: Tensor) -> [Answer] { (0..<logits.rows).map { .score(logits.element($0)) } }

  public func references(_ batch: Batch, of data: EncodedDataset) throws -> [Answer] {
    try batch.examples.map { .score(try data.score($0)) }
  }
}
