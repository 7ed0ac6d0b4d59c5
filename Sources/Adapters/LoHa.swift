import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// Low-rank Hadamard product: `y = W x + b + s ((w1_a w1_b) * (w2_a w2_b)) x`, `s = alpha / r`, where `*` is element by element.
///
/// w1_a, w2_a: [out, r]; w1_b, w2_b: [r, in]; all train. All start Kaiming-uniform but w2_b, which is 0, so a fresh adapter
/// changes nothing. Trainable: `2 r (in + out)` for each layer. Merge: `W + s (w1_a w1_b) * (w2_a w2_b)`, which has rank r^2 at
/// most: as a plain LoRA of that rank, row (i, j) of A' is `w1_b[i] * w2_b[j]` and column (i, j) of B' `w1_a[:, i] * w2_a[:, j]`.
///
/// Papers: Hyeon-Woo et al. 2022 (FedPara), arXiv 2108.06098; as LoHa in Yeh et al. 2023, arXiv 2309.14859.
public struct LoHa: HasLayerPatterns {
  public static let name = "loha"
  public static let summary = "Trains the element-wise product of two low-rank products, of rank r^2."

  /// Rank of each product.
  public var r = 8
  /// Numerator of the scale.
  public var alpha = 8.0
  /// Start with a zero factor; else all are random, and the fresh adapter changes the model.
  public var initWeights = true
  /// Other ranks of some layers; PEFT's `rank_pattern`.
  public var rankPattern = LayerPattern<Int>()
  /// Other values of `alpha` of some layers; PEFT's `alpha_pattern`.
  public var alphaPattern = LayerPattern<Double>()

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of each of the two products", in: 1...65_536),
    .float("alpha", \.alpha, "numerator of the scale alpha / r", in: Above(0)),
    .value("init_weights", \.initWeights, "start with a zero factor, so that the fresh adapter changes nothing").saved(optional: true),
    .value("rank_pattern", \.rankPattern, "other ranks of some layers, by regular expressions for the end of their paths").saved(optional: true),
    .value("alpha_pattern", \.alphaPattern, "other alpha of some layers, by regular expressions for the end of their paths").saved(optional: true),
  ]

  public static let peftType: String? = "LOHA"
  public static var keysUnknownToPEFT: [String] { ["bias", "fan_in_fan_out"] }
  public var freshEqualsBase: Bool { initWeights }

  public static let otherKeys = rankDropouts

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    for key in rankDropouts { configuration[key] = 0 }
  }

  public func adopt(_ config: HuggingFaceConfig) throws { try refuseRankDropout(config) }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    let r = try checkedRank(rankPattern[site.path] ?? self.r, at: site)
    func factor(_ name: String, _ rows: Int, _ columns: Int, isZero: Bool = false) throws -> Tensor {
      try site.parameter(name, [rows, columns], isZero ? .zeros : .kaimingUniform)
    }
    let (out, width) = (linear.outFeatures, linear.inFeatures)
    return LoHaAdapter(
      w1: (try factor("hada_w1_a", out, r), try factor("hada_w1_b", r, width)),
      w2: (try factor("hada_w2_a", out, r), try factor("hada_w2_b", r, width, isZero: initWeights)),
      scaling: (alphaPattern[site.path] ?? alpha) / Double(r))
  }
}

/// The factors of one layer.
public final class LoHaAdapter: Adapter, LowRankUpdate, RankedAdapter {
  /// [out, r] and [r, in].
  private let w1: (a: Tensor, b: Tensor)
  private let w2: (a: Tensor, b: Tensor)
  public let scaling: Double

  init(w1: (a: Tensor, b: Tensor), w2: (a: Tensor, b: Tensor), scaling: Double) {
    self.w1 = w1
    self.w2 = w2
    self.scaling = scaling
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("hada_w1_a", w1.a), ("hada_w1_b", w1.b), ("hada_w2_a", w2.a), ("hada_w2_b", w2.b)]
  }

  public var rank: Int { w1.b.shape[0] }

  /// The update without its scale, [out, in].
  private func product() throws -> Tensor { try w1.a.matmul(w1.b).mul(w2.a.matmul(w2.b)) }

  public func output(_ call: LinearCall) throws -> Tensor {
    try call.y.addingLinear(call.input.to(w1.a.dtype), product(), scale: scaling)
  }

  public func deltaWeight() throws -> Tensor { try product().mul(scaling) }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) {
    try Autograd.noGrad {
      let (r, out, width) = (rank, w1.a.shape[0], w1.b.shape[1])
      let a = try w1.b.unsqueeze(1).mul(w2.b.unsqueeze(0)).reshape([r * r, width])
      let b = try w1.a.unsqueeze(2).mul(w2.a.unsqueeze(1)).reshape([out, r * r])
      return (a, b)
    }
  }
}

/// The dropouts of PEFT's LyCORIS methods, which are not there.
let rankDropouts = ["rank_dropout", "module_dropout"]

/// Throws where a folder has them.
func refuseRankDropout(_ config: HuggingFaceConfig) throws {
  for key in rankDropouts {
    let value = try config.double(key, in: 0...1, default: 0)
    guard value == 0 else { throw EngineError(.data, "\(config.path): \(key) = \(value) is not supported, expected 0") }
  }
}

/// A rank that may be larger than the layer. Throws below 1.
func checkedRank(_ r: Int, at site: AdapterSite) throws -> Int {
  guard (1...65_536).contains(r) else {
    throw EngineError(.argument, "r = \(r) for layer '\(site.path)': expected 1 to 65536")
  }
  return r
}
