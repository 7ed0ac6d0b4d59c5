import Diagnostics
import NN
import TensorCore

/// Delta-LoRA: a LoRA whose product's changes also update the frozen weight.
///
/// `y = W x + b + s B A dropout(x)`, `s = lora_alpha / r`. After the optimizer step `t` (from 0) with `t > start_step`:
/// `W <- W + lambda s (B' A' - B A)`, in fp32, with the factors after and before the step. W has no gradient, moments or decay.
/// The sum telescopes: `W_T = W_0 + lambda s (B_T A_T - B_S A_S)` with the factors S from when the updates began, so that the
/// adapter keeps those and is, over the pre-trained weight, exactly a plain LoRA of rank 2 r:
/// `A' = [A_T; A_S]`, `B' = [(1 + lambda) B_T, -lambda B_S]`, the same s.
///
/// Trainable: `r (in + out)` for each layer. Merge: `W_T + s B A`. A detached or disabled adapter leaves the weights as they
/// have become; loading its folder into a model with the pre-trained weights brings them about again.
///
/// Paper: Zi et al. 2023, arXiv 2309.02411.
public struct DeltaLoRA: LinearAdapterMethod, ChangesFrozenParameters, ChecksFolder {
  public static let name = "delta_lora"
  public static let summary = "Delta-LoRA: the frozen weight follows the changes of B A."

  /// Rank.
  public var r = 8
  /// Numerator of the scale.
  public var loraAlpha = 16.0
  /// The weights change in steps after this one; K in the paper.
  public var startStep = 0
  /// Factor of the weights' updates; lambda in the paper. 0: a LoRA.
  public var updateRatio = 0.5
  /// Dropout on the adapter's input; 0 in the paper, for W and B A have the same gradient only without it.
  public var loraDropout = 0.0

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the update", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / r", in: Above(0)),
    .int("start_step", \.startStep, "weights change after steps beyond this one, counted from 0; K in the paper", in: 0...),
    .float("update_ratio", \.updateRatio, "factor of the weights' updates; lambda in the paper", in: 0...),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input; the paper has none", in: 0..<1),
  ]

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    try checkRank(r, of: linear, at: site)
    guard linear.weight.quantized == nil else {
      throw EngineError(
        .argument, "delta_lora: the weight of layer '\(site.path)' is held in 4 bits and cannot change",
        hint: "use another method, or name its layer in llm_int8_skip_modules")
    }
    let shapes = (a: [r, linear.inFeatures], b: [linear.outFeatures, r])
    return DeltaLoRAAdapter(
      a: try site.parameter("lora_A.weight", shapes.a, .kaimingUniform), b: try site.parameter("lora_B.weight", shapes.b, .zeros),
      startA: try site.parameter(DeltaLoRAAdapter.start.a, shapes.a, .zeros),
      startB: try site.parameter(DeltaLoRAAdapter.start.b, shapes.b, .zeros),
      scaling: loraAlpha / Double(r), updateRatio: updateRatio, dropout: loraDropout)
  }

  public func makeTraining(for attached: AttachedAdapter) -> MethodTraining? {
    updateRatio == 0 ? nil : DeltaLoRATraining(attached, startStep: startStep)
  }

  /// The weights, and the factors from when they began to change.
  public func frozenParametersChanged(by attached: AttachedAdapter) -> [(name: String, tensor: Tensor)] {
    attached.linearAdapters.flatMap { path, linear, adapter in
      [(name: path + ".weight", tensor: linear.weight)]
        + adapter.ownParameters.filter { adapter.frozenParameters.contains($0.name) }
        .map { (attached.name(of: $0.name, at: path), $0.tensor) }
    }
  }

  /// Brings the weights, which are not in the folder, to where they were.
  public func didLoad(_ attached: AttachedAdapter) throws {
    for (_, linear, adapter) in attached.linearAdapters {
      guard let adapter = adapter as? DeltaLoRAAdapter, adapter.hasStarted else { continue }
      try adapter.update(linear.weight, from: (adapter.startA, adapter.startB))
    }
  }
}

