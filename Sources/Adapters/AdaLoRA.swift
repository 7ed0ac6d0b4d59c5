import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// AdaLoRA: an update in the form of a singular value decomposition, whose ranks are given to the layers that need them.
///
/// `y = W x + b + s B (E * (A dropout(x)))`, `s = lora_alpha / (init_r + 1e-5)`, also after ranks were cut. A: [r, in], B: [out, r],
/// both normal with deviation 0.02; E: [r, 1], 0. The loss gets `orth_reg_weight * R`, which keeps A and B near orthogonal. After
/// each update, every number's importance `|w g|` is averaged, with its uncertainty; from step `tinit` on, every `deltaT`
/// steps, the singular values of the least important triplets are set to 0, until in all layers together
/// `target_r` for each layer are left; the last `tfinal` steps change no ranks. `docs/methods.md` has the formulas, and what
/// `definition` decides.
///
/// Trainable: `init_r (in + out + 1)` for each layer. Merge: `W + s B diag(E) A`. As a plain LoRA: `A' = diag(E) A` of the
/// triplets that are left, under the same s.
///
/// Paper: Zhang et al. 2023, arXiv 2303.10512.
public struct AdaLoRA: LinearAdapterMethod, ChangesFrozenParameters, OmitsParameters, SavesResult {
  public static let name = "adalora"
  public static let summary = "AdaLoRA: ranks move to the layers where they matter most."

  /// Whose formulas, where they differ.
  public enum Definition: String, FieldChoice {
    /// The authors' code: R is the mean over matrices of the norm; importance with the weights after the update; in the
    /// last phase the least important triplets, by scores that no longer change, are cut after every step.
    case code
    /// R is the sum of squared norms, importance is that of the weights before the update, and the budget falls as in
    /// equation 14.
    case paper
    /// PEFT: as the code, but the last phase keeps the triplets that its first step chose.
    case peft
  }

  /// Rank of each layer at first.
  public var initR = 12
  /// Mean rank of the layers at last.
  public var targetR = 8
  public var loraAlpha = 8.0
  public var loraDropout = 0.0
  /// Steps before the first cut.
  public var tinit = 0
  /// Steps after the last change of ranks.
  public var tfinal = 0
  /// Steps between cuts.
  public var deltaT = 1
  public var beta1 = 0.85
  public var beta2 = 0.85
  public var orthRegWeight = 0.5
  public var definition = Definition.code
  /// Which of the first `init_r` triplets a folder still has, by layer.
  var rankPattern: [String: [Bool]] = [:]

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("init_r", \.initR, "rank of each layer at first", in: 1...65_536),
    .int("target_r", \.targetR, "mean rank of the layers at last", in: 1...65_536).saved(optional: true),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / init_r; 0 or less: init_r").saved(optional: true),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input", in: 0..<1).saved(optional: true),
    .int("tinit", \.tinit, "steps before the first cut", in: 0...).saved(optional: true),
    .int("tfinal", \.tfinal, "last steps, in which ranks stay", in: 0...).saved(optional: true),
    .int("deltaT", \.deltaT, "steps between cuts", in: 1...).saved(optional: true),
    .float("beta1", \.beta1, "average of importances: share that is kept in a step", in: 0..<1).saved(optional: true),
    .float("beta2", \.beta2, "average of uncertainties: share that is kept in a step", in: 0..<1).saved(optional: true),
    .float("orth_reg_weight", \.orthRegWeight, "weight of the penalty that keeps A and B orthogonal", in: 0...).saved(optional: true),
    .value("definition", \.definition, "whose formulas, where they differ: the authors' code, their paper, or PEFT")
      .saved(.ownFile, optional: true),
  ]

  public func validate() throws(EngineError) {
    guard targetR <= initR else {
      throw EngineError(.argument, "adalora options: target_r = \(targetR): expected at most init_r = \(initR)")
    }
  }

  public static let peftType: String? = "ADALORA"

  /// The ranks that are left; and for how long the adapter trains, which PEFT wants to know.
  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    let planned = (attached.training as? AdaLoRATraining)?.totalSteps ?? 0
    var patterns = JSONObject()
    for (path, _, adapter) in attached.linearAdapters {
      guard let adapter = adapter as? AdaLoRAAdapter else { continue }
      let pattern = adapter.pattern(rankPattern[path])
      if pattern.contains(false) { patterns[path + ".lora_E"] = .array(pattern.map { .bool($0) }) }
    }
    configuration["total_step"] = .int(max(planned, tinit + tfinal + 1))
    configuration["rank_pattern"] = patterns.isEmpty ? .null : .object(patterns)
  }

  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    if config["target_r"] == nil { targetR = min(targetR, initR) }
    for (key, value) in config["rank_pattern"]?.objectValue?.members ?? JSONObject().members {
      let flags = (value.arrayValue ?? []).compactMap(\.boolValue)
      guard key.hasSuffix(".lora_E"), flags.count == initR, value.arrayValue?.count == flags.count else {
        throw EngineError(
          .data,
          "\(config.path): rank_pattern: '\(key)': expected the path of a layer's lora_E, and \(initR) times "
            + "true or false, given \(value.excerpt())")
      }
      rankPattern[String(key.dropLast(".lora_E".count))] = flags
    }
  }

  /// The cuts show in the folder's shapes.
  public func omits(_ parameter: String) -> Bool { parameter.hasSuffix("." + AdaLoRAAdapter.maskName) }

  /// The triplets that are left.
  public func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)] {
    try attached.adapters.flatMap { path, _, adapter in
      try ((adapter as? AdaLoRAAdapter)?.keptParameters() ?? []).map { (path + "." + $0.name, $0.tensor) }
    }.filter { !omits($0.0) }
  }

  /// The tensors of a folder are the parameters.
  public func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) {}

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    try checkRank(initR, of: linear, at: site)
    let r = rankPattern[site.path].map { $0.count { $0 } } ?? initR
    let mask = try site.parameter(AdaLoRAAdapter.maskName, [r], .ones)
    return AdaLoRAAdapter(
      a: try site.parameter("lora_A", [r, linear.inFeatures], .normal(std: 0.02)),
      b: try site.parameter("lora_B", [linear.outFeatures, r], .normal(std: 0.02)),
      e: try site.parameter("lora_E", [r, 1], .zeros), mask: mask,
      scaling: (loraAlpha > 0 ? loraAlpha : Double(initR)) / (Double(initR) + 1e-5), dropout: loraDropout)
  }

  public func makeTraining(for attached: AttachedAdapter) -> MethodTraining? { AdaLoRATraining(attached, self) }

  /// Which triplets were cut.
  public func frozenParametersChanged(by attached: AttachedAdapter) -> [(name: String, tensor: Tensor)] {
    attached.linearAdapters.compactMap { path, _, adapter in
      (adapter as? AdaLoRAAdapter).map { (attached.name(of: AdaLoRAAdapter.maskName, at: path), $0.mask) }
    }
  }
}

