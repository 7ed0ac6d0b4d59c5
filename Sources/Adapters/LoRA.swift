import Diagnostics
import Files
import NN
import TensorCore

/// Low-rank adaptation: `y = W x + b + s B A dropout(x)`, `s = lora_alpha / r` (or `/ sqrt r`).
///
/// A: [r, in], B: [out, r]; both train. B starts at 0 unless `init_lora_weights` says otherwise, so a fresh adapter changes
/// nothing. Trainable: `r (in + out)` for each layer. Merge: `W + s B A`. With `use_dora`: see `DoRAAdapter`; with
/// `init_lora_weights = "pissa"` or `"olora"`: see `ResidualLoRAAdapter`.
///
/// Paper: Hu et al. 2021, arXiv 2106.09685; rank-stabilised scaling: Kalajdzievski 2023, arXiv 2312.03732.
public struct LoRA: HasLayerPatterns, OmitsParameters, ChecksFolder {
  public static let name = "lora"
  public static let summary = "Low-rank adaptation: trains B A, added to the frozen weight."

  /// Rank.
  public var r = 8
  /// Numerator of the scale.
  public var loraAlpha = 8.0
  /// Dropout on the adapter's input.
  public var loraDropout = 0.0
  /// Scale by `lora_alpha / sqrt r`.
  public var useRslora = false
  /// Train the magnitude of each output apart from its direction.
  public var useDora = false
  public var initLoraWeights = LoRAStart.kaiming
  /// Other ranks of some layers; PEFT's `rank_pattern`.
  public var rankPattern = LayerPattern<Int>()
  /// Other values of `lora_alpha` of some layers; PEFT's `alpha_pattern`.
  public var alphaPattern = LayerPattern<Double>()

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the update", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / r", in: Above(0)),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input", in: 0..<1).saved(optional: true),
    .value("use_rslora", \.useRslora, "scale by lora_alpha / sqrt(r)").saved(optional: true),
    .value("use_dora", \.useDora, "DoRA: train the magnitude of each output apart from its direction").saved(optional: true),
    .value(
      "init_lora_weights", \.initLoraWeights,
      "how A and B start: true A Kaiming-uniform and B zero, \"gaussian\" A with deviation 1 / r, false both random, "
        + "\"orthogonal\", \"pissa\", \"pissa_niter_N\" or \"olora\" from the weight"
    ).saved(optional: true),
    .value("rank_pattern", \.rankPattern, "other ranks of some layers, by regular expressions for the end of their paths").saved(optional: true),
    .value("alpha_pattern", \.alphaPattern, "other lora_alpha of some layers, by regular expressions for the end of their paths").saved(
      optional: true),
  ]

  public func validate() throws(EngineError) {
    if useDora, initLoraWeights.isResidual {
      throw EngineError(
        .argument, "use_dora with init_lora_weights = '\(initLoraWeights.word)': DoRA's magnitudes are those of the whole weight",
        hint: "use one of them")
    }
    try checkPatterns()
  }

  public static let peftType: String? = "LORA"
  public var freshEqualsBase: Bool { initLoraWeights != .random }
  /// What the weight's decomposition gives is computed again, unless it was drawn.
  public func omits(_ parameter: String) -> Bool {
    parameter.hasSuffix(ResidualLoRAAdapter.startSuffix) && !initLoraWeights.isDrawn
  }

  /// s of a layer with rank `r` and numerator `alpha`.
  private func scaling(_ r: Int, _ alpha: Double) -> Double {
    alpha / (useRslora ? Double(r).squareRoot() : Double(r))
  }

  /// Starts of PEFT that leave the weight alone, and whose values the folder has.
  public static func meaning(of value: JSONValue, for option: String) -> JSONValue {
    option == "init_lora_weights" && ["eva", "mica"].contains(value) ? true : value
  }

  public func check(tensors: [String]) throws {
    guard initLoraWeights.isDrawn, !tensors.contains(where: { $0.hasSuffix(ResidualLoRAAdapter.startSuffix) }) else { return }
    throw EngineError(
      .data, "init_lora_weights '\(initLoraWeights.word)': the folder lacks the random part of the weight that the adapter was trained beside",
      hint: "convert it where it was trained: save_pretrained(..., path_initial_model_for_weight_conversion=...)")
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    let lora = try makeFactors(for: linear, at: site, trainsA: true)
    if useDora { return try DoRAAdapter(lora, of: linear, at: site) }
    guard initLoraWeights.isResidual else { return lora }
    return try ResidualLoRAAdapter(lora, initLoraWeights, of: linear, at: site)
  }

  /// A and B of one layer as they start, but for what `ResidualLoRAAdapter` makes of them.
  func makeFactors(for linear: Linear, at site: AdapterSite, trainsA: Bool) throws -> LoRAAdapter {
    let r = rankPattern[site.path] ?? self.r
    try checkRank(r, of: linear, at: site)
    let (a, b) = try initLoraWeights.factors(r, of: linear, at: site)
    return LoRAAdapter(
      a: a, b: b, scaling: scaling(r, alphaPattern[site.path] ?? loraAlpha), dropout: loraDropout, trainsA: trainsA)
  }
}

/// The factors of one layer.
public final class LoRAAdapter: Adapter, LowRankUpdate, RankedAdapter {
  /// Down factor, [r, in].
  public let a: Tensor
  /// Up factor, [out, r].
  public let b: Tensor
  public let scaling: Double
  public override var dropout: Double { loraDropout }
  private let loraDropout: Double
  private let trainsA: Bool

  init(a: Tensor, b: Tensor, scaling: Double, dropout: Double, trainsA: Bool = true) {
    self.a = a
    self.b = b
    self.scaling = scaling
    loraDropout = dropout
    self.trainsA = trainsA
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("lora_A.weight", a), ("lora_B.weight", b)] }
  public override var frozenParameters: [String] { trainsA ? [] : ["lora_A.weight"] }

  public var rank: Int { a.shape[0] }
  public func loraFactors() throws -> (a: Tensor, b: Tensor) { (a, b) }

  public func output(_ call: LinearCall) throws -> Tensor {
    // A frozen A saves no input: what is kept then is A x, r numbers for each token.
    let x = try call.input.dropout(call.context.dropout(dropout))
    return try call.y.addingLinear(x.linear(a, output: a.dtype), b, scale: scaling)
  }
}
