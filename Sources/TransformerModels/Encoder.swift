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

  public override var children: [(name: String, module: Module)] {
    let embeddings = Group([
      ("word_embeddings", wordEmbeddings), ("position_embeddings", positionEmbeddings),
      ("token_type_embeddings", tokenTypeEmbeddings), ("LayerNorm", embeddingNorm),
    ])
    let stack = Group(layers.enumerated().map { (String($0), $1) })
    let parts: [(name: String, module: Module)] = [("embeddings", embeddings), ("encoder", Group([("layer", stack)]))]
    return parts + (pooler.map { [("pooler", Group([("dense", $0)]))] } ?? [])
  }

  /// The last hidden states, [tokens, C], bfloat16 in bf16 precision. Throws for ids, types or lengths beyond the tables.
  public func callAsFunction(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    if let longest = batch.offsets.lengths.max(), longest > config.maxLength {
      throw EngineError(
        .data, "a sequence of \(longest) tokens: the model's positions end at \(config.maxLength)",
        hint: "set max_length to \(config.maxLength) or less")
    }
    let first = Int32(config.firstPosition)
    let sum = try wordEmbeddings.weight.gatherRows(
      batch.ids, adding: [
        (positionEmbeddings.weight, batch.positions.map { $0 + first }), (tokenTypeEmbeddings.weight, batch.tokenTypes),
      ])
    let embedded = try embeddingNorm(sum)
    var x = try (Precision.current == .bf16 ? embedded.to(.bfloat16) : embedded).dropout(context.dropout(config.hiddenDropoutProb))
    let offsets = batch.offsets
    for layer in layers { x = try context.checkpointed(layer, x) { try layer($0, offsets, context) } }
    return x
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

  /// x: [tokens, C]. Result: the same shape.
  package func callAsFunction(_ x: Tensor, _ offsets: Offsets, _ context: ForwardContext) throws -> Tensor {
    let attended = try query(x, context).attention(
      keys: key(x, context), values: value(x, context), heads: config.numAttentionHeads, offsets: offsets,
      dropout: context.dropout(config.attentionProbsDropoutProb))
    let y = try attentionNorm(
      attentionOutput(attended, context), residual: x, dropout: context.dropout(config.hiddenDropoutProb))
    let hidden = try intermediate(y, context).activation(config.hiddenAct)
    return try outputNorm(output(hidden, context), residual: y, dropout: context.dropout(config.hiddenDropoutProb))
  }
}
