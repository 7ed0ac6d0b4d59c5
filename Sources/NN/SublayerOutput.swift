import TensorCore

/// The end of a sub-layer: `x + o`, `o = dropout(W h + b)`, normalised where the family's norms come after; and the adapters that
/// change `o`.
///
/// h: [tokens, in]; x, the sub-layer's input, and the result: [tokens, C].
public final class SublayerOutput: AdapterHost {
  public let projection: Linear
  private let name: String
  /// The norm of the sum; nil: norms come before the sub-layers. A part of the layer, not of this module.
  let norm: (any Norm)?
  private let dropout: Double

  /// `name`: that of the projection in this module.
  init(_ projection: Linear, name: String, norm: (any Norm)?, dropout: Double) {
    (self.projection, self.name, self.norm, self.dropout) = (projection, name, norm, dropout)
  }

  public override var parts: [(name: String, module: Module)] { [(name, projection)] }

  /// The sub-layer's result where `o` is all that it adds to `x`.
  public func sum(_ o: Tensor, residual x: Tensor, dropout: Dropout? = nil) throws -> Tensor {
    if let norm { return try norm(o, residual: x, dropout: dropout) }
    return try o.dropout(dropout).adding(residual: x)
  }

  public func callAsFunction(_ hidden: Tensor, residual x: Tensor, _ context: ForwardContext) throws -> Tensor {
    let projected = try projection(hidden, context)
    let dropout = context.dropout(dropout)
    let active = activeAdapters.compactMap { $0.adapter as? any SublayerAdapter }
    guard !active.isEmpty else { return try sum(projected, residual: x, dropout: dropout) }
    return try sum(active.reduce(projected.dropout(dropout)) { try $1.output($0, residual: x, of: self, context) }, residual: x)
  }
}

/// Something attached to the end of a sub-layer that changes its output before the residual connection.
public protocol SublayerAdapter: Adapter {
  /// The new `o`, [tokens, C], in the type of the given one. `residual`: x.
  func output(_ o: Tensor, residual x: Tensor, of sublayer: SublayerOutput, _ context: ForwardContext) throws -> Tensor
}
