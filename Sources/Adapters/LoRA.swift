import Checkpoints
import Diagnostics
import NN
import TensorCore

/// Low-rank adaptation: `y = W x + b + s B A dropout(x)`, `s = lora_alpha / r` (or `/ sqrt r`).
///
/// A: [r, in], B: [out, r]; both train. B starts at 0, so a fresh adapter changes nothing. Trainable: `r (in + out)`
/// for each layer. Merge: `W + s B A`.
///
/// Paper: Hu et al. 2021, arXiv 2106.09685; rank-stabilised scaling: Kalajdzievski 2023, arXiv 2312.03732.
public struct LoRA: LinearAdapterMethod {
  public static let name = "lora"
  public static let summary = "Low-rank adaptation: trains B A, added to the frozen weight."

  /// How A and B start.
  public enum InitLoRAWeights: String, FieldChoice {
    /// A Kaiming-uniform (a = sqrt 5), B zero: the authors' code, and PEFT's `true`.
    case kaiming = "true"
    /// A normal with standard deviation 1 / r, B zero.
    case gaussian
  }

  /// Rank.
  public var r = 8
  /// Numerator of the scale.
  public var loraAlpha = 8.0
  /// Dropout on the adapter's input.
  public var loraDropout = 0.0
  /// Scale by `lora_alpha / sqrt r`.
  public var useRslora = false
  public var initLoraWeights = InitLoRAWeights.kaiming
  /// Other ranks of some layers; PEFT's `rank_pattern`.
  public var rankPattern = LayerPattern<Int>()
  /// Other values of `lora_alpha` of some layers; PEFT's `alpha_pattern`.
  public var alphaPattern = LayerPattern<Double>()

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the update", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / r", in: Above(0)),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input", in: 0..<1),
    .bool("use_rslora", \.useRslora, "scale by lora_alpha / sqrt(r)"),
    .choice("init_lora_weights", \.initLoraWeights, "how A starts: \"true\" Kaiming-uniform, \"gaussian\" with deviation 1 / r"),
  ]

  public static let peftType: String? = "LORA"

  /// s of a layer with rank `r` and numerator `alpha`.
  private func scaling(_ r: Int, _ alpha: Double) -> Double {
    alpha / (useRslora ? Double(r).squareRoot() : Double(r))
  }

  public var configuration: [(key: String, value: ConfigurationValue)] {
    [
      ("r", .int(r)), ("lora_alpha", .number(loraAlpha)), ("lora_dropout", .number(loraDropout)),
      ("use_rslora", .bool(useRslora)),
      ("init_lora_weights", initLoraWeights == .kaiming ? .bool(true) : .string("gaussian")),
    ]
  }

  public static func saved(in config: HuggingFaceConfig) throws -> LoRA {
    var method = LoRA()
    method.r = try config.int("r", in: 1...)
    method.loraAlpha = try config.double("lora_alpha", in: 0...)
    method.loraDropout = try config.double("lora_dropout", in: 0..<1, default: 0)
    method.useRslora = try config.bool("use_rslora", default: false)
    if case .string(let start)? = config["init_lora_weights"] {
      // The others move part of the base weight into the adapter: without it the sum is another model.
      let harmless = ["gaussian", "orthogonal", "eva"]
      guard harmless.contains(start) else {
        throw EngineError(
          .data, "\(config.path): init_lora_weights '\(start)' changes the base model's weights and is not supported, "
            + "expected true, false or one of \(harmless.joined(separator: ", "))")
      }
      if start == "gaussian" { method.initLoraWeights = .gaussian }
    }
    method.rankPattern = try LayerPattern(config, "rank_pattern", "ranks of at least 1") {
      $0.intValue.flatMap { $0 >= 1 ? $0 : nil }
    }
    method.alphaPattern = try LayerPattern(config, "alpha_pattern", "numbers of at least 0") {
      $0.doubleValue.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
    }
    return method
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> LinearAdapter? {
    let r = rankPattern[site.path] ?? self.r
    try checkRank(r, of: linear, at: site)
    let down: Initialization = initLoraWeights == .gaussian ? .normal(std: 1 / Double(r)) : .kaimingUniform
    return LoRAAdapter(
      a: try site.parameter("lora_A.weight", [r, linear.inFeatures], down),
      b: try site.parameter("lora_B.weight", [linear.outFeatures, r], .zeros),
      scaling: scaling(r, alphaPattern[site.path] ?? loraAlpha), dropout: loraDropout)
  }
}

/// The factors of one layer.
public final class LoRAAdapter: LinearAdapter, LowRankUpdate {
  /// Down factor, [r, in].
  public let a: Tensor
  /// Up factor, [out, r].
  public let b: Tensor
  public let scaling: Double
  public override var dropout: Double { loraDropout }
  private let loraDropout: Double

  init(a: Tensor, b: Tensor, scaling: Double, dropout: Double) {
    self.a = a
    self.b = b
    self.scaling = scaling
    loraDropout = dropout
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("lora_A.weight", a), ("lora_B.weight", b)] }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) { (a, b) }

  public override func output(_ call: LinearCall) throws -> Tensor {
    let x = try call.input.dropout(call.context.dropout(dropout))
    return try call.y.addingLinear(x.linear(a, output: a.dtype), b, scale: scaling)
  }

  public override func deltaWeight() throws -> Tensor {
    try Tensor.zeros([b.shape[0], a.shape[1]]).addingProduct(b, a, scale: scaling)
  }
}

/// Throws where a rank does not fit a layer.
func checkRank(_ r: Int, of linear: Linear, at site: AdapterSite) throws {
  let limit = min(linear.inFeatures, linear.outFeatures)
  guard r >= 1, r <= limit else {
    throw EngineError(
      .argument, "r = \(r) for layer '\(site.path)' of \(linear.outFeatures) x \(linear.inFeatures): expected 1 to \(limit)")
  }
}
