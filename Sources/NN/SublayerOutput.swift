import TensorCore

/// The end of a sub-layer: `LayerNorm(x + o)`, `o = dropout(W h + b)`, and the adapters that change `o`.
///
/// h: [tokens, in]; x, the sub-layer's input, and the result: [tokens, C].
public final class SublayerOutput: AdapterHost {
  public let dense: Linear
  public let norm: LayerNorm
  /// Whether the sub-layer is attention; else it is the feed-forward block.
  public let isAttention: Bool

  public init(
    _ builder: ParameterBuilder, in inFeatures: Int, out outFeatures: Int, std: Double, eps: Double, isAttention: Bool
  ) throws {
    dense = try Linear(builder.scope("dense"), in: inFeatures, out: outFeatures, std: std)
    norm = try LayerNorm(builder.scope("LayerNorm"), outFeatures, eps: eps)
    self.isAttention = isAttention
  }

  public override var parts: [(name: String, module: Module)] { [("dense", dense), ("LayerNorm", norm)] }

  public func callAsFunction(_ hidden: Tensor, residual x: Tensor, dropout p: Double, _ context: ForwardContext) throws -> Tensor {
    let projected = try dense(hidden, context)
    let dropout = context.dropout(p)
    let active = activeAdapters.compactMap { $0.adapter as? any SublayerAdapter }
    guard !active.isEmpty else { return try norm(projected, residual: x, dropout: dropout) }
    let output = try active.reduce(projected.dropout(dropout)) { try $1.output($0, residual: x, of: self, context) }
    return try norm(output, residual: x)
  }
}

/// Something attached to the end of a sub-layer that changes its output before the residual connection and the norm.
public protocol SublayerAdapter: Adapter {
  /// The new `o`, [tokens, C], in the type of the given one. `residual`: x.
  func output(_ o: Tensor, residual x: Tensor, of sublayer: SublayerOutput, _ context: ForwardContext) throws -> Tensor
}
