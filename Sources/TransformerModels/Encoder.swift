import Diagnostics
import NN
import TensorCore

/// The body that BERT and RoBERTa share: embeddings and a stack of post-norm layers, over packed sequences.
///
/// Papers: Devlin et al. 2019, arXiv 1810.04805; Liu et al. 2019, arXiv 1907.11692.
public final class Encoder: Module {
  public let config: EncoderConfig
  public let wordEmbeddings: Embedding
  private let positionEmbeddings: Embedding
  private let tokenTypeEmbeddings: Embedding
  private let embeddingNorm: LayerNorm
  private let layers: [EncoderLayer]
  /// `tanh(W x + b)` of the first token; BERT's classification has it, RoBERTa's head brings its own.
  public let pooler: Linear?

  public init(_ builder: ParameterBuilder, _ config: EncoderConfig, hasPooler: Bool) throws {
    self.config = config
    let (size, std) = (config.hiddenSize, config.initializerRange)
    let embeddings = builder.scope("embeddings")
    wordEmbeddings = try Embedding(embeddings.scope("word_embeddings"), rows: config.vocabSize, size, std: std)
    positionEmbeddings = try Embedding(
      embeddings.scope("position_embeddings"), rows: config.maxPositionEmbeddings, size, std: std)
    tokenTypeEmbeddings = try Embedding(
      embeddings.scope("token_type_embeddings"), rows: config.typeVocabSize, size, std: std)
    embeddingNorm = try LayerNorm(embeddings.scope("LayerNorm"), size, eps: config.layerNormEps)
    layers = try (0..<config.numHiddenLayers).map {
      try EncoderLayer(builder.scope("encoder").scope("layer").scope(String($0)), config)
    }
    pooler = hasPooler
      ? try Linear(builder.scope("pooler").scope("dense"), in: size, out: size, std: std) : nil
  }

  private var embeddings: Group {
    Group([
      ("word_embeddings", wordEmbeddings), ("position_embeddings", positionEmbeddings),
      ("token_type_embeddings", tokenTypeEmbeddings), ("LayerNorm", embeddingNorm),
    ])
  }

  public override var children: [(name: String, module: Module)] {
    let stack = Group(layers.enumerated().map { (String($0), $1) })
    let parts: [(name: String, module: Module)] = [("embeddings", embeddings), ("encoder", Group([("layer", stack)]))]
    return parts + (pooler.map { [("pooler", Group([("dense", $0)]))] } ?? [])
  }

  /// The last hidden states, [tokens, C], bfloat16 in bf16 precision. Throws for ids, types or lengths beyond the tables.
  public func callAsFunction(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    try hiddenStates(batch, context, rows: nil, firstTokensOnly: false)
  }

  /// The last hidden states of each sequence's first token, [sequences, C]: what classification heads read.
  public func firstTokens(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    try hiddenStates(batch, context, rows: batch.offsets.starts, firstTokensOnly: true)
  }

  /// The last hidden states of some tokens, [rows, C], at least one and in ascending order. The last layer computes keys and
  /// values for all tokens, and everything else for these alone.
  public func rows(_ rows: [Int32], _ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    try hiddenStates(batch, context, rows: rows, firstTokensOnly: false)
  }

  private func hiddenStates(
    _ batch: Batch, _ context: ForwardContext, rows: [Int32]?, firstTokensOnly: Bool
  ) throws -> Tensor {
    if let longest = batch.offsets.lengths.max(), longest > config.maxLength {
      throw EngineError(
        .data, "a sequence of \(longest) tokens: the model's positions end at \(config.maxLength)",
        hint: "set max_length to \(config.maxLength) or less")
    }
    guard let cache = batch.hiddenStates, var prefix = frozenPrefix(isDropping: context.isTraining && cache.keepsDropout) else {
      batch.hiddenStates?.removeAll()
      return try run(batch, context, from: nil, layers[...], rows: rows)
    }
    let depth = prefix.count - 1
    prefix.firstTokensOnly = firstTokensOnly && depth == layers.count
    let states = try cache.states(batch, of: prefix) { part in
      try context.withoutDropout {
        try run(part, context, from: nil, layers[..<depth], rows: prefix.firstTokensOnly ? part.offsets.starts : nil)
      }
    }
    if prefix.firstTokensOnly { return states }
    return try run(batch, context, from: states, layers[depth...], rows: rows)
  }

