import Diagnostics
import TensorCore

/// What an attention is made of.
public struct AttentionLayout: Sendable {
  /// The layers that queries, keys and values come from, by their names in the attention.
  public enum Projections: Sendable {
    case separate(query: String, key: String, value: String)
    /// One layer whose output is queries, keys and values side by side.
    case fused(String)
  }

  /// Whose tokens are attended to.
  public enum Source: Sendable {
    /// The layer's own.
    case itself
    /// Those that an encoder has read: cross-attention. Takes separate projections, without rotary positions.
    case encoder
  }

  /// Path of the attention in its layer.
  public var path: String
  public var source: Source
  public var heads: Int
  /// Heads of keys and values; each serves `heads / keyValueHeads` heads of queries.
  public var keyValueHeads: Int
  /// Elements of a head.
  public var headSize: Int
  public var projections: Projections
  /// Whether the projections have biases.
  public var hasBias: Bool
  /// Names of the norms of each head's queries and keys, and their kind.
  public var headNorms: (query: String, key: String, kind: NormKind)?
  /// The angles by which positions turn queries and keys; nil: positions are no matter of attention.
  public var rotary: RotaryLayout?
  /// Terms of the scores that depend on how far a key is from its query: their name in the first layer's attention, from which all
  /// layers of a stack take them.
  public var relative: (name: String, make: @Sendable (ParameterBuilder, _ heads: Int) throws -> any RelativePositions)?
  /// What scores are multiplied by; nil: `1 / sqrt(head size)`.
  public var scale: Double?
  /// Whether a token attends to itself and what comes before it alone.
  public var isCausal: Bool
  /// Dropout of the attention's weights.
  public var dropout: Double
  /// Standard deviation of new weights of the query layer; nil: the other layers'.
  public var queryStd: Double?

  public init(
    _ path: String, over source: Source = .itself, heads: Int, keyValueHeads: Int? = nil, headSize: Int, projections: Projections,
    hasBias: Bool = true, headNorms: (query: String, key: String, kind: NormKind)? = nil, rotary: RotaryLayout? = nil,
    relative: (name: String, make: @Sendable (ParameterBuilder, _ heads: Int) throws -> any RelativePositions)? = nil,
    scale: Double? = nil, isCausal: Bool = false, dropout: Double = 0, queryStd: Double? = nil
  ) {
    (self.path, self.source, self.heads, self.keyValueHeads, self.headSize) = (path, source, heads, keyValueHeads ?? heads, headSize)
    (self.projections, self.hasBias, self.isCausal, self.dropout) = (projections, hasBias, isCausal, dropout)
    (self.headNorms, self.rotary, self.relative, self.scale, self.queryStd) = (headNorms, rotary, relative, scale, queryStd)
  }
}

/// Rotary positions: the radians that one position adds to each pair of a head's elements, with the family's scaling.
public struct RotaryLayout: Sendable {
  public var frequencies: [Double]

  public init(frequencies: [Double]) { self.frequencies = frequencies }
}

/// Learned terms of attention's scores that depend on how far a key is from its query.
public protocol RelativePositions: Module {
  /// The terms for every distance between two of `length` tokens; causal attention needs none of the keys behind a query.
  func bias(length: Int) throws -> RelativeBias
}

/// What an encoder made of its tokens, for the cross-attention of a decoder's layers.
public struct EncoderStates {
  /// [tokens, C]; nil: all keys and values are in the cache.
  public internal(set) var states: Tensor?
  /// The tokens that each of the decoder's sequences sees, rows of the states or of the cache; several may see the same.
  public let ranges: KeyRanges
  /// Where each layer keeps the keys and values that it makes of the states, and the row for each of these; nil: nothing is kept.
  let cache: (keys: KeyValueCache, places: [Int32])?

  public init(_ states: Tensor, _ ranges: KeyRanges) { (self.states, self.ranges, cache) = (states, ranges, nil) }

