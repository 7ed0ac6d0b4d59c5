import Diagnostics
import NN
import TensorCore

/// What a stack of layers is made of.
public struct StackLayout: Sendable {
  /// What the names of its parameters begin with: "bert".
  public var prefix: String
  public var embeddings: EmbeddingLayout
  /// Dropout of the embeddings.
  public var dropout: Double
  /// Path of the layers below the prefix, and their number.
  public var layers: (path: String, count: Int)
  public var layer: LayerLayout
  /// The norm above the last layer, where norms come before the sub-layers.
  public var lastNorm: String?
  /// Dropout of the result.
  public var lastDropout: Double

  public init(
    prefix: String, embeddings: EmbeddingLayout, dropout: Double, layers: (path: String, count: Int), layer: LayerLayout,
    lastNorm: String? = nil, lastDropout: Double = 0
  ) {
    (self.prefix, self.embeddings, self.dropout, self.layers) = (prefix, embeddings, dropout, layers)
    (self.layer, self.lastNorm, self.lastDropout) = (layer, lastNorm, lastDropout)
  }
}

/// What a model has in front of a decoder.
public struct EncoderLayout: Sendable {
  public var stack: StackLayout
  /// Path of the table of word embeddings, which both stacks share.
  public var words: String
  /// The token that a decoder's tokens begin with.
  public var startToken: Int32

  public init(_ stack: StackLayout, words: String, startToken: Int32) {
    (self.stack, self.words, self.startToken) = (stack, words, startToken)
  }
}

/// A model's body, or its encoder: embeddings and a stack of layers, over packed sequences.
public final class Stack {
  public let layout: StackLayout
  private let embeddings: InputEmbeddings
  private let layers: [TransformerLayer]
  private let lastNorm: (any Norm)?

  /// `words`: the word embeddings where several stacks share them.
  public init(_ builder: ParameterBuilder, _ layout: StackLayout, words: Embedding? = nil) throws {
    self.layout = layout
    let body = builder.scope(layout.prefix)
    embeddings = try InputEmbeddings(
      body.scope(layout.embeddings.path), layout.embeddings, layout.layer.size, std: layout.layer.std, words: words)
    layers = try (0..<layout.layers.count).map {
      try TransformerLayer(body.scope(layout.layers.path).scope(String($0)), layout.layer, index: $0, of: layout.layers.count)
    }
    lastNorm = try layout.lastNorm.map { try layout.layer.norm.make(body.scope($0), layout.layer.size) }
  }

  /// The table of word embeddings.
  public var words: Embedding { embeddings.words }

  /// The modules with their paths in the model.
  var parts: [(path: String, module: Module)] {
    func path(_ name: String) -> String { name.isEmpty ? layout.prefix : layout.prefix + "." + name }
    return [(path(layout.embeddings.path), embeddings)]
      + layers.enumerated().map { (path("\(layout.layers.path).\($0)"), $1) }
      + (lastNorm.map { [(path(layout.lastNorm ?? ""), $0)] } ?? [])
  }

  /// Positions that adapters take in front of a sequence's tokens: keys of prefixes, rows of prompts.
  public var virtualTokens: (prefix: Int, prompt: Int) { (layers.first?.prefixLength ?? 0, embeddings.promptLength) }

  /// The longest sequence that there are positions for, beside what adapters put in front of it.
  public var maxLength: Int { layout.embeddings.longestInput - virtualTokens.prefix - virtualTokens.prompt }

  /// The last hidden states of what a head reads, [rows, C], bfloat16 in bf16 precision. Of some tokens, the last layer computes
  /// keys and values for all, and everything else for these alone. Throws for ids, types or lengths beyond the tables.
  ///
  /// `encoder`: what cross-attention reads, for each of the batch's sequences.
  public func callAsFunction(
    _ batch: Batch, _ input: HeadInput, rows: RowChoice, over encoder: EncoderStates? = nil, _ context: ForwardContext
  ) throws -> Tensor {
    try checkLengths(batch)
    let prompt = promptLength(of: batch)
    let rows = wanted(input, rows, batch.offsets, prompt)
    guard let cache = batch.hiddenStates, var prefix = frozenPrefix(isDropping: context.isTraining && cache.keepsDropout) else {
      batch.hiddenStates?.removeAll()
      return try finished(run(batch, over: encoder, context, from: nil, layers[...], rows: rows), context)
    }
    let depth = prefix.count - 1
    prefix.oneRowEach = input.isOneRowEach && depth == layers.count
    prefix.promptLength = prompt
    let states = try cache.states(batch, of: prefix) { part in
      try context.withoutDropout {
        try run(part, over: nil, context, from: nil, layers[..<depth], rows: prefix.oneRowEach ? wanted(input, .all, part.offsets, prompt) : nil)
      }
    }
    if prefix.oneRowEach { return try finished(states, context) }
    return try finished(run(batch, over: nil, context, from: states, layers[depth...], rows: rows), context)
  }

  /// The states of some tokens after the first `depth` layers, [rows, C], bfloat16 in bf16 precision: 0 gives the embeddings, all layers
  /// give the last hidden states. Throws what `callAsFunction` does.
  func states(_ batch: Batch, depth: Int, rows: RowChoice, _ context: ForwardContext) throws -> Tensor {
    try checkLengths(batch)
    let wanted = wanted(.tokens, rows, batch.offsets, promptLength(of: batch))
    let states = try run(batch, over: nil, context, from: nil, layers[..<depth], rows: wanted)
    return depth == layers.count ? try finished(states, context) : states
  }

