import Diagnostics
import NN
import TensorCore

/// LoRA-Mini: `y = W x + c + B_aux B A A_aux x`, four factors of which the outer two are frozen and random.
///
/// A_aux: [a, in], frozen; A: [r, a] and B: [b, r], trained; B_aux: [out, b], frozen. Trainable: `r (a + b)` for each layer,
/// whatever its size, and the last matrix of the head. All start Kaiming-uniform, as in the paper, so that a fresh adapter
/// changes the model by noise of deviation 1 / (9 sqrt in) in each element of the weight; with `init = "zero_up"`, B starts at 0.
/// Merge: `W + B_aux B A A_aux`. As a plain LoRA: `A' = A A_aux`, `B' = B_aux B`, `lora_alpha = r`.
///
/// `targets` are the paper's: "D", every dense layer (of the encoder, and of pooler or head), or "D+A", query, key and value too.
/// `target_modules` and `modules_to_save` take the place of what it chooses.
///
/// Paper: Singh et al. 2024, arXiv 2411.15804. It states no scale: there is none.
public struct LoRAMini: LinearAdapterMethod, ChoosesTargets {
  public static let name = "lora_mini"
  public static let summary = "LoRA between frozen outer factors: trains r (a + b) numbers for each layer."

  public enum Targets: String, FieldChoice {
    public static var typeName: String { "LoRAMiniTargets" }
    /// Dense layers.
    case dense = "D"
    /// Dense layers and attention's projections.
    case denseAndAttention = "D+A"
  }

  public enum Init: String, FieldChoice {
    public static var typeName: String { "LoRAMiniInit" }
    case kaimingAll = "kaiming_all"
    case zeroUp = "zero_up"
  }

  /// Rank.
  public var r = 8
  /// Width after the frozen down factor.
  public var a = 64
  /// Width before the frozen up factor.
  public var b = 64
  public var targets = Targets.dense
  public var initWeights = Init.kaimingAll

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the update", in: 1...65_536),
    .int("a", \.a, "width after the frozen down factor", in: 1...65_536),
    .int("b", \.b, "width before the frozen up factor", in: 1...65_536),
    .value("targets", \.targets, "dense layers, or attention's too; target_modules and modules_to_save come first").saved(.nowhere),
    .value("init", \.initWeights, "all factors Kaiming-uniform, or the trained up factor zero").saved(optional: true),
  ]

  public var freshEqualsBase: Bool { initWeights == .zeroUp }
  public var adaptsHead: Bool { true }

  public func completed(_ given: AdapterTargets, linears: [(path: String, linear: Linear)], head: [String]) -> AdapterTargets {
    var result = given
    if result.targetModules == nil {
      let dense: [Role?] = [.attentionOutput, .up, .gate, .down, nil]
      result.targetModules = .roles(targets == .dense ? dense : [.query, .key, .value, .fused] + dense)
    }
    // The last layer of a head that scores; a language model's head has none of its own, and trains whole.
    let last = linears.last { path, linear in
      linear.role == .head && !linear.isTied && head.contains { AttachedAdapter.isInside(path, $0) }
    }
    if result.modulesToSave == nil, let last { result.modulesToSave = [last.path] }
    return result
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    func factor(_ name: String, _ rows: Int, _ columns: Int, isZero: Bool = false) throws -> Tensor {
      try site.parameter(name, [rows, columns], isZero ? .zeros : .kaimingUniform)
    }
    return LoRAMiniAdapter(
      aAux: try factor("mini_A_aux", a, linear.inFeatures), a: try factor("mini_A", r, a),
      b: try factor("mini_B", b, r, isZero: initWeights == .zeroUp), bAux: try factor("mini_B_aux", linear.outFeatures, b))
  }
}

/// The factors of one layer.
public final class LoRAMiniAdapter: Adapter, LowRankUpdate {
  /// Frozen, [a, in].
  private let aAux: Tensor
  /// [r, a].
  private let a: Tensor
  /// [b, r].
  private let b: Tensor
  /// Frozen, [out, b].
  private let bAux: Tensor
  public var scaling: Double { 1 }

  init(aAux: Tensor, a: Tensor, b: Tensor, bAux: Tensor) {
    self.aAux = aAux
    self.a = a
    self.b = b
    self.bAux = bAux
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("mini_A_aux", aAux), ("mini_A", a), ("mini_B", b), ("mini_B_aux", bAux)]
  }
  public override var frozenParameters: [String] { ["mini_A_aux", "mini_B_aux"] }

  public func output(_ call: LinearCall) throws -> Tensor {
    let inner = try call.input.linear(aAux, output: aAux.dtype).linear(a).linear(b)
    return try call.y.addingLinear(inner, bAux, scale: 1)
  }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) {
    try Autograd.noGrad { (try a.matmul(aAux), try bAux.matmul(b)) }
  }
}
