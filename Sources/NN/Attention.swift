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

  /// Path of the attention in its layer.
  public var path: String
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
  /// Whether a token attends to itself and what comes before it alone.
  public var isCausal: Bool
  /// Dropout of the attention's weights.
  public var dropout: Double

  public init(
    _ path: String, heads: Int, keyValueHeads: Int? = nil, headSize: Int, projections: Projections, hasBias: Bool = true,
    headNorms: (query: String, key: String, kind: NormKind)? = nil, rotary: RotaryLayout? = nil, isCausal: Bool = false, dropout: Double = 0
  ) {
    (self.path, self.heads, self.keyValueHeads, self.headSize) = (path, heads, keyValueHeads ?? heads, headSize)
    (self.projections, self.hasBias, self.isCausal, self.dropout) = (projections, hasBias, isCausal, dropout)
    (self.headNorms, self.rotary) = (headNorms, rotary)
  }
}

/// Rotary positions: the radians that one position adds to each pair of a head's elements, with the family's scaling.
public struct RotaryLayout: Sendable {
  public var frequencies: [Double]

  public init(frequencies: [Double]) { self.frequencies = frequencies }
}

/// Scaled dot-product attention of a layer's tokens over each other, and the adapters that give every token more to attend to.
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

  init(_ builder: ParameterBuilder, _ layout: AttentionLayout, in all: LayerLayout, layer: (index: Int, count: Int)) throws {
    (self.layout, self.layer) = (layout, layer)
    func linear(_ name: String, out: Int, _ role: Role) throws -> Linear {
      try Linear(
        builder.scope(name), in: all.size, out: out, std: all.std, bias: layout.hasBias, role: role,
        isStoredTransposed: all.storesTransposed)
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
  }

  public override var parts: [(name: String, module: Module)] {
    let norms = headNorms.map { [(layout.headNorms?.query ?? "", $0.query), (layout.headNorms?.key ?? "", $0.key)] } ?? []
    return linears + norms.map { (name: $0.0, module: $0.1) }
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
    var (queries, keys, values) = try project(wanted, x, rows, context)
    let (sequences, skipped) = (rows.offsets.count, prefixLength)
    if rotary != nil || headNorms != nil {
      queries = try turned(queries, headNorms?.query, heads: layout.heads, rows.wantedPositions(from: skipped))
      keys = try turned(keys, headNorms?.key, heads: layout.keyValueHeads, rows.positions(from: skipped))
    }
    var keyOffsets = rows.offsets
    for prefix in prefixes.reversed() {
      let rows = try prefix.rows(sequences: sequences, context)
      keys = try Columns(keys.copied().prepending(rows.keys, count: prefix.length, keyOffsets))
      values = try Columns(values.copied().prepending(rows.values, count: prefix.length, keyOffsets))
      keyOffsets = keyOffsets.growing(by: prefix.length)
    }
    // Where only some rows are wanted, the last of them need not stand at the last key.
    let positions = layout.isCausal && rows.wanted != nil ? rows.wantedPositions(from: skipped) : nil
    return try Tensor.attention(
      queries, rows.wantedOffsets, over: [KeyBlock(keys, values, KeyRanges(keyOffsets))], heads: layout.heads,
      keyValueHeads: layout.keyValueHeads, positions: positions, causal: layout.isCausal, dropout: context.dropout(layout.dropout))
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
