import TensorCore

/// Scaled dot-product attention of a layer's tokens over each other, and the adapters that give every token more to attend to.
///
/// `softmax(Q K^T / sqrt(C / heads)) V` for each sequence and head.
public final class SelfAttention: AdapterHost {
  public let query, key, value: Linear
  public let heads: Int
  /// Number of the layer, from 0, and of all layers.
  public let layer: (index: Int, count: Int)
  private let dropout: Double

  /// `dropout`: that of the attention's weights.
  public init(
    _ builder: ParameterBuilder, _ size: Int, heads: Int, std: Double, dropout: Double, layer: (index: Int, count: Int)
  ) throws {
    query = try Linear(builder.scope("query"), in: size, out: size, std: std)
    key = try Linear(builder.scope("key"), in: size, out: size, std: std)
    value = try Linear(builder.scope("value"), in: size, out: size, std: std)
    (self.heads, self.dropout, self.layer) = (heads, dropout, layer)
  }

  public override var parts: [(name: String, module: Module)] { [("query", query), ("key", key), ("value", value)] }

  private var prefixes: [any AttentionPrefix] { activeAdapters.compactMap { $0.adapter as? any AttentionPrefix } }

  /// Number of keys in front of each sequence that belong to adapters.
  public var prefixLength: Int { prefixes.reduce(0) { $0 + $1.length } }

  /// - Parameters:
  ///   - wanted: the tokens to compute, [rows, C], and `offsets`, where each sequence's lie.
  ///   - x: all tokens, [tokens, C], and `keyOffsets`.
  /// - Returns: [rows, C].
  public func callAsFunction(
    _ wanted: Tensor, _ offsets: Offsets, over x: Tensor, _ keyOffsets: Offsets, _ context: ForwardContext
  ) throws -> Tensor {
    let queries = try query(wanted, context)
    var (keys, values, keyOffsets) = (try key(x, context), try value(x, context), keyOffsets)
    for prefix in prefixes.reversed() {
      let rows = try prefix.rows(sequences: keyOffsets.count, context)
      keys = try keys.prepending(rows.keys, count: prefix.length, keyOffsets)
      values = try values.prepending(rows.values, count: prefix.length, keyOffsets)
      keyOffsets = keyOffsets.growing(by: prefix.length)
    }
    return try queries.attention(
      keys: keys, values: values, heads: heads, offsets: offsets, keyOffsets: keyOffsets, dropout: context.dropout(dropout))
  }
}

/// Something attached to self-attention that puts keys and values in front of each sequence's.
public protocol AttentionPrefix: Adapter {
  /// Number of keys.
  var length: Int { get }

  /// Keys and values: [length, C] each, or [sequences * length, C].
  func rows(sequences: Int, _ context: ForwardContext) throws -> (keys: Tensor, values: Tensor)
}
