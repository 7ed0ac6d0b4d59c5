import TensorCore

/// Where a layer's tokens lie, which of them it has to compute, and what its attention reads beside them.
public struct LayerRows {
  public private(set) var offsets: Offsets
  /// Rows of the result, in ascending order; nil: all.
  public private(set) var wanted: [Int32]?
  /// What cross-attention reads.
  public private(set) var encoder: EncoderStates?
  /// What is added to the scores of attention by relative positions.
  public private(set) var bias: RelativeBias?
  /// The keys and values of what stands before these rows; nil: nothing does.
  let cache: CachePass?

  public init(
    _ offsets: Offsets, wanted: [Int32]? = nil, encoder: EncoderStates? = nil, bias: RelativeBias? = nil, cache: CachePass? = nil
  ) {
    (self.offsets, self.wanted, self.encoder, self.bias, self.cache) = (offsets, wanted, encoder, bias, cache)
  }

  /// The tensors that gradients may pass through.
  public var tensors: [Tensor] { (encoder?.states.map { [$0] } ?? []) + (bias.map { [$0.table] } ?? []) }

  /// The same rows with others in the place of `tensors`.
  public func with(_ tensors: some Collection<Tensor>) -> LayerRows {
    var (copy, rest) = (self, Array(tensors))
    if let bias { copy.bias = RelativeBias(rest.removeLast(), zero: bias.zero) }
    if encoder?.states != nil { copy.encoder?.states = rest.removeLast() }
    return copy
  }

  /// The rows of the result, where they alone are left.
  func narrowed() -> LayerRows {
    var copy = self
    (copy.offsets, copy.wanted) = (wantedOffsets, nil)
    return copy
  }

  /// Position of each row in its sequence, counted from `first`, or from the end of what is in the cache.
  func positions(from first: Int) -> [Int32] {
    offsets.lengths.enumerated().flatMap { i, length in
      let first = Int32(cache?.past[i] ?? first)
      return first..<first + Int32(length)
    }
  }

  /// The same for the rows of the result.
  func wantedPositions(from first: Int) -> [Int32] {
    let all = positions(from: first)
    return wanted.map { $0.map { all[Int($0)] } } ?? all
  }

  /// How the rows of the result divide among the sequences.
  public var wantedOffsets: Offsets { wanted.map(offsets.counting) ?? offsets }
}

/// What a transformer's layers are made of: sub-layers with residual connections, one after another.
public struct LayerLayout: Sendable {
  /// Where the norms stand.
  public enum NormPlace: Sendable {
    /// `x + f(norm(x))`: GPT-2, Llama.
    case before
    /// `norm(x + f(x))`: BERT.
    case after
  }

  /// A sub-layer.
  public struct Part: Sendable {
    enum Function: Sendable {
      case attention(AttentionLayout)
      case feedForward(FeedForwardLayout)
    }

    let function: Function
    /// Path of the norm.
    let norm: String
    /// Path of the module that ends the sub-layer, and the projection's name in it.
    let output: (path: String, projection: String)
    let hasBias: Bool
    let std: Double?

    /// `norm`: the norm's path in the layer. `output`, `projection`: path of the sub-layer's end, and its projection's name there.
    /// `std`: standard deviation of the projection's new weights; nil: that of the layer's others.
    public static func attention(
      _ layout: AttentionLayout, output: String, projection: String, hasBias: Bool = true, std: Double? = nil, norm: String
    ) -> Part {
      Part(function: .attention(layout), norm: norm, output: (output, projection), hasBias: hasBias, std: std)
    }

    /// The same for a feed-forward block; `projection` is the layer that leads back to the hidden size.
    public static func feedForward(
      _ layout: FeedForwardLayout, output: String, projection: String, hasBias: Bool = true, std: Double? = nil, norm: String
    ) -> Part {
      Part(function: .feedForward(layout), norm: norm, output: (output, projection), hasBias: hasBias, std: std)
    }
  }

  /// C.
  public var size: Int
  public var norm: NormKind
  public var place: NormPlace
  /// Dropout of each sub-layer's output.
  public var dropout: Double
  /// Standard deviation of new weights.
  public var std: Double
  /// Whether model files have the layers' matrices as [in, out].
  public var storesTransposed: Bool
  public var parts: [Part]

  public init(
    size: Int, norm: NormKind, _ place: NormPlace, dropout: Double, std: Double, storesTransposed: Bool = false, parts: [Part]
  ) {
    (self.size, self.norm, self.place, self.dropout) = (size, norm, place, dropout)
    (self.std, self.storesTransposed, self.parts) = (std, storesTransposed, parts)
  }