/// The triplets of one layer.
public final class AdaLoRAAdapter: Adapter, LowRankUpdate {
  /// [r, in], [out, r] and [r, 1].
  public let a, b, e: Tensor
  /// 0 where the last cut took a triplet, else 1: [r].
  let mask: Tensor
  public let scaling: Double
  private let loraDropout: Double
  public override var dropout: Double { loraDropout }
  static let maskName = "lora_mask"

  init(a: Tensor, b: Tensor, e: Tensor, mask: Tensor, scaling: Double, dropout: Double) {
    (self.a, self.b, self.e, self.mask) = (a, b, e, mask)
    (self.scaling, loraDropout) = (scaling, dropout)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("lora_A", a), ("lora_B", b), ("lora_E", e), (Self.maskName, mask)]
  }

  public override var frozenParameters: [String] { [Self.maskName] }

  /// Triplets; 0 in a layer that lost all.
  var r: Int { mask.count }

  public func output(_ call: LinearCall) throws -> Tensor {
    guard r > 0 else { return call.y }
    let x = try call.input.dropout(call.context.dropout(dropout))
    return try call.y.addingLinear(x.linear(a.mul(e), output: a.dtype), b, scale: scaling)
  }

  public func deltaWeight() throws -> Tensor {
    let sum = try Tensor.zeros([b.shape[0], a.shape[1]])
    return r > 0 ? try sum.addingProduct(b, a.mul(e), scale: scaling) : sum
  }

  /// The triplets that were not cut, or have grown again since.
  private var kept: [Int] { (0..<r).filter { mask.element($0) != 0 || e.element($0) != 0 } }

  /// Which of the triplets that the folder's `init_r` counts are kept, where `given` says which of those are here.
  func pattern(_ given: [Bool]?) -> [Bool] {
    let kept = Set(kept)
    guard let given else { return (0..<r).map(kept.contains) }
    var next = 0
    return given.map { isHere in
      guard isHere else { return false }
      defer { next += 1 }
      return kept.contains(next)
    }
  }

  /// The parameters of the kept triplets: the adapter's own tensors where nothing was cut.
  func keptParameters() throws -> [(name: String, tensor: Tensor)] {
    let kept = kept
    guard kept.count < r else { return [("lora_A", a), ("lora_B", b), ("lora_E", e)] }
    let rows = try Tensor(kept.map { Int32($0) }, [kept.count])
    return try Autograd.noGrad {
      [("lora_A", try a.indexSelect(0, rows)), ("lora_B", try b.indexSelect(1, rows)), ("lora_E", try e.indexSelect(0, rows))]
    }
  }

  /// `A' = diag(E) A` and B of the triplets whose E is not 0; of the first, where there is none.
  public func loraFactors() throws -> (a: Tensor, b: Tensor) {
    guard r > 0 else { return (try .zeros([1, a.shape[1]]), try .zeros([b.shape[0], 1])) }
    let found = (0..<r).filter { e.element($0) != 0 }
    let rows = try Tensor((found.isEmpty ? [0] : found).map { Int32($0) }, [max(found.count, 1)])
    return try Autograd.noGrad { (try a.mul(e).indexSelect(0, rows), try b.indexSelect(1, rows)) }
  }
}
