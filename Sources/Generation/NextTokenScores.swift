import TensorCore
import TransformerModels

/// A row of a step: a text that grows.
public struct GrowingRow: Sendable {
  /// Which row of the step before it goes on with; nil: it begins.
  public let parent: Int?
  /// What it has more than that one: the prompt of a row that begins, and one token of any other.
  public let tokens: [Int32]
  /// How many tokens may follow these.
  public let room: Int

  public init(parent: Int?, tokens: [Int32], room: Int) { (self.parent, self.tokens, self.room) = (parent, tokens, room) }
}

/// What decoding asks of a model. Nobody goes on later with a row that the step after it left out.
public protocol NextTokenScores: AnyObject {
  /// The logits of each row's next token, [rows, V], float32, without gradients. A row of these is the same whatever the others are.
  func scores(_ rows: [GrowingRow]) throws -> Tensor
}

/// Scores of a model that reads all of every text in each step: what a cache saves.
public final class UncachedScores: NextTokenScores {
  private let network: TransformerModel
  private var texts: [[Int32]] = []

  public init(_ network: TransformerModel) { self.network = network }

  public func scores(_ rows: [GrowingRow]) throws -> Tensor {
    texts = rows.map { row in (row.parent.map { texts[$0] } ?? []) + row.tokens }
    let offsets = Offsets(lengths: texts.map(\.count))
    return try network.predict(Batch(ids: texts.flatMap { $0 }, offsets: offsets), rows: .some(offsets.values.dropFirst().map { $0 - 1 }))
  }
}