  /// What an encoder's batch is for the decoder's sequences, one for each.
  public func encode(_ batch: Batch, _ context: ForwardContext) throws -> EncoderStates {
    let states = try self(batch, .everything, rows: .all, context)
    return EncoderStates(states, KeyRanges(batch.offsets.growing(by: embeddings.promptLength)))
  }

  private func finished(_ states: Tensor, _ context: ForwardContext) throws -> Tensor {
    let result = try lastNorm.map { try $0(states) } ?? states
    return layout.lastDropout == 0 ? result : try result.dropout(context.dropout(layout.lastDropout))
  }

  /// Rows of the result among those of the sequences with their prompts; nil stands for all of them.
  private func wanted(_ input: HeadInput, _ rows: RowChoice, _ offsets: Offsets, _ count: Int) -> [Int32]? {
    let grown = offsets.growing(by: count)
    switch (input, rows) {
    case (.everything, _): return nil
    case (.firstTokens, _): return grown.starts
    case (.lastTokens, _): return grown.values.dropFirst().map { $0 - 1 }
    case (.tokens, .all): return count == 0 ? nil : afterPrompts((0..<Int32(offsets.total)).map { $0 }, offsets, count)
    case (.tokens, .some(let rows)): return afterPrompts(rows, offsets, count)
    }
  }

  /// Where tokens lie once each sequence has its prompts in front.
  private func afterPrompts(_ rows: [Int32], _ offsets: Offsets, _ count: Int) -> [Int32] {
    guard count > 0 else { return rows }
    var sequence = 0
    return rows.map { row in
      while sequence < offsets.count - 1, row >= offsets.values[sequence + 1] { sequence += 1 }
      return row + Int32((sequence + 1) * count)
    }
  }

  /// Rows that adapters put in front of each of a batch's sequences: none where these go on from a cache.
  private func promptLength(of batch: Batch) -> Int { batch.cache?.begins == false ? 0 : embeddings.promptLength }

  /// Position of the first row of each of a batch's sequences.
  private func firstPositions(of batch: Batch) -> [Int] {
    batch.cache?.past ?? [Int](repeating: virtualTokens.prefix, count: batch.offsets.count)
  }

  private func checkLengths(_ batch: Batch) throws {
    let virtual = batch.cache?.begins == false ? virtualTokens.prefix + virtualTokens.prompt : virtualTokens.prefix
    let lengths = zip(batch.offsets.lengths, firstPositions(of: batch)).map { $0 + $1 - virtual }
    guard let longest = lengths.max(), longest > maxLength else { return }
    let taken = layout.embeddings.longestInput - maxLength
    throw EngineError(
      .data,
      "a sequence of \(longest) tokens: the model's positions end at \(layout.embeddings.longestInput)"
        + (taken > 0 ? ", and adapters take \(taken) of them" : ""),
      hint: maxLength > 0 ? "set max_length to \(maxLength) or less" : "use fewer virtual tokens")
  }

  /// The embeddings and the layers above them below which nothing trains, nor drops if `isDropping`; nil: not one layer.
  private func frozenPrefix(isDropping: Bool) -> FrozenPrefix? {
    guard !isDropping || layout.dropout == 0 && layout.layer.dropsNothing else { return nil }
    var prefix = FrozenPrefix()
    guard prefix.append(embeddings, isDropping: isDropping) else { return nil }
    for layer in layers {
      guard prefix.append(layer, isDropping: isDropping) else { break }
    }
    return prefix.count > 1 ? prefix : nil
  }

  /// Some layers, on the embeddings or on the output of those below; `rows`: those of the result, nil for all.
  private func run(
    _ batch: Batch, over encoder: EncoderStates?, _ context: ForwardContext, from states: Tensor?,
    _ layers: ArraySlice<TransformerLayer>, rows: [Int32]?
  ) throws -> Tensor {
    var x = try states ?? embed(batch, context)
    let offsets = batch.offsets.growing(by: promptLength(of: batch))
    let longest = zip(offsets.lengths, firstPositions(of: batch)).reduce(0) { max($0, $1.0 + $1.1) }
    let bias = try self.layers.first?.relativePositions?.bias(length: longest)
    for (i, layer) in zip(layers.indices, layers) {
      let places = LayerRows(offsets, wanted: i == layers.indices.last ? rows : nil, encoder: encoder, bias: bias, cache: batch.cache)
      x = try context.checkpointed(layer, [x] + places.tensors) { try layer($0[0], places.with($0.dropFirst()), context) }
    }
    if let rows, layers.isEmpty { return try x.gatherRows(rows) }
    return x
  }

  private func embed(_ batch: Batch, _ context: ForwardContext) throws -> Tensor {
    let embedded = try embeddings(
      batch.ids, types: batch.tokenTypes, batch.offsets, positions: firstPositions(of: batch),
      hasPrompts: batch.cache?.begins != false, context)
    return try (Precision.current == .bf16 ? embedded.to(.bfloat16) : embedded).dropout(context.dropout(layout.dropout))
  }
}
