import TensorCore

/// What the inner part of a feed-forward block is made of: `act(up x)`, or with a gate `act(gate x) * up x`.
public struct FeedForwardLayout: Sendable {
  /// Paths in the layer.
  public var up: String
  /// Size of the inner activations.
  public var inner: Int
  public var activation: UnaryOperation
  public var hasBias: Bool

  public init(up: String, inner: Int, activation: UnaryOperation, hasBias: Bool = true) {
    (self.up, self.inner, self.activation, self.hasBias) = (up, inner, activation, hasBias)
  }
}

/// The inner part of a feed-forward block: [tokens, C] -> [tokens, inner].
struct FeedForward {
  private let layout: FeedForwardLayout
  private let up: Linear

  init(_ builder: ParameterBuilder, _ layout: FeedForwardLayout, in layer: LayerLayout) throws {
    self.layout = layout
    up = try Linear(
      builder.scope(layout.up), in: layer.size, out: layout.inner, std: layer.std, bias: layout.hasBias, role: .up,
      isStoredTransposed: layer.storesTransposed)
  }

  /// With their paths in the layer.
  var parts: [(path: String, module: Module)] { [(layout.up, up)] }

  func callAsFunction(_ x: Tensor, _ context: ForwardContext) throws -> Tensor { try up(x, context).activation(layout.activation) }
}
