import TensorCore

/// What the embeddings of a stack are made of.
public struct EmbeddingLayout: Sendable {
  /// A table beside that of the words.
  public struct Term: Sendable {
    let name: String
    let make: @Sendable (ParameterBuilder, _ size: Int, _ std: Double) throws -> any EmbeddingTerm

    /// `name`: the table's, in the embeddings.
    public init(_ name: String, _ make: @escaping @Sendable (ParameterBuilder, _ size: Int, _ std: Double) throws -> any EmbeddingTerm) {
      (self.name, self.make) = (name, make)
    }

    /// Learned positions, `first`: the table's row of position 0.
    public static func positions(_ name: String, rows: Int, first: Int = 0) -> Term {
      Term(name) { try LearnedPositions($0, rows: rows, first: first, $1, std: $2) }
    }
  }

  /// Path of the embeddings below the stack's prefix; the names are those in it.
  public var path: String
  public var words: String
  public var vocabulary: Int
  public var terms: [Term]
  /// The norm of the sum.
  public var norm: (name: String, kind: NormKind)?
  /// The longest sequence that the model has positions for.
  public var longestInput: Int
  /// What the words' rows are multiplied by.
  public var scale: Double
  /// Standard deviation of new tables; nil: the layers'.
  public var std: Double?

  public init(
    path: String, words: String, vocabulary: Int, terms: [Term] = [], norm: (name: String, kind: NormKind)? = nil, longestInput: Int,
    scale: Double = 1, std: Double? = nil
  ) {
    (self.path, self.words, self.vocabulary, self.terms) = (path, words, vocabulary, terms)
    (self.norm, self.longestInput, self.scale, self.std) = (norm, longestInput, scale, std)
  }
}

/// What a stack of layers reads: the sum of each token's rows of some tables, normalised where the family does so, and the
/// adapters that put vectors of their own in front of each sequence's words.
public final class InputEmbeddings: AdapterHost {
  public let words: Embedding
  /// The longest sequence that there are positions for, adapters' rows included.
  public let longestInput: Int
  private let terms: [(name: String, table: any EmbeddingTerm)]
  private let norm: (any Norm)?
  private let layout: EmbeddingLayout
  /// Whether the words belong to another module, which they are part of in the state dict.
  private let sharesWords: Bool

  /// `words`: a table that several stacks share; nil: one of its own.
  public init(_ builder: ParameterBuilder, _ layout: EmbeddingLayout, _ size: Int, std: Double, words shared: Embedding? = nil) throws {
    let std = layout.std ?? std
    words = try shared ?? Embedding(builder.scope(layout.words), rows: layout.vocabulary, size, std: std)
    sharesWords = shared != nil
    terms = try layout.terms.map { ($0.name, try $0.make(builder.scope($0.name), size, std)) }
    norm = try layout.norm.map { try $0.kind.make(builder.scope($0.name), size) }
    longestInput = layout.longestInput
    self.layout = layout
  }

  /// What Transformers calls the table below this module, where that belongs to another one here; nil: it is the embeddings' own.
  public var nameOfSharedWords: String? { sharesWords ? layout.words : nil }

  public override var parts: [(name: String, module: Module)] {
    (sharesWords ? [] : [(layout.words, words)]) + terms.map { ($0.name, $0.table) } + (norm.map { [(layout.norm?.name ?? "", $0)] } ?? [])
  }

  private var prompts: [any Prompt] { activeAdapters.compactMap { $0.adapter as? any Prompt } }

  /// Number of rows in front of each sequence's that belong to adapters.
  public var promptLength: Int { prompts.reduce(0) { $0 + $1.length } }

  /// Packed rows of the sequences, each with the prompts in front: [tokens + sequences * promptLength, C].
  ///
  /// - `ids`, `types`: [tokens]; prompts have the type 0.
  /// - `positions`: those of the sequences' first rows.
  /// - `hasPrompts`: whether the sequences begin here.
  public func callAsFunction(
    _ ids: [Int32], types: [Int32], _ offsets: Offsets, positions: [Int], hasPrompts: Bool = true, _ context: ForwardContext
  ) throws -> Tensor {
    let prompts = hasPrompts ? prompts : []
    guard !prompts.isEmpty || layout.scale != 1 else {
      return try normalized(words.weight.gatherRows(ids, adding: tables(InputRows(types: types, offsets: offsets, firstPositions: positions))))
    }
    var (sum, offsets, types) = (try words.weight.gatherRows(ids), offsets, types)
    if layout.scale != 1 { sum = try sum.mul(layout.scale) }
    for prompt in prompts.reversed() {
      sum = try sum.prepending(prompt.rows(context), count: prompt.length, offsets)
      types = zip(offsets.values, offsets.values.dropFirst()).flatMap { start, end in
        [Int32](repeating: 0, count: prompt.length) + types[Int(start)..<Int(end)]
      }
      offsets = offsets.growing(by: prompt.length)
    }
    let others = tables(InputRows(types: types, offsets: offsets, firstPositions: positions))
    guard let first = others.first else { return try normalized(sum) }
    return try normalized(sum.add(first.table.gatherRows(first.ids, adding: Array(others.dropFirst()))))
  }

  private func tables(_ rows: InputRows) -> [(table: Tensor, ids: [Int32])] { terms.map { ($0.table.weight, $0.table.ids(of: rows)) } }

  private func normalized(_ sum: Tensor) throws -> Tensor { try norm.map { try $0(sum) } ?? sum }
}

/// Something attached to the embeddings that puts vectors in front of each sequence's words.
public protocol Prompt: Adapter {
  /// Number of vectors.
  var length: Int { get }

  /// The vectors, [length, C].
  func rows(_ context: ForwardContext) throws -> Tensor
}
