import TensorCore

/// A table of rows. `weight`: [rows, C].
open class Embedding: Module {
  public let weight: Tensor

  public init(_ builder: ParameterBuilder, rows: Int, _ size: Int, std: Double) throws {
    weight = try builder.parameter("weight", [rows, size], .normal(std: std))
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("weight", weight)] }
}

/// The rows of packed sequences that enter a stack of layers, prompts included.
public struct InputRows {
  /// Segment of each row; that of a prompt's rows is 0.
  public let types: [Int32]
  /// Where each sequence lies.
  public let offsets: Offsets
  /// Position of each sequence's first row.
  public let firstPositions: [Int]

  /// Position of each row in its sequence.
  public var positions: [Int32] {
    zip(offsets.lengths, firstPositions).flatMap { length, first in Int32(first)..<Int32(first + length) }
  }
}

/// A table of which each token gets a row, added to that of its word.
public protocol EmbeddingTerm: Embedding {
  /// The row of each token.
  func ids(of rows: InputRows) -> [Int32]
}

/// Learned vectors for positions: those of BERT, RoBERTa and GPT-2.
public final class LearnedPositions: Embedding, EmbeddingTerm {
  /// The table's row of position 0.
  private let first: Int32

  public init(_ builder: ParameterBuilder, rows: Int, first: Int, _ size: Int, std: Double) throws {
    self.first = Int32(first)
    try super.init(builder, rows: rows, size, std: std)
  }

  public func ids(of rows: InputRows) -> [Int32] { rows.positions.map { $0 + first } }
}
