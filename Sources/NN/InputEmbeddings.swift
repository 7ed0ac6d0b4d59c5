import TensorCore

/// What a stack of layers reads: `LayerNorm(word + position + type)` of each token, and the adapters that put vectors of their
/// own in front of each sequence's words.
public final class InputEmbeddings: AdapterHost {
  public let words, positions, tokenTypes: Embedding
  public let norm: LayerNorm
  /// Position of a sequence's first row in the table of positions.
  private let firstPosition: Int

  public init(
    _ builder: ParameterBuilder, vocabulary: Int, positions: Int, tokenTypes: Int, _ size: Int, std: Double, eps: Double,
    firstPosition: Int
  ) throws {
    words = try Embedding(builder.scope("word_embeddings"), rows: vocabulary, size, std: std)
    self.positions = try Embedding(builder.scope("position_embeddings"), rows: positions, size, std: std)
    self.tokenTypes = try Embedding(builder.scope("token_type_embeddings"), rows: tokenTypes, size, std: std)
    norm = try LayerNorm(builder.scope("LayerNorm"), size, eps: eps)
    self.firstPosition = firstPosition
  }

  public override var parts: [(name: String, module: Module)] {
    [
      ("word_embeddings", words), ("position_embeddings", positions), ("token_type_embeddings", tokenTypes), ("LayerNorm", norm),
    ]
  }

  private var prompts: [any Prompt] { activeAdapters.compactMap { $0.adapter as? any Prompt } }

  /// Number of rows in front of each sequence's that belong to adapters.
  public var promptLength: Int { prompts.reduce(0) { $0 + $1.length } }

  /// The longest sequence that the table of positions can hold, adapters' rows included.
  public var longestInput: Int { max(0, positions.weight.rows - firstPosition) }

  /// Packed rows of the sequences, each with the prompts in front: [tokens + sequences * promptLength, C].
  ///
  /// - `ids`, `types`: [tokens]; prompts have the type 0.
  /// - `skipping`: positions in front of each sequence that nothing here stands for.
  public func callAsFunction(
    _ ids: [Int32], types: [Int32], _ offsets: Offsets, skipping: Int, _ context: ForwardContext
  ) throws -> Tensor {
    let prompts = prompts
    let rows = offsets.growing(by: prompts.reduce(0) { $0 + $1.length })
    let first = Int32(firstPosition + skipping)
    let places = rows.lengths.flatMap { length in (0..<Int32(length)).map { $0 + first } }
    guard !prompts.isEmpty else {
      return try norm(words.weight.gatherRows(ids, adding: [(positions.weight, places), (tokenTypes.weight, types)]))
    }
    var (sum, offsets, types) = (try words.weight.gatherRows(ids), offsets, types)
    for prompt in prompts.reversed() {
      sum = try sum.prepending(prompt.rows(context), count: prompt.length, offsets)
      types = zip(offsets.values, offsets.values.dropFirst()).flatMap { start, end in
        [Int32](repeating: 0, count: prompt.length) + types[Int(start)..<Int(end)]
      }
      offsets = offsets.growing(by: prompt.length)
    }
    return try norm(sum.add(positions.weight.gatherRows(places, adding: [(tokenTypes.weight, types)])))
  }
}

/// Something attached to the embeddings that puts vectors in front of each sequence's words.
public protocol Prompt: Adapter {
  /// Number of vectors.
  var length: Int { get }

  /// The vectors, [length, C].
  func rows(_ context: ForwardContext) throws -> Tensor
}