  /// The embeddings and the layers above them below which nothing trains, nor drops if `isDropping`; nil: not one layer.
  private func frozenPrefix(isDropping: Bool) -> FrozenPrefix? {
    guard !isDropping || config.hiddenDropoutProb == 0 && config.attentionProbsDropoutProb == 0 else { return nil }
    var prefix = FrozenPrefix()
    guard prefix.append(embeddings, isDropping: isDropping) else { return nil }
    for layer in layers {
      guard prefix.append(layer, isDropping: isDropping) else { break }
    }
    return prefix.count > 1 ? prefix : nil
  }

  /// Some layers, on the embeddings or on the output of those below; `rows`: those of the result, nil for all.
  private func run(
    _ batch: Batch, _ context: ForwardContext, from states: Tensor?, _ layers: ArraySlice<EncoderLayer>, rows: [Int32]?
  ) throws -> Tensor {
    var x = try states ?? embed(batch, context)
    let offsets = batch.offsets
    for (i, layer) in zip(layers.indices, layers) {
      let chosen = i == layers.indices.last ? rows : nil
      x = try context.checkpointed(layer, x) { try layer($0, offsets, context, rows: chosen) }
    }
    if let rows, layers.isEmpty { return try x.gatherRows(rows) }
    return x
  }

  private func embed(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    let first = Int32(config.firstPosition)
    let sum = try wordEmbeddings.weight.gatherRows(
      batch.ids, adding: [
        (positionEmbeddings.weight, batch.positions.map { $0 + first }), (tokenTypeEmbeddings.weight, batch.tokenTypes),
      ])
    let embedded = try embeddingNorm(sum)
    return try (Precision.current == .bf16 ? embedded.to(.bfloat16) : embedded).dropout(context.dropout(config.hiddenDropoutProb))
  }
}

/// Self-attention and feed-forward, each followed by `LayerNorm(residual + dropout(output))`.
package final class EncoderLayer: Module {
  private let config: EncoderConfig
  private let query, key, value: Linear
  private let attentionOutput: Linear
  private let attentionNorm: LayerNorm
  private let intermediate: Linear
  private let output: Linear
  private let outputNorm: LayerNorm

  package init(_ builder: ParameterBuilder, _ config: EncoderConfig) throws {
    self.config = config
    let (size, std, eps) = (config.hiddenSize, config.initializerRange, config.layerNormEps)
    let attention = builder.scope("attention")
    query = try Linear(attention.scope("self").scope("query"), in: size, out: size, std: std)
    key = try Linear(attention.scope("self").scope("key"), in: size, out: size, std: std)
    value = try Linear(attention.scope("self").scope("value"), in: size, out: size, std: std)
    attentionOutput = try Linear(attention.scope("output").scope("dense"), in: size, out: size, std: std)
    attentionNorm = try LayerNorm(attention.scope("output").scope("LayerNorm"), size, eps: eps)
    intermediate = try Linear(
      builder.scope("intermediate").scope("dense"), in: size, out: config.intermediateSize, std: std)
    output = try Linear(builder.scope("output").scope("dense"), in: config.intermediateSize, out: size, std: std)
    outputNorm = try LayerNorm(builder.scope("output").scope("LayerNorm"), size, eps: eps)
  }

  package override var children: [(name: String, module: Module)] {
    [
      ("attention", Group([
        ("self", Group([("query", query), ("key", key), ("value", value)])),
        ("output", Group([("dense", attentionOutput), ("LayerNorm", attentionNorm)])),
      ])),
      ("intermediate", Group([("dense", intermediate)])),
      ("output", Group([("dense", output), ("LayerNorm", outputNorm)])),
    ]
  }

  /// x: [tokens, C]. Result: the same shape, or [rows, C] where only some rows are wanted, in ascending order: then keys and
  /// values are all that the other tokens are needed for.
  package func callAsFunction(
    _ x: Tensor, _ offsets: Offsets, _ context: ForwardContext, rows: [Int32]? = nil
  ) throws -> Tensor {
    let wanted = try rows.map { try x.gatherRows($0) } ?? x
    let attended = try query(wanted, context).attention(
      keys: key(x, context), values: value(x, context), heads: config.numAttentionHeads,
      offsets: rows.map(offsets.counting) ?? offsets, keyOffsets: offsets,
      dropout: context.dropout(config.attentionProbsDropoutProb))
    let y = try attentionNorm(
      attentionOutput(attended, context), residual: wanted, dropout: context.dropout(config.hiddenDropoutProb))
    let hidden = try intermediate(y, context).activation(config.hiddenAct)
    return try outputNorm(output(hidden, context), residual: y, dropout: context.dropout(config.hiddenDropoutProb))
  }
}
