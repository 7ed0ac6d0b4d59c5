import Diagnostics
import NN
import TensorCore

/// The body that BERT and RoBERTa share: embeddings and a stack of post-norm layers, over packed sequences.
///
/// Papers: Devlin et al. 2019, arXiv 1810.04805; Liu et al. 2019, arXiv 1907.11692.
public final class Encoder: Module {
  public let config: EncoderConfig
  private let embeddings: InputEmbeddings
  private let layers: [EncoderLayer]
  /// `tanh(W x + b)` of the first token; BERT's classification has it, RoBERTa's head brings its own.
  public let pooler: Linear?

  public init(_ builder: ParameterBuilder, _ config: EncoderConfig, hasPooler: Bool) throws {
    self.config = config
    let (size, std) = (config.hiddenSize, config.initializerRange)
    embeddings = try InputEmbeddings(
      builder.scope("embeddings"), vocabulary: config.vocabSize, positions: config.maxPositionEmbeddings,
      tokenTypes: config.typeVocabSize, size, std: std, eps: config.layerNormEps, firstPosition: config.firstPosition)
    layers = try (0..<config.numHiddenLayers).map {
      try EncoderLayer(builder.scope("encoder").scope("layer").scope(String($0)), config, index: $0)
    }
    pooler = hasPooler
      ? try Linear(builder.scope("pooler").scope("dense"), in: size, out: size, std: std) : nil
  }

  /// The table of word embeddings.
  public var wordEmbeddings: Embedding { embeddings.words }

  public override var children: [(name: String, module: Module)] {
    let stack = Group(layers.enumerated().map { (String($0), $1) })
    let parts: [(name: String, module: Module)] = [("embeddings", embeddings), ("encoder", Group([("layer", stack)]))]
    return parts + (pooler.map { [("pooler", Group([("dense", $0)]))] } ?? [])
  }

  /// Positions that adapters take in front of a sequence's tokens: keys of prefixes, rows of prompts.
  private var virtualTokens: (prefix: Int, prompt: Int) { (layers.first?.prefixLength ?? 0, embeddings.promptLength) }

  /// The longest sequence that the position table can hold, beside what adapters put in front of it.
  public var maxLength: Int { config.maxLength - virtualTokens.prefix - virtualTokens.prompt }

  /// The last hidden states of all or some tokens, [rows, C], bfloat16 in bf16 precision. Of some, the last layer computes keys
  /// and values for all tokens, and everything else for these alone. Throws for ids, types or lengths beyond the tables.
  public func callAsFunction(_ batch: Batch, _ rows: RowChoice, _ context: ForwardContext) throws -> Tensor {
    let chosen: [Int32]? = if case .some(let rows) = rows { rows } else { nil }
    return try hiddenStates(batch, context, rows: chosen, firstTokensOnly: false)
  }

  /// The last hidden states of each sequence's first row, [sequences, C]: what classification heads read. Prompts come before
  /// the first token.
  public func firstTokens(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    try hiddenStates(batch, context, rows: nil, firstTokensOnly: true)
  }

  /// Where tokens lie once each sequence has its prompts in front; nil stands for all of them.
  private func afterPrompts(_ rows: [Int32]?, _ offsets: Offsets) -> [Int32]? {
    let count = embeddings.promptLength
    guard count > 0 else { return rows }
    var (result, sequence) = ([Int32](), 0)
    for row in rows ?? (0..<Int32(offsets.total)).map({ $0 }) {
      while sequence < offsets.count - 1, row >= offsets.values[sequence + 1] { sequence += 1 }
      result.append(row + Int32((sequence + 1) * count))
    }
    return result
  }

