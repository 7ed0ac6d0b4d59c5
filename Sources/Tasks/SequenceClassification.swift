import Datasets
import TensorCore
import TransformerModels

/// One of several classes for each text, or pair of texts. The loss is cross-entropy.
///
/// logits: [sequences, labels]; labels: int32 [sequences], places in the model's head.
public struct SequenceClassification: SequenceTaskType {
  public static let name = "single_label_classification"
  public static let labelKind = LabelKind.classes
  public static let labelCounts = 2...1_000_000
  public let labels: [String]
  /// For each label, the place of its score among the head's outputs; nil: the same order.
  private var outputs: [Int]?

  public init(labels: [String]) { self.labels = labels }

  public static func misfit(labels count: Int) -> String { "has one class alone" }

  public var summary: String { "\(labels.count) classes (\(labelList(labels)))" }

  public func match(_ model: any TaskType) -> LabelMatch? {
    guard let model = model as? Self, model.labels.count == labels.count else { return nil }
    return LabelMatch(task: labels, model: model.labels)
  }

  public func reading(outputs: [Int]) -> Self {
    var type = self
    type.outputs = outputs
    return type
  }

  public func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws {
    let classes = try batch.examples.map(data.label)
    batch.labels = try Tensor(classes.map { Int32(outputs?[$0] ?? $0) }, [classes.count])
  }

  public func loss(_ logits: Tensor, _ labels: Tensor, labelSmoothing: Double, divisor: Double?) throws -> Tensor {
    try logits.crossEntropy(Array(labels.int32s), labelSmoothing: labelSmoothing, divisor: divisor)
  }

  public func answers(_ logits: Tensor) -> [Answer] {
    logits.largestColumns.map { column in .label(outputs?.firstIndex(of: column) ?? column) }
  }

  public func references(_ batch: Batch, of data: EncodedDataset) throws -> [Answer] {
    try batch.examples.map { .label(try data.label($0)) }
  }

  public func aligned(_ logits: Tensor) throws -> Tensor {
    guard let outputs else { return logits }
    let (values, width) = (logits.floats, logits.columns)
    return try Tensor((0..<logits.rows).flatMap { row in outputs.map { values[row * width + $0] } }, logits.shape)
  }
}
