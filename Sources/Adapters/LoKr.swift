import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// Low-rank Kronecker product: `y = W x + b + s kron(w1, w2) x`, `s = alpha / r`.
///
/// With `out = l k` and `in = m n` (each split as evenly as whole numbers allow, or with `decompose_factor` first), w1 is [l, m] and
/// w2 [k, n]. w2 is a product [k, r] [r, n] where r is less than half of its larger side; w1 likewise, with `decompose_both`. All
/// train. w1 (or its left factor) starts at 0, the rest Kaiming-uniform, so a fresh adapter changes nothing. Merge:
/// `W + s kron(w1, w2)`.
///
/// Paper: Yeh et al. 2023, arXiv 2309.14859.
public struct LoKr: HasLayerPatterns {
  public static let name = "lokr"
  public static let summary = "Trains a Kronecker product of a small matrix and a low-rank one."

  /// Rank of the factors that are products.
  public var r = 8
  /// Numerator of the scale.
  public var alpha = 8.0
  /// Make the small matrix a product too.
  public var decomposeBoth = false
  /// First factor of both sizes; nil: as near to the root as whole numbers allow.
  public var decomposeFactor: Int?
  /// Start with a zero factor; else all are random, and the fresh adapter changes the model.
  public var initWeights = true
  /// Other ranks of some layers; PEFT's `rank_pattern`.
  public var rankPattern = LayerPattern<Int>()
  /// Other values of `alpha` of some layers; PEFT's `alpha_pattern`.
  public var alphaPattern = LayerPattern<Double>()

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the factors that are products", in: 1...65_536),
    .float("alpha", \.alpha, "numerator of the scale alpha / r", in: Above(0)),
    .value("decompose_both", \.decomposeBoth, "make the small matrix a product too, where r is less than half of its larger side").saved(
      optional: true),
    .int("decompose_factor", \.decomposeFactor, "first factor of a layer's sizes, or the largest below; default: near their roots", in: 1...)
      .saved(optional: true) { $0.decomposeFactor ?? -1 },
    .value("init_weights", \.initWeights, "start with a zero factor, so that the fresh adapter changes nothing").saved(optional: true),
    .value("rank_pattern", \.rankPattern, "other ranks of some layers, by regular expressions for the end of their paths").saved(optional: true),
    .value("alpha_pattern", \.alphaPattern, "other alpha of some layers, by regular expressions for the end of their paths").saved(optional: true),
  ]

  public static let peftType: String? = "LOKR"
  public static var keysUnknownToPEFT: [String] { ["bias", "fan_in_fan_out"] }
  public var freshEqualsBase: Bool { initWeights }

  public static let otherKeys = rankDropouts + ["rank_dropout_scale"]

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    for key in rankDropouts { configuration[key] = 0 }
    configuration["rank_dropout_scale"] = false
  }

  /// -1 is PEFT's word for no factor; its third start, "lycoris", has another zero factor.
  public static func meaning(of value: JSONValue, for option: String) -> JSONValue {
    switch (option, value) {
    case ("decompose_factor", -1): .null
    case ("init_weights", "lycoris"): true
    default: value
    }
  }

  public func adopt(_ config: HuggingFaceConfig) throws { try refuseRankDropout(config) }

  /// `size` as a product, the first factor at most the second; `first` divides it, or is the most that the first factor may be.
  static func split(_ size: Int, first: Int?) -> (Int, Int) {
    if let first, size % first == 0 { return (first, size / first) }
    var best = 1
    var candidate = 1
    while candidate * candidate <= size, candidate <= first ?? size {
      if size % candidate == 0 { best = candidate }
      candidate += 1
    }
    return (best, size / best)
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    let r = try checkedRank(rankPattern[site.path] ?? self.r, at: site)
    let (l, k) = Self.split(linear.outFeatures, first: decomposeFactor)
    let (m, n) = Self.split(linear.inFeatures, first: decomposeFactor)
    func isProduct(_ rows: Int, _ columns: Int) -> Bool { 2 * r < max(rows, columns) }
    func factors(_ name: String, _ rows: Int, _ columns: Int, isProduct: Bool, isZero: Bool) throws -> [(name: String, tensor: Tensor)] {
      let start: Initialization = isZero ? .zeros : .kaimingUniform
      guard isProduct else { return [(name, try site.parameter(name, [rows, columns], start))] }
      return [
        (name + "_a", try site.parameter(name + "_a", [rows, r], start)),
        (name + "_b", try site.parameter(name + "_b", [r, columns], .kaimingUniform)),
      ]
    }
    return LoKrAdapter(
      w1: try factors("lokr_w1", l, m, isProduct: decomposeBoth && isProduct(l, m), isZero: initWeights),
      w2: try factors("lokr_w2", k, n, isProduct: isProduct(k, n), isZero: false),
      rank: r, scaling: (alphaPattern[site.path] ?? alpha) / Double(r))
  }
}

/// The factors of one layer.
public final class LoKrAdapter: Adapter, SummedAdapter, RankedAdapter {
  /// One matrix, or two whose product it is.
  private let w1: [(name: String, tensor: Tensor)]
  private let w2: [(name: String, tensor: Tensor)]
  public let rank: Int
  public let scaling: Double

  init(w1: [(name: String, tensor: Tensor)], w2: [(name: String, tensor: Tensor)], rank: Int, scaling: Double) {
    self.w1 = w1
    self.w2 = w2
    self.rank = rank
    self.scaling = scaling
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { w1 + w2 }

  private static func matrix(_ factors: [(name: String, tensor: Tensor)]) throws -> Tensor {
    try factors.count == 1 ? factors[0].tensor : factors[0].tensor.matmul(factors[1].tensor)
  }

  /// The update without its scale, [out, in].
  private func product() throws -> Tensor {
    let (small, large) = (try Self.matrix(w1), try Self.matrix(w2))
    let (l, m, k, n) = (small.shape[0], small.shape[1], large.shape[0], large.shape[1])
    return try small.reshape([l, 1, m, 1]).mul(large.reshape([1, k, 1, n])).reshape([l * k, m * n])
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    try call.y.addingLinear(call.input.to(.float32), product(), scale: scaling)
  }

  public func deltaWeight() throws -> Tensor { try product().mul(scaling) }
}