  private func hiddenStates(
    _ batch: Batch, _ context: ForwardContext, rows: [Int32]?, firstTokensOnly: Bool
  ) throws -> Tensor {
    try checkLengths(batch)
    let prompt = embeddings.promptLength
    let rows = firstTokensOnly ? batch.offsets.growing(by: prompt).starts : afterPrompts(rows, batch.offsets)
    guard let cache = batch.hiddenStates, var prefix = frozenPrefix(isDropping: context.isTraining && cache.keepsDropout) else {
      batch.hiddenStates?.removeAll()
      return try run(batch, context, from: nil, layers[...], rows: rows)
    }
    let depth = prefix.count - 1
    prefix.firstTokensOnly = firstTokensOnly && depth == layers.count
    prefix.promptLength = prompt
    let states = try cache.states(batch, of: prefix) { part in
      try context.withoutDropout {
        let firsts = prefix.firstTokensOnly ? part.offsets.growing(by: prompt).starts : nil
        return try run(part, context, from: nil, layers[..<depth], rows: firsts)
      }
    }
    if prefix.firstTokensOnly { return states }
    return try run(batch, context, from: states, layers[depth...], rows: rows)
  }

  private func checkLengths(_ batch: Batch) throws {
    guard let longest = batch.offsets.lengths.max(), longest > maxLength else { return }
    let virtual = config.maxLength - maxLength
    throw EngineError(
      .data,
      "a sequence of \(longest) tokens: the model's positions end at \(config.maxLength)"
        + (virtual > 0 ? ", and adapters take \(virtual) of them" : ""),
      hint: maxLength > 0 ? "set max_length to \(maxLength) or less" : "use fewer virtual tokens")
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
    let offsets = batch.offsets.growing(by: embeddings.promptLength)
    for (i, layer) in zip(layers.indices, layers) {
      let chosen = i == layers.indices.last ? rows : nil
      x = try context.checkpointed(layer, x) { try layer($0, offsets, context, rows: chosen) }
    }
    if let rows, layers.isEmpty { return try x.gatherRows(rows) }
    return x
  }

  private func embed(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    let embedded = try embeddings(
      batch.ids, types: batch.tokenTypes, batch.offsets, skipping: virtualTokens.prefix, context)
    return try (Precision.current == .bf16 ? embedded.to(.bfloat16) : embedded).dropout(context.dropout(config.hiddenDropoutProb))
  }
}

/// Self-attention and feed-forward, each followed by `LayerNorm(residual + dropout(output))`.
package final class EncoderLayer: Module {
  private let config: EncoderConfig
  private let attention: SelfAttention
  private let attentionOutput: SublayerOutput
  private let intermediate: Linear
  private let output: SublayerOutput

  package init(_ builder: ParameterBuilder, _ config: EncoderConfig, index: Int = 0) throws {
    self.config = config
    let (size, std, eps) = (config.hiddenSize, config.initializerRange, config.layerNormEps)
    let scope = builder.scope("attention")
    attention = try SelfAttention(
      scope.scope("self"), size, heads: config.numAttentionHeads, std: std, dropout: config.attentionProbsDropoutProb,
      layer: (index, config.numHiddenLayers))
    attentionOutput = try SublayerOutput(scope.scope("output"), in: size, out: size, std: std, eps: eps, isAttention: true)
    intermediate = try Linear(
      builder.scope("intermediate").scope("dense"), in: size, out: config.intermediateSize, std: std)
    output = try SublayerOutput(
      builder.scope("output"), in: config.intermediateSize, out: size, std: std, eps: eps, isAttention: false)
  }

  package override var children: [(name: String, module: Module)] {
    [
      ("attention", Group([("self", attention), ("output", attentionOutput)])),
      ("intermediate", Group([("dense", intermediate)])),
      ("output", output),
    ]
  }

  /// Number of keys in front of each sequence that belong to adapters.
  var prefixLength: Int { attention.prefixLength }

  /// x: [tokens, C]. Result: the same shape, or [rows, C] where only some rows are wanted, in ascending order: then keys and
  /// values are all that the other tokens are needed for.
  package func callAsFunction(
    _ x: Tensor, _ offsets: Offsets, _ context: ForwardContext, rows: [Int32]? = nil
  ) throws -> Tensor {
    let wanted = try rows.map { try x.gatherRows($0) } ?? x
    let attended = try attention(wanted, rows.map(offsets.counting) ?? offsets, over: x, offsets, context)
    let y = try attentionOutput(attended, residual: wanted, dropout: config.hiddenDropoutProb, context)
    let hidden = try intermediate(y, context).activation(config.hiddenAct)
    return try output(hidden, residual: y, dropout: config.hiddenDropoutProb, context)
  }
}
