import Diagnostics
import Files
import NN
import TensorCore

/// Vector-based random matrix adaptation: `y = W x + b + lambda_b * (B (lambda_d * (A dropout(x))))`.
///
/// A: [r, largest in] and B: [largest out, r] are random, frozen and one pair for all layers; a layer uses `A[:, :in]` and
/// `B[:out]`. lambda_d: [r], starts at `d_initial`; lambda_b: [out], starts at 0: a fresh adapter changes nothing. Trainable:
/// `out + r` for each layer. Merge: `W + diag(lambda_b) B diag(lambda_d) A`. As a plain LoRA: `A' = diag(lambda_d) A`,
/// `B' = diag(lambda_b) B`, `lora_alpha = r`.
///
/// A and B are uniform on ±sqrt(6 / fan in), drawn as torch draws them from `projection_prng_key`: a PEFT folder without
/// them (`save_projection = false`) has the same.
///
/// Paper: Kopiczko et al. 2024, arXiv 2310.11454.
public struct VeRA: LinearAdapterMethod, OmitsParameters {
  public static let name = "vera"
  public static let summary = "Trains two vectors around random frozen factors that all layers share."

  /// Rank of the shared factors; may be larger than a layer.
  public var r = 256
  /// Seed of the shared factors.
  public var projectionPrngKey = 0
  /// Whether folders hold the shared factors.
  public var saveProjection = true
  /// Dropout on the adapter's input.
  public var veraDropout = 0.0
  /// Start of lambda_d.
  public var dInitial = 0.1

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the shared factors", in: 1...65_536),
    .int("projection_prng_key", \.projectionPrngKey, "seed of the shared factors, as torch's generator takes it", in: 0...).saved(optional: true),
    .value("save_projection", \.saveProjection, "save the shared factors too; without them a reader draws them again").saved(optional: true),
    .float("vera_dropout", \.veraDropout, "dropout on the adapter's input", in: 0..<1).saved(optional: true),
    .float("d_initial", \.dInitial, "start of lambda_d").saved(optional: true),
  ]

  public static let peftType: String? = "VERA"
  public static let onlyTargetBiases = "vera_only"
  static let shared = (a: "vera_A", b: "vera_B")

  public static func folderName(of parameter: String) -> String {
    // PEFT keeps them beside the model, not in it.
    parameter == shared.a || parameter == shared.b ? "base_model." + parameter : AdapterFolder.prefix + parameter
  }

  public func omits(_ parameter: String) -> Bool {
    !saveProjection && (parameter == Self.shared.a || parameter == Self.shared.b)
  }

  public static let otherKeys = ["init_weights"]
  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) { configuration["init_weights"] = true }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    let linears = site.hosts.compactMap { $0 as? Linear }
    let aShape = [r, linears.map(\.inFeatures).max() ?? linear.inFeatures]
    let bShape = [linears.map(\.outFeatures).max() ?? linear.outFeatures, r]
    // One generator draws A, then B.
    var generator = TorchRandom(seed: UInt64(projectionPrngKey))
    func draw(_ shape: [Int]) throws -> Tensor {
      let bound = (6 / Double(shape[1])).squareRoot()
      return try generator.uniform(shape, low: -bound, high: bound)
    }
    let a = try site.sharedParameter(Self.shared.a, aShape, trains: false) { try draw(aShape) }
    let b = try site.sharedParameter(Self.shared.b, bShape, trains: false) { try draw(bShape) }
    let d = try site.parameter("vera_lambda_d", [r], .constant(dInitial))
    return VeRAAdapter(
      a: a, b: b, lambdaB: try site.parameter("vera_lambda_b", [linear.outFeatures], .zeros), lambdaD: d,
      inFeatures: linear.inFeatures, dropout: veraDropout)
  }
}

/// The vectors of one layer, and the factors that it shares with the others.
public final class VeRAAdapter: Adapter, LowRankUpdate {
  /// The shared factors, at least [r, in] and [out, r].
  private let a: Tensor
  private let b: Tensor
  /// [out].
  public let lambdaB: Tensor
  /// [r].
  public let lambdaD: Tensor
  private let inFeatures: Int
  private let veraDropout: Double
  public override var dropout: Double { veraDropout }
  public var scaling: Double { 1 }

  init(a: Tensor, b: Tensor, lambdaB: Tensor, lambdaD: Tensor, inFeatures: Int, dropout: Double) {
    self.a = a
    self.b = b
    self.lambdaB = lambdaB
    self.lambdaD = lambdaD
    self.inFeatures = inFeatures
    veraDropout = dropout
  }

  public override var borrowedParameters: [Tensor] { [a, b] }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("vera_lambda_b", lambdaB), ("vera_lambda_d", lambdaD)]
  }

  /// This layer's parts of the shared factors.
  private func factors() throws -> (a: Tensor, b: Tensor) {
    let out = lambdaB.shape[0]
    return (
      a.shape[1] == inFeatures ? a : try a.slice(1, 0, inFeatures), b.shape[0] == out ? b : try b.slice(0, 0, out)
    )
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    let (a, b) = try factors()
    let x = try call.input.dropout(call.context.dropout(dropout))
    let update = try x.linear(a, output: a.dtype).mul(lambdaD).linear(b).mul(lambdaB)
    return try call.y.add(update).to(call.y.dtype)
  }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) {
    let (a, b) = try factors()
    return try Autograd.noGrad { (try a.mul(lambdaD.unsqueeze(1)), try b.mul(lambdaB.unsqueeze(1))) }
  }
}
