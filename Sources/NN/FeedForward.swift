import TensorCore

/// What the inner part of a feed-forward block is made of: `act(up x)`, or with a gate `act(gate x) * up x`.
public struct FeedForwardLayout: Sendable {
  /// Paths in the layer.
  public var up: String
  /// nil: there is no gate.
  public var gate: String?
  /// Size of the inner activations.
  public var inner: Int
  public var activation: UnaryOperation
  public var hasBias: Bool
  /// Dropout of the inner activations.
  public var dropout: Double

  public init(up: String, gate: String? = nil, inner: Int, activation: UnaryOperation, hasBias: Bool = true, dropout: Double = 0) {
    (self.up, self.gate, self.inner, self.activation, self.hasBias) = (up, gate, inner, activation, hasBias)
    self.dropout = dropout
  }
}

/// The inner part of a feed-forward block: [tokens, C] -> [tokens, inner].
struct FeedForward {
  private let layout: FeedForwardLayout
  private let up: Linear
  private let gate: Linear?

  init(_ builder: ParameterBuilder, _ layout: FeedForwardLayout, in layer: LayerLayout) throws {
    self.layout = layout
    func linear(_ path: String, _ role: Role) throws -> Linear {
      try Linear(
        builder.scope(path), in: layer.size, out: layout.inner, std: layer.std, bias: layout.hasBias, role: role,
        isStoredTransposed: layer.storesTransposed)
    }
    gate = try layout.gate.map { try linear($0, .gate) }
    up = try linear(layout.up, .up)
  }

  /// With their paths in the layer.
  var parts: [(path: String, module: Module)] { (gate.map { [(layout.gate ?? "", $0)] } ?? []) + [(layout.up, up)] }

  func callAsFunction(_ x: Tensor, _ context: ForwardContext) throws -> Tensor {
    let inner = try gate.map { try $0(x, context).gating(up(x, context), by: layout.activation) } ?? up(x, context).activation(layout.activation)
    // Without dropout there is no site either: the draws of families that have none stay what they were.
    return layout.dropout == 0 ? inner : try inner.dropout(context.dropout(layout.dropout))
  }
}
