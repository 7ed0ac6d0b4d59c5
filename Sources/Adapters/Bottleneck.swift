import Diagnostics
import NN
import TensorCore

/// What the methods that put bottleneck adapters into a transformer share: `Ad(h) = U act(V h + c) + e`, V: [r, C], U: [C, r].
///
/// Trainable: `2 r C + r + C` for each adapter, and `2 C` for each norm if norms train.
public struct BottleneckOptions: Record, Sendable {
  /// What stands between the two layers.
  public enum NonLinearity: String, FieldChoice {
    case swish, relu, gelu, tanh
    /// The tanh approximation of GELU, as in the first implementation of Houlsby's adapters.
    case geluNew = "gelu_new"

    var operation: UnaryOperation {
      switch self {
      case .swish: .silu
      case .relu: .relu
      case .gelu: .gelu
      case .geluNew: .geluTanh
      case .tanh: .tanh
      }
    }
  }

  /// How V and U start; biases start at 0.
  public enum InitWeights: String, FieldChoice {
    /// Both normal with standard deviation 0.02, as BERT's own layers.
    case bert
    /// Both normal with standard deviation 0.001, cut at twice that: Houlsby's code.
    case truncatedNormal = "truncated_normal"
    /// V Kaiming-uniform, U zero: a fresh adapter changes nothing.
    case zeroUp = "zero_up"
  }

  /// Size of the bottleneck.
  public var r = 64
  /// nil: `standard`.
  public var nonLinearity: NonLinearity?
  public var initWeights = InitWeights.bert
  /// Whether all norms of the body train too, as in Houlsby's code.
  public var trainLayerNorm = false
  /// The method's function.
  private let standard: NonLinearity

  public init() { self.init(standard: .swish) }

  init(standard: NonLinearity) { self.standard = standard }

  public static let recordName = "bottleneck options"
  public static let fields: [Field<Self>] = [
    .int("r", \.r, "size of the bottleneck", in: 1...65_536),
    .value("non_linearity", \.nonLinearity, "function between the adapter's layers; default: swish for houlsby, relu for pfeiffer")
      .saved { $0.nonLinearity ?? $0.standard },
    .value("init_weights", \.initWeights, "how the adapter's layers start").saved(optional: true),
    .value("train_layer_norm", \.trainLayerNorm, "train the body's layer norms too").saved(optional: true),
  ]

  func trains(_ parameter: BaseParameter) -> Bool { trainLayerNorm && parameter.norm != nil }

  func makeAdapter(
    for sublayer: SublayerOutput, at site: AdapterSite, readsNormed: Bool
  ) throws -> BottleneckAdapter {
    let size = sublayer.projection.outFeatures
    let (down, up): (Initialization, Initialization) =
      switch initWeights {
      case .bert: (.normal(std: 0.02), .normal(std: 0.02))
      case .truncatedNormal: (.truncatedNormal(std: 1e-3), .truncatedNormal(std: 1e-3))
      case .zeroUp: (.kaimingUniform, .zeros)
      }
    return BottleneckAdapter(
      down: (try site.parameter("adapter_down.weight", [r, size], down), try site.parameter("adapter_down.bias", [r], .zeros)),
      up: (try site.parameter("adapter_up.weight", [size, r], up), try site.parameter("adapter_up.bias", [size], .zeros)),
      nonLinearity: (nonLinearity ?? standard).operation, readsNormed: readsNormed)
  }
}

/// The bottleneck of one sub-layer.
public final class BottleneckAdapter: Adapter, SublayerAdapter {
  private let down, up: (weight: Tensor, bias: Tensor)
  private let nonLinearity: UnaryOperation
  /// Whether the input is the sub-layer's sum, `LayerNorm(o + x)` in BERT, instead of o.
  private let readsNormed: Bool

  init(
    down: (weight: Tensor, bias: Tensor), up: (weight: Tensor, bias: Tensor), nonLinearity: UnaryOperation, readsNormed: Bool
  ) {
    (self.down, self.up, self.nonLinearity, self.readsNormed) = (down, up, nonLinearity, readsNormed)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [
      ("adapter_down.weight", down.weight), ("adapter_down.bias", down.bias), ("adapter_up.weight", up.weight),
      ("adapter_up.bias", up.bias),
    ]
  }

  public func output(_ o: Tensor, residual x: Tensor, of sublayer: SublayerOutput, _ context: ForwardContext) throws -> Tensor {
    let h = readsNormed ? try sublayer.sum(o, residual: x) : o
    let inner = try h.linear(down.weight, down.bias).activation(nonLinearity)
    return try o.add(inner.linear(up.weight, up.bias)).to(o.dtype)
  }
}
