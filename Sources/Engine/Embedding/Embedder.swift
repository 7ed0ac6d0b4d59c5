import Datasets
import Diagnostics
import Tasks
import TensorCore
import Training
import TransformerModels

/// How the states of a text's tokens become one vector: sentence-transformers' names.
package enum Pooling: String, FieldChoice {
  /// The mean over all tokens, those that the tokenizer adds included.
  case mean
  /// The first token's.
  case cls
  /// The last token's: that of a decoder has seen the whole text.
  case lasttoken
}

/// How a model turns texts into vectors.
package struct EmbeddingOptions: Record {
  package var pooling: Pooling?
  package var normalize: Bool?
  package var layer = -1
  package var maxLength: Int?

  package init() {}

  package static let recordName = "embed options"
  package static let typeName = "EmbeddingOptions"
  package static let fields: [Field<Self>] = [
    .value(
      "pooling", \.pooling,
      "the mean over a text's tokens, the first token's state or the last token's; default: what the model's folder says where it is one of sentence-transformers', else mean"
    ),
    .value("normalize", \.normalize, "divide each vector by its length; default: what the folder says, else false"),
    Self.layerField(\.layer), Self.maxLengthField(\.maxLength),
  ]

  package static let foreignNames: [String: ForeignName] = [
    "pooling_mode": .isCalled("pooling"), "normalize_embeddings": .isCalled("normalize"), "max_seq_length": .isCalled("max_length"),
    "output_hidden_states": .isLeftOut("leave it out: model:hidden_states gives the states of all tokens"),
  ]

  /// The field that says which layer's states are meant.
  package static func layerField<Owner: Record>(_ path: WritableKeyPath<Owner, Int> & Sendable) -> Field<Owner> {
    .int(
      "layer", path,
      "which layer's states: 0: the embeddings, 1: the first layer's, ...; negative ones count from the end, as in Transformers' hidden_states",
      in: -1_000...1_000)
  }

  /// The field that says how long a text can be.
  package static func maxLengthField<Owner: Record>(_ path: WritableKeyPath<Owner, Int?> & Sendable) -> Field<Owner> {
    .int(
      "max_length", path, "tokens of one text, longer ones are cut; default: what the folder says, else what the model takes", in: 1...1_000_000)
  }
}

/// Turns texts into vectors, or into the states of their tokens: for scripts, commands and servers.
package struct Embedder {
  /// What became of some texts.
  package struct Result {
    /// A row for each text, float32: [texts, C].
    package let vectors: Tensor
    /// Tokens of each text, those that the tokenizer adds included.
    package let tokens: [Int]
    /// Texts that were longer than the limit, and were cut.
    package let truncated: Int

    /// The vector of a text.
    package func vector(_ index: Int) -> [Float] { Array(vectors.floats[index * vectors.columns..<(index + 1) * vectors.columns]) }
  }

  private let model: TrainableModel
  private let pooling: Pooling
  private let isNormalized: Bool
  /// Layers that are computed.
  private let depth: Int
  private let maxLength: Int

  /// Texts, and their tokens, that go through the model at once.
  private static let (batchSize, batchTokens) = (32, 8_192)

  /// In a model with an encoder, its states are taken.
  ///
  /// - Throws: `EngineError` (`.argument`) for a layer that the model has not, and (`.data`) for a folder of sentence-transformers that does
  ///   more to a text than is done here, unless the options say the pooling.
  package init(_ model: TrainableModel, _ options: EmbeddingOptions = EmbeddingOptions()) throws {
    let folder = options.pooling == nil ? try model.base.folder.flatMap { try SentenceTransformersFolder($0) } : nil
    let layers = model.network.layerCount
    guard (-layers - 1...layers).contains(options.layer) else {
      throw EngineError(.argument, "embed: layer \(options.layer), but the model has \(layers), and the embeddings as layer 0")
    }
    self.model = model
    pooling = options.pooling ?? folder?.pooling ?? .mean
    isNormalized = options.normalize ?? folder?.isNormalized ?? false
    depth = options.layer < 0 ? layers + 1 + options.layer : options.layer
    maxLength = min(options.maxLength ?? folder?.maxLength ?? .max, model.network.maxInputLength)
  }

  /// A vector for each text. Nothing is dropped, and no gradient is recorded.
  ///
  /// - Throws: `EngineError` for a text without a token.
  package func embeddings(of texts: [String]) throws -> Result {
    let data = try encoded(texts)
    let parts = try batches(data).map { indices -> Tensor in
      let batch = try data.batch(indices)
      let ends = batch.offsets.values.dropFirst().map { $0 - 1 }
      let rows: RowChoice =
        switch pooling {
        case .mean: .all
        case .cls: .some(batch.offsets.starts)
        case .lasttoken: .some(ends)
        }
      let states = try model.network.hiddenStates(batch, depth: depth, rows: rows)
      guard pooling == .mean else { return states }
      return try Autograd.noGrad { try Tensor.stack(states.split(sizes: batch.offsets.lengths).map { try $0.mean([0]) }) }
    }
    let size = model.network.layout.layer.size
    var vectors = try parts.isEmpty ? Tensor.zeros([0, size]) : Autograd.noGrad { try Tensor.cat(parts) }
    if isNormalized, !texts.isEmpty {
      // As torch's `normalize`: a vector of zeros stays one.
      vectors = try Autograd.noGrad { try vectors.div(vectors.norm(2, [1], keepdim: true).clamp(1e-12)) }
    }
    return Result(vectors: vectors, tokens: data.lengths, truncated: data.truncatedCount)
  }

  /// The states of each text's tokens, float32: [tokens, C].
  ///
  /// - Throws: `EngineError` for a text without a token.
  package func hiddenStates(of texts: [String]) throws -> [Tensor] {
    let data = try encoded(texts)
    return try batches(data).flatMap { indices in
      let batch = try data.batch(indices)
      let states = try model.network.hiddenStates(batch, depth: depth)
      return try Autograd.noGrad { try states.split(sizes: batch.offsets.lengths) }
    }
  }

  private func encoded(_ texts: [String]) throws -> EncodedDataset {
    let examples = texts.enumerated().map { Example([$1], line: $0 + 1) }
    // Types of tasks that give a text a score take its tokens as the tokenizer makes them.
    let data = try EncodedDataset(examples, source: "embed", for: Regression(), tokenizer: model.tokenizer, maxLength: maxLength)
    if let empty = data.lengths.firstIndex(of: 0) {
      throw EngineError(.data, "embed: text \(empty + 1) has no tokens, of which a vector could be made", hint: "leave empty texts out")
    }
    return data
  }

  private func batches(_ data: EncodedDataset) -> [[Int]] {
    var batches: [[Int]] = []
    var tokens = 0
    for (index, length) in data.lengths.enumerated() {
      if let last = batches.last, last.count < Self.batchSize, tokens + length <= Self.batchTokens {
        batches[batches.count - 1].append(index)
        tokens += length
      } else {
        batches.append([index])
        tokens = length
      }
    }
    return batches
  }
}