/// The factors of one layer.
public final class DeltaLoRAAdapter: Adapter, LowRankUpdate {
  /// Down factor, [r, in], and up factor, [out, r].
  public let a, b: Tensor
  /// The factors from when the weight began to change; zeros before.
  public let startA, startB: Tensor
  public let scaling: Double
  /// lambda.
  public let updateRatio: Double
  public override var dropout: Double { loraDropout }
  private let loraDropout: Double
  static let start = (a: "delta_lora_A", b: "delta_lora_B")

  init(a: Tensor, b: Tensor, startA: Tensor, startB: Tensor, scaling: Double, updateRatio: Double, dropout: Double) {
    (self.a, self.b, self.startA, self.startB) = (a, b, startA, startB)
    (self.scaling, self.updateRatio, loraDropout) = (scaling, updateRatio, dropout)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("lora_A.weight", a), ("lora_B.weight", b), (Self.start.a, startA), (Self.start.b, startB)]
  }

  public override var frozenParameters: [String] { [Self.start.a, Self.start.b] }

  /// Whether the weight has begun to change: A is never all zero then.
  public var hasStarted: Bool { startA.sumOfSquares > 0 }

  /// From now on the weight changes.
  func begin() throws {
    for (target, source) in [(startA, a), (startB, b)] {
      try target.makeExclusive()
      try target.assign(source)
    }
  }

  /// `weight += lambda s (B A - B' A')` with the factors that are given.
  func update(_ weight: Tensor, from earlier: (a: Tensor, b: Tensor)) throws {
    // The small difference first: added one by one, the products would round at the weight's own size.
    let change = try Tensor.zeros(weight.shape).addingProduct(b, a, scale: 1).addingProduct(earlier.b, earlier.a, scale: -1)
    try weight.makeExclusive()
    try weight.addInPlace(change, alpha: updateRatio * scaling)
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    // The paper's branch has no dropout: without it, it takes no place among the model's either.
    let x = dropout > 0 ? try call.input.dropout(call.context.dropout(dropout)) : call.input
    return try call.y.addingLinear(x.linear(a, output: a.dtype), b, scale: scaling)
  }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) { (a, b) }

  /// Rank 2 r once the weight has begun to change.
  public func exportFactors() throws -> (a: Tensor, b: Tensor) {
    guard hasStarted, updateRatio != 0 else { return (a, b) }
    return try Autograd.noGrad {
      (try Tensor.cat([a, startA], 0), try Tensor.cat([b.mul(1 + updateRatio), startB.mul(-updateRatio)], 1))
    }
  }
}

/// Lets the weights follow the factors.
private final class DeltaLoRATraining: MethodTraining {
  private let layers: [(path: String, linear: Linear, adapter: DeltaLoRAAdapter)]
  private let startStep: Int
  /// The factors before the optimizer's step.
  private var earlier: [(weight: Tensor, adapter: DeltaLoRAAdapter, a: Tensor, b: Tensor)] = []

  init(_ attached: AttachedAdapter, startStep: Int) {
    layers = attached.linearAdapters.compactMap { path, linear, adapter in
      (adapter as? DeltaLoRAAdapter).map { (path, linear, $0) }
    }
    self.startStep = startStep
  }

  override func begin(_ place: TrainingPlace) throws {
    for (path, linear, adapter) in layers where !linear.merged.isEmpty && adapter.isTrained {
      throw EngineError(
        .argument, "delta_lora: adapter '\(linear.merged[0])' is merged into '\(path)', whose weight is to be updated",
        hint: "unmerge first")
    }
  }

  override func beforeUpdate(_ place: TrainingPlace) throws {
    earlier = []
    for (_, linear, adapter) in layers where adapter.isTrained {
      // A run that goes on with an adapter whose weights change already goes on with that, too.
      if !adapter.hasStarted {
        guard place.step > startStep else { continue }
        try adapter.begin()
      }
      earlier.append((linear.weight, adapter, try adapter.a.copy(), try adapter.b.copy()))
    }
  }

  override func afterUpdate(_ place: TrainingPlace) throws {
    try Autograd.noGrad {
      for (weight, adapter, a, b) in earlier { try adapter.update(weight, from: (a, b)) }
    }
    earlier = []
  }
}

extension Adapter {
  /// Whether anything of the adapter trains.
  var isTrained: Bool { ownParameters.contains { $0.tensor.requiresGrad } }
}
