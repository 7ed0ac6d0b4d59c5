import Diagnostics
import NN
import TensorCore

/// Decomposition-based LoRA: `y = W x + b + s B Sigma A x` with frozen A and B, `s = lora_alpha / r`.
///
/// A: [r, in], B: [out, r], Sigma: [r, r], or a diagonal of [r]. With random A and B, Sigma starts at 0, so that a fresh
/// adapter changes nothing and still has a gradient. Over a trained LoRA, A and B are that adapter's and Sigma starts at
/// the identity, so that the model starts where the LoRA left it; it takes the LoRA's place. Trainable: `r^2`, or `r`, for
/// each layer. Merge: `W + s B Sigma A`. As a plain LoRA: `A' = Sigma A`, `B' = B`.
///
/// Another method than the one that PEFT calls DeLoRA. See `docs/methods.md`.
public struct DeLoRA: BuildsOnAdapter {
  public static let name = "delora"
  public static let summary = "Decomposition-based LoRA: trains only Sigma between frozen A and B."

  public enum Sigma: String, FieldChoice {
    case full
    case diagonal
  }

  /// How A and B start, without `over`.
  public enum Init: String, FieldChoice {
    /// Uniform on ±1/sqrt(fan in), as LoRA initialises A.
    case kaimingUniform = "kaiming_uniform"
    /// Normal with standard deviation 1 / sqrt(fan in).
    case normal
  }

  /// Rank; that of the LoRA, with `over`.
  public var r = 8
  /// Numerator of the scale; nil: 2 r, as in the paper.
  public var loraAlpha: Double?
  public var sigma = Sigma.full
  public var initWeights = Init.kaimingUniform
  /// Name of the LoRA adapter to build on.
  public var over: String?

  public init() {}

  public static let baseMethod: any AdapterMethod.Type = LoRA.self
  public static func isBase(_ adapter: Adapter) -> Bool { adapter is LoRAAdapter }

  public var underlying: (any AdapterMethod)? {
    guard over != nil else { return nil }
    var lora = LoRA()
    (lora.r, lora.loraAlpha) = (r, loraAlpha ?? 2 * Double(r))
    return lora
  }

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank; that of the LoRA, with over", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / r; default: 2 r, or that of the LoRA", in: Above(0))
      .saved { $0.loraAlpha ?? 2 * Double($0.r) },
    .value("sigma", \.sigma, "what trains between the factors: a full matrix, or a diagonal"),
    .value("init_weights", \.initWeights, "how the frozen factors start, without over").saved(optional: true),
    .value("over", \.over, "name of the LoRA adapter to build on; Sigma then starts at the identity").saved(optional: true),
  ]

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    if let over {
      guard let lora = site.base as? LoRAAdapter else {
        throw EngineError(.argument, "delora: over = '\(over)': the adapter of layer '\(site.path)' is not a LoRA")
      }
      let r = lora.a.shape[0]
      let start = try site.parameter("delora_sigma", sigma == .full ? [r, r] : [r]) { try sigma == .full ? .eye(r) : .ones([r]) }
      return DeLoRAAdapter(a: lora.a, b: lora.b, names: ("lora_A.weight", "lora_B.weight"), sigma: start, scaling: lora.scaling)
    }
    try checkRank(r, of: linear, at: site)
    func frozen(_ name: String, _ shape: [Int]) throws -> Tensor {
      try site.parameter(name, shape, initWeights == .normal ? .normal(std: 1 / Double(shape[1]).squareRoot()) : .kaimingUniform)
    }
    return DeLoRAAdapter(
      a: try frozen("delora_A", [r, linear.inFeatures]), b: try frozen("delora_B", [linear.outFeatures, r]),
      names: ("delora_A", "delora_B"),
      sigma: try site.parameter("delora_sigma", sigma == .full ? [r, r] : [r], .zeros),
      scaling: (loraAlpha ?? 2 * Double(r)) / Double(r))
  }
}

/// The factors of one layer.
public final class DeLoRAAdapter: Adapter, LowRankUpdate, RankedAdapter {
  /// Frozen down factor, [r, in].
  public let a: Tensor
  /// Frozen up factor, [out, r].
  public let b: Tensor
  /// What trains: [r, r] or [r].
  public let sigma: Tensor
  public let scaling: Double

  /// What the frozen factors are called: a LoRA's keep their names.
  private let names: (a: String, b: String)

  init(a: Tensor, b: Tensor, names: (a: String, b: String), sigma: Tensor, scaling: Double) {
    self.a = a
    self.b = b
    self.names = names
    self.sigma = sigma
    self.scaling = scaling
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [(names.a, a), (names.b, b), ("delora_sigma", sigma)]
  }

  /// A and B stay as they are.
  public override var frozenParameters: [String] { [names.a, names.b] }

  public var rank: Int { a.shape[0] }

  private func sigmaMatrix() throws -> Tensor { sigma.rank == 1 ? try sigma.diagonalMatrix() : sigma }

  public func output(_ call: LinearCall) throws -> Tensor {
    // A and B are frozen: the only activation that is kept is A x, r numbers for each token.
    try call.y.addingLinear(call.input.linear(a, output: a.dtype).linear(sigmaMatrix()), b, scale: scaling)
  }

  /// `A' = Sigma A` and `B' = B`, under the same scale.
  public func loraFactors() throws -> (a: Tensor, b: Tensor) {
    try Autograd.noGrad { (try Tensor.zeros(a.shape).addingProduct(sigmaMatrix(), a, scale: 1), b) }
  }
}