  /// - Parameters:
  ///   - new: what the encoder made of inputs that the cache does not have yet.
  ///   - places: for each of these the cache's first row, with how many there are.
  public init(adding new: Tensor?, to cache: KeyValueCache, places: [(start: Int, count: Int)], _ ranges: KeyRanges) {
    (states, self.ranges) = (new, ranges)
    self.cache = (cache, places.flatMap { start, count in (start..<start + count).map { Int32($0) } })
  }
}

/// Scaled dot-product attention of a layer's tokens over each other or over an encoder's, and the adapters that give every token
/// more to attend to.
///
/// `softmax(Q K^T / sqrt(head size)) V` for each sequence and head; with rotary positions, Q and K are turned first.
public final class Attention: AdapterHost {
  private enum Projections {
    case separate(query: Linear, key: Linear, value: Linear)
    case fused(Linear)
  }

  public let layout: AttentionLayout
  /// Number of the layer, from 0, and of all layers.
  public let layer: (index: Int, count: Int)
  private let projections: Projections
  private let headNorms: (query: any Norm, key: any Norm)?
  private let rotary: RotaryTable?
  /// Of the first layer alone, which has those of the whole stack.
  let relative: (any RelativePositions)?

  init(_ builder: ParameterBuilder, _ layout: AttentionLayout, in all: LayerLayout, layer: (index: Int, count: Int)) throws {
    (self.layout, self.layer) = (layout, layer)
    func linear(_ name: String, out: Int, _ role: Role) throws -> Linear {
      try Linear(
        builder.scope(name), in: all.size, out: out, std: role == .query ? layout.queryStd ?? all.std : all.std, bias: layout.hasBias,
        role: role, isStoredTransposed: all.storesTransposed)
    }
    let (queries, keys) = (layout.heads * layout.headSize, layout.keyValueHeads * layout.headSize)
    switch layout.projections {
    case .separate(let query, let key, let value):
      projections = .separate(
        query: try linear(query, out: queries, .query), key: try linear(key, out: keys, .key), value: try linear(value, out: keys, .value))
    case .fused(let name): projections = .fused(try linear(name, out: queries + 2 * keys, .fused))
    }
    headNorms = try layout.headNorms.map { names in
      (try names.kind.make(builder.scope(names.query), layout.headSize), try names.kind.make(builder.scope(names.key), layout.headSize))
    }
    rotary = layout.rotary.map { RotaryTable(frequencies: $0.frequencies.map { Float($0) }) }
    relative = try layer.index == 0 ? layout.relative.map { try $0.make(builder.scope($0.name), layout.heads) } : nil
  }

  public override var parts: [(name: String, module: Module)] {
    let norms = headNorms.map { [(layout.headNorms?.query ?? "", $0.query), (layout.headNorms?.key ?? "", $0.key)] } ?? []
    return linears + norms.map { (name: $0.0, module: $0.1) } + (relative.map { [(layout.relative?.name ?? "", $0)] } ?? [])
  }

  private var linears: [(name: String, module: Module)] {
    switch (projections, layout.projections) {
    case (.separate(let query, let key, let value), .separate(let queryName, let keyName, let valueName)):
      [(queryName, query), (keyName, key), (valueName, value)]
    case (.fused(let all), .fused(let name)): [(name, all)]
    default: []
    }
  }

  /// Elements of a token's keys, and of its values.
  public var keySize: Int { layout.keyValueHeads * layout.headSize }

  private var prefixes: [any AttentionPrefix] { activeAdapters.compactMap { $0.adapter as? any AttentionPrefix } }

  /// Number of keys in front of each sequence that belong to adapters.
  public var prefixLength: Int { prefixes.reduce(0) { $0 + $1.length } }