  /// Whether nothing is dropped in training.
  public var dropsNothing: Bool {
    dropout == 0
      && parts.allSatisfy {
        switch $0.function {
        case .attention(let layout): layout.dropout == 0
        case .feedForward(let layout): layout.dropout == 0
        }
      }
  }

  /// Whether a token sees itself and what stands before it alone.
  public var isCausal: Bool {
    parts.contains { if case .attention(let layout) = $0.function { layout.isCausal } else { false } }
  }

  /// The attention over the layer's own tokens.
  public var attention: AttentionLayout? {
    parts.lazy.compactMap { if case .attention(let layout) = $0.function, layout.source == .itself { layout } else { nil } }.first
  }

  /// Size of the feed-forward blocks' inner activations.
  public var inner: Int {
    parts.reduce(0) { if case .feedForward(let layout) = $1.function { $0 + layout.inner } else { $0 } }
  }
}

/// One layer of a transformer.
public final class TransformerLayer: Module {
  private enum Function {
    case attention(Attention)
    case feedForward(FeedForward)
  }

  /// `norm`: the one in front, if norms come before.
  private let sublayers: [(function: Function, norm: (any Norm)?, output: SublayerOutput)]
  private let parts: [(name: String, module: Module)]

  /// `index`, `count`: the layer's number, from 0, and that of all layers.
  public init(_ builder: ParameterBuilder, _ layout: LayerLayout, index: Int = 0, of count: Int = 1) throws {
    var parts: [(path: String, module: Module)] = []
    sublayers = try layout.parts.map { part in
      func makeNorm() throws -> any Norm {
        let norm = try layout.norm.make(builder.scope(part.norm), layout.size)
        parts.append((part.norm, norm))
        return norm
      }
      let before = layout.place == .before ? try makeNorm() : nil
      let (function, width, role): (Function, Int, Role)
      switch part.function {
      case .attention(let attention):
        let module = try Attention(builder.scope(attention.path), attention, in: layout, layer: (index, count))
        parts.append((attention.path, module))
        (function, width, role) = (.attention(module), attention.heads * attention.headSize, .attentionOutput)
      case .feedForward(let block):
        let module = try FeedForward(builder, block, in: layout)
        parts += module.parts
        (function, width, role) = (.feedForward(module), block.inner, .down)
      }
      let projection = try Linear(
        builder.scope(part.output.path).scope(part.output.projection), in: width, out: layout.size,
        std: part.std ?? layout.std, bias: part.hasBias, role: role, isStoredTransposed: layout.storesTransposed)
      // The state dict has the norm behind the projection, which the module that reads it belongs to.
      let place = parts.count
      let after = before == nil ? try makeNorm() : nil
      let output = SublayerOutput(projection, name: part.output.projection, norm: after, dropout: layout.dropout)
      parts.insert((part.output.path, output), at: place)
      return (function, before, output)
    }
    self.parts = Group.nested(parts)
  }

  /// The norms, each with whether it is attention's.
  public var norms: [(norm: any Norm, isAttention: Bool)] {
    sublayers.compactMap { part in
      (part.norm ?? part.output.norm).map { norm in
        if case .attention = part.function { (norm, true) } else { (norm, false) }
      }
    }
  }

  public override var children: [(name: String, module: Module)] { parts }

  /// Number of keys in front of each sequence that belong to adapters.
  public var prefixLength: Int {
    sublayers.reduce(0) { if case .attention(let attention) = $1.function { max($0, attention.prefixLength) } else { $0 } }
  }

  /// The relative positions of the whole stack; nil: another layer has them, or nobody.
  public var relativePositions: (any RelativePositions)? {
    sublayers.lazy.compactMap { if case .attention(let attention) = $0.function { attention.relative } else { nil } }.first
  }

  /// x: [tokens, C]. Result: the same shape, or [rows, C] where only some rows are wanted: then keys and values are all that the
  /// other tokens are needed for.
  public func callAsFunction(_ x: Tensor, _ rows: LayerRows, _ context: ForwardContext) throws -> Tensor {
    var (x, rows) = (x, rows)
    for (function, norm, output) in sublayers {
      let all = try norm.map { try $0(x) } ?? x
      switch function {
      case .attention(let attention):
        let wanted = try rows.wanted.map { try all.gatherRows($0) } ?? all
        let residual = norm == nil ? wanted : try rows.wanted.map { try x.gatherRows($0) } ?? x
        x = try output(attention(wanted, over: all, rows, context), residual: residual, context)
        rows = rows.narrowed()
      case .feedForward(let inner): x = try output(inner(all, context), residual: x, context)
      }
    }
    return x
  }
}
