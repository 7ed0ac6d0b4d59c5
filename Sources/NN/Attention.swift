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
  /// Whether a token attends to itself and what comes before it alone.
  public var isCausal: Bool
  /// Dropout of the attention's weights.
  public var dropout: Double

  public init(
    _ path: String, heads: Int, keyValueHeads: Int? = nil, headSize: Int, projections: Projections, hasBias: Bool = true,
    isCausal: Bool = false, dropout: Double = 0
  ) {
    (self.path, self.heads, self.keyValueHeads, self.headSize) = (path, heads, keyValueHeads ?? heads, headSize)
    (self.projections, self.hasBias, self.isCausal, self.dropout) = (projections, hasBias, isCausal, dropout)
  }
}

/// Scaled dot-product attention of a layer's tokens over each other, and the adapters that give every token more to attend to.
///
/// `softmax(Q K^T / sqrt(head size)) V` for each sequence and head.
public final class Attention: AdapterHost {
  private enum Projections {
    case separate(query: Linear, key: Linear, value: Linear)
    case fused(Linear)
  }

  public let layout: AttentionLayout
  /// Number of the layer, from 0, and of all layers.
  public let layer: (index: Int, count: Int)
  private let projections: Projections

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
  }

  public override var parts: [(name: String, module: Module)] {
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
    var keyOffsets = rows.offsets
    for prefix in prefixes.reversed() {
      let rows = try prefix.rows(sequences: keyOffsets.count, context)
      keys = try keys.prepending(rows.keys, count: prefix.length, keyOffsets)
      values = try values.prepending(rows.values, count: prefix.length, keyOffsets)
      keyOffsets = keyOffsets.growing(by: prefix.length)
    }
    return try queries.attention(
      keys: keys, values: values, heads: layout.heads, offsets: rows.wantedOffsets, keyOffsets: keyOffsets, causal: layout.isCausal,
      dropout: context.dropout(layout.dropout))
  }

  private func project(
    _ wanted: Tensor, _ x: Tensor, _ rows: LayerRows, _ context: ForwardContext
  ) throws -> (queries: Tensor, keys: Tensor, values: Tensor) {
    switch projections {
    case .separate(let query, let key, let value): return (try query(wanted, context), try key(x, context), try value(x, context))
    case .fused(let layer):
      let all = try layer(x, context)
      let queries = try all.slice(1, 0, layout.heads * layout.headSize)
      let keyEnd = queries.columns + keySize
      return (
        try rows.wanted.map { try queries.gatherRows($0) } ?? queries, try all.slice(1, queries.columns, keyEnd),
        try all.slice(1, keyEnd, keyEnd + keySize)
      )
    }
  }
}

/// Something attached to attention that puts keys and values in front of each sequence's.
public protocol AttentionPrefix: Adapter {
  /// Number of keys.
  var length: Int { get }

  /// Keys and values: [length, key size] each, or [sequences * length, key size].
  func rows(sequences: Int, _ context: ForwardContext) throws -> (keys: Tensor, values: Tensor)
}
