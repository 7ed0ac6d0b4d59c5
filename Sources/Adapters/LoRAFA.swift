import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// LoRA with a frozen A: `y = W x + b + s B A dropout(x)`, `s = lora_alpha / r`.
///
/// A: [r, in], Kaiming-uniform, frozen; B: [out, r], zero, trains. For the backward pass a layer keeps `A x`, r numbers for each
/// token, and not x. Trainable: `r out` for each layer. Merge and folder: those of a LoRA.
///
/// `variant = "projected"`: before each update, B's gradient becomes `g (A A^T + 1e-8 I)^-1 / s^2`, which makes the step of B A
/// the nearest to full fine-tuning's. Its authors use AdamW with eps 1e-6 and without weight decay there.
///
/// Paper: Zhang et al. 2023, arXiv 2308.03303; the projection is its later version's.
public struct LoRAFA: LinearAdapterMethod, ActsInTraining {
  public static let name = "lora_fa"
  public static let summary = "LoRA with a frozen random A: trains only B, and keeps r numbers of each input."

  public enum Variant: String, FieldChoice {
    public static var typeName: String { "LoRAFAVariant" }
    case plain
    case projected
  }

  /// Rank.
  public var r = 8
  /// Numerator of the scale.
  public var loraAlpha = 8.0
  /// Dropout on the adapter's input.
  public var loraDropout = 0.0
  /// Scale by `lora_alpha / sqrt r`.
  public var useRslora = false
  public var variant = Variant.plain
  /// Ranks and scales of some layers, from a folder.
  private var patterns = LoRA()

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the update", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / r", in: Above(0)),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input", in: 0..<1).saved(optional: true),
    .value("use_rslora", \.useRslora, "scale by lora_alpha / sqrt(r)").saved(optional: true),
    .value("variant", \.variant, "B's gradient as it is, or projected with the inverse of A A^T").saved(.ownFile, optional: true),
  ]

  /// The LoRA whose B trains.
  private var lora: LoRA {
    var lora = patterns
    (lora.r, lora.loraAlpha, lora.loraDropout, lora.useRslora) = (r, loraAlpha, loraDropout, useRslora)
    return lora
  }

  public static let peftType: String? = LoRA.peftType

  public static let otherKeys = ["use_dora"]

  /// PEFT's folders are a LoRA's: ranks and scales of some layers, and how the factors started.
  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    patterns = try LoRA(saved: config)
    guard !patterns.useDora, !patterns.initLoraWeights.isResidual else {
      throw EngineError(.data, "\(config.path): use_dora and init_lora_weights '\(patterns.initLoraWeights.word)' do not go with lora_fa")
    }
  }

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    for (key, value) in lora.options.members where configuration[key] == nil { configuration[key] = value }
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    try lora.makeFactors(for: linear, at: site, trainsA: false)
  }

  public func makeTraining(for attached: AttachedAdapter) -> MethodTraining? {
    variant == .projected ? ProjectedTraining(attached.linearAdapters.compactMap { $0.adapter as? LoRAAdapter }) : nil
  }
}

/// Multiplies the gradients of B by `(A A^T + delta I)^-1 / s^2`.
private final class ProjectedTraining: MethodTraining {
  private let adapters: [LoRAAdapter]
  /// The factors, which stay as they are: A is frozen.
  private var projections: [Tensor] = []
  private static let delta = 1e-8

  init(_ adapters: [LoRAAdapter]) { self.adapters = adapters }

  override func begin(_ place: TrainingPlace) throws {
    projections = try Autograd.noGrad {
      try adapters.map { adapter in
        let a = try adapter.a.to(.float64)
        let gram = try a.matmul(a.permute([1, 0])).add(Tensor.eye(adapter.rank, .float64).mul(Self.delta))
        return try gram.inverse().mul(1 / (adapter.scaling * adapter.scaling)).to(.float32)
      }
    }
  }

  override func beforeUpdate(_ place: TrainingPlace) throws {
    try Autograd.noGrad {
      for (adapter, projection) in zip(adapters, projections) {
        guard let gradient = adapter.b.grad else { continue }
        adapter.b.grad = try gradient.matmul(projection)
      }
    }
  }
}