  /// - Parameters:
  ///   - wanted: the tokens to compute: x, or its `rows.wanted`, [rows, C].
  ///   - x: all tokens, [tokens, C].
  /// - Returns: [rows, heads * head size].
  public func callAsFunction(_ wanted: Tensor, over x: Tensor, _ rows: LayerRows, _ context: ForwardContext) throws -> Tensor {
    if layout.source == .encoder { return try overEncoder(wanted, rows, context) }
    var (queries, keys, values) = try project(wanted, x, rows, context)
    let (sequences, skipped) = (rows.offsets.count, prefixLength)
    if rotary != nil || headNorms != nil {
      queries = try turned(queries, headNorms?.query, heads: layout.heads, rows.wantedPositions(from: skipped))
      keys = try turned(keys, headNorms?.key, heads: layout.keyValueHeads, rows.positions(from: skipped))
    }
    let blocks: [KeyBlock]
    if let pass = rows.cache {
      blocks = try pass.blocks(layer.index, adding: keys, values, behind: prefixes.map { try $0.rows(sequences: 1, context) })
    } else {
      var keyOffsets = rows.offsets
      for prefix in prefixes.reversed() {
        let rows = try prefix.rows(sequences: sequences, context)
        keys = try Columns(keys.copied().prepending(rows.keys, count: prefix.length, keyOffsets))
        values = try Columns(values.copied().prepending(rows.values, count: prefix.length, keyOffsets))
        keyOffsets = keyOffsets.growing(by: prefix.length)
      }
      blocks = [KeyBlock(keys, values, KeyRanges(keyOffsets))]
    }
    // Where only some rows are wanted, the last of them need not stand at the last key.
    let positions = (layout.isCausal || layout.relative != nil) && rows.wanted != nil ? rows.wantedPositions(from: skipped) : nil
    return try Tensor.attention(
      queries, rows.wantedOffsets, over: blocks, heads: layout.heads, keyValueHeads: layout.keyValueHeads, positions: positions,
      scale: layout.scale, causal: layout.isCausal, bias: layout.relative == nil ? nil : rows.bias, dropout: context.dropout(layout.dropout))
  }

  private func overEncoder(_ wanted: Tensor, _ rows: LayerRows, _ context: ForwardContext) throws -> Tensor {
    guard let encoder = rows.encoder, case .separate(let query, let key, let value) = projections else {
      throw EngineError(.argument, "cross-attention: there are no states of an encoder, which a decoder's layer needs")
    }
    let block = try encoder.block(layer.index, encoder.states.map { (try Columns(key($0, context)), try Columns(value($0, context))) })
    return try Tensor.attention(
      Columns(query(wanted, context)), rows.wantedOffsets, over: [block], heads: layout.heads, keyValueHeads: layout.keyValueHeads,
      scale: layout.scale, dropout: context.dropout(layout.dropout))
  }

  private func project(
    _ wanted: Tensor, _ x: Tensor, _ rows: LayerRows, _ context: ForwardContext
  ) throws -> (queries: Columns, keys: Columns, values: Columns) {
    switch projections {
    case .separate(let query, let key, let value):
      return (try Columns(query(wanted, context)), try Columns(key(x, context)), try Columns(value(x, context)))
    case .fused(let layer):
      let all = try layer(x, context)
      let (first, second) = (layout.heads * layout.headSize, layout.heads * layout.headSize + keySize)
      let queries = try rows.wanted.map { try Columns(all.slice(1, 0, first).gatherRows($0)) } ?? Columns(all, 0..<first)
      return (queries, try Columns(all, first..<second), try Columns(all, second..<second + keySize))
    }
  }

  /// Queries or keys as each head's norm and the positions make them.
  private func turned(_ x: Columns, _ norm: (any Norm)?, heads: Int, _ positions: [Int32]) throws -> Columns {
    var y = try x.copied()
    if let norm { y = try norm(y.reshape([y.rows * heads, layout.headSize])).reshape(y.shape) }
    return try Columns(rotary.map { try y.rotary($0, positions: positions, heads: heads) } ?? y)
  }
}

extension Columns {
  /// The columns as a matrix of their own, unless they are all.
  fileprivate func copied() throws -> Tensor {
    range == 0..<matrix.columns ? matrix : try matrix.slice(1, range.lowerBound, range.upperBound)
  }
}

/// Something attached to attention that puts keys and values in front of each sequence's.
public protocol AttentionPrefix: Adapter {
  /// Number of keys.
  var length: Int { get }

  /// Keys and values: [length, key size] each, or [sequences * length, key size].
  func rows(sequences: Int, _ context: ForwardContext) throws -> (keys: Tensor, values: Tensor)
}
