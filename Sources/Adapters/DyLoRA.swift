import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// DyLoRA: one LoRA that works at every rank up to `r`.
///
/// In each optimizer step all layers use the same rank b, drawn uniformly from 1...r:
/// `y = W x + bias + (lora_alpha / b) B[:, :b] A[:b] dropout(x)`. A: [r, in], Kaiming-uniform; B: [out, r], 0. Rows beyond b
/// have gradient 0, so that an optimizer with momentum still moves them, as the authors' code does; with `frozen` only row b
/// has a gradient. Trainable: `r (in + out)` for each layer.
///
/// The rank in use is part of the adapter, and saved with it: evaluations in training use the last one drawn, and
/// `setRank` chooses another. Merge and export are those of a LoRA of that rank.
///
/// Paper: Valipour et al. 2022, arXiv 2210.07558.
public struct DyLoRA: LinearAdapterMethod, ChangesFrozenParameters, ChecksFolder {
  public static let name = "dylora"
  public static let summary = "DyLoRA: a LoRA trained for all ranks up to r at once."

  /// Largest rank.
  public var r = 8
  /// Numerator of the scale.
  public var loraAlpha = 8.0
  /// Dropout on the adapter's input.
  public var loraDropout = 0.0
  /// Only the last row that is used has a gradient; what the authors' scripts train.
  public var frozen = false
  /// Rows without a gradient stay as they are: neither momentum nor weight decay moves them.
  public var maskedUpdate = false
  /// The ranks of the steps, in turn, in place of draws; empty: draws.
  public var ranks: [Int] = []

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "largest rank", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / rank in use", in: Above(0)),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input", in: 0..<1),
    .value("frozen", \.frozen, "only the last of the rows in use has a gradient"),
    .value("masked_update", \.maskedUpdate, "rows without a gradient stay as they are; else momentum and weight decay move them"),
    .ints("ranks", \.ranks, "ranks of the steps, in turn, in place of draws", in: 1...).saved(.nowhere),
  ]

  public func validate() throws(EngineError) {
    guard let rank = ranks.first(where: { $0 > r }) else { return }
    throw EngineError(.argument, "dylora options: ranks: \(rank) is more than r = \(r)")
  }

  public static let otherKeys = ["ranks"]

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    configuration["ranks"] = .string(ranks.map(String.init).joined(separator: " "))
  }

  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    let words = try config.string("ranks", default: "").split(separator: " ")
    ranks = words.compactMap { Int($0) }
    guard ranks.count == words.count, ranks.allSatisfy({ 1...r ~= $0 }) else {
      throw EngineError(.data, "\(config.path): ranks: expected numbers from 1 to \(r) with spaces between them")
    }
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    try checkRank(r, of: linear, at: site)
    let rank = try site.parameter(DyLoRAAdapter.rankName, [1], .constant(Double(r)))
    return DyLoRAAdapter(
      a: try site.parameter("lora_A.weight", [r, linear.inFeatures], .kaimingUniform),
      b: try site.parameter("lora_B.weight", [linear.outFeatures, r], .zeros),
      rank: rank, alpha: loraAlpha, dropout: loraDropout, isFrozenBelow: frozen)
  }

  public func makeTraining(for attached: AttachedAdapter) -> MethodTraining? { DyLoRATraining(attached, self) }

  /// The ranks in use.
  public func frozenParametersChanged(by attached: AttachedAdapter) -> [(name: String, tensor: Tensor)] {
    attached.linearAdapters.compactMap { path, _, adapter in
      (adapter as? DyLoRAAdapter).map { (attached.name(of: DyLoRAAdapter.rankName, at: path), $0.rankInUse) }
    }
  }

  /// A rank that does not fit would be no rank.
  public func didLoad(_ attached: AttachedAdapter) throws {
    for (path, _, adapter) in attached.linearAdapters {
      guard let value = (adapter as? DyLoRAAdapter)?.rankInUse.element(0), value < 1 || value > Double(r) || value != value.rounded()
      else { continue }
      throw EngineError(.data, "'\(path).\(DyLoRAAdapter.rankName)' is \(value), expected a whole number from 1 to \(r)")
    }
  }
}

/// The factors of one layer, of which the first rows are used.
public final class DyLoRAAdapter: Adapter, LowRankUpdate {
  /// Down factor, [r, in], and up factor, [out, r].
  public let a, b: Tensor
  /// The rank in use, [1]. It is stored as a tensor so that saving and digests include it.
  let rankInUse: Tensor
  private let alpha: Double
  private let isFrozenBelow: Bool
  private let loraDropout: Double
  public override var dropout: Double { loraDropout }
  static let rankName = "dylora_rank"

  init(a: Tensor, b: Tensor, rank: Tensor, alpha: Double, dropout: Double, isFrozenBelow: Bool) {
    (self.a, self.b, rankInUse) = (a, b, rank)
    (self.alpha, loraDropout, self.isFrozenBelow) = (alpha, dropout, isFrozenBelow)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("lora_A.weight", a), ("lora_B.weight", b), (Self.rankName, rankInUse)]
  }

  public override var frozenParameters: [String] { [Self.rankName] }

  /// The rank in use, from 1 to r.
  public var rank: Int {
    get { min(max(Int(exactly: rankInUse.element(0)) ?? 1, 1), a.shape[0]) }
    set { rankInUse.fill(Double(newValue)) }
  }

  /// lora_alpha / rank in use.
  public var scaling: Double { alpha / Double(rank) }

  /// The rows and columns in use; those that only serve the forward pass are cut off from their gradient.
  private func factors(cutting isCut: Bool) throws -> (a: Tensor, b: Tensor) {
    let rank = rank
    guard isCut, rank > 1 else { return (try a.slice(0, 0, rank), try b.slice(1, 0, rank)) }
    return (
      try Tensor.cat([a.detach().slice(0, 0, rank - 1), a.slice(0, rank - 1, rank)], 0),
      try Tensor.cat([b.detach().slice(1, 0, rank - 1), b.slice(1, rank - 1, rank)], 1)
    )
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    let x = try call.input.dropout(call.context.dropout(dropout))
    let (a, b) = try factors(cutting: isFrozenBelow)
    return try call.y.addingLinear(x.linear(a, output: a.dtype), b, scale: scaling)
  }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) { try Autograd.noGrad { try factors(cutting: false) } }
}

/// Draws the rank of each step.
private final class DyLoRATraining: MethodTraining {
  private let layers: [DyLoRAAdapter]
  private let method: DyLoRA
  private let stream: UInt32
  private var earlier: [(factor: Tensor, values: Tensor, axis: Int, rank: Int)] = []

  init(_ attached: AttachedAdapter, _ method: DyLoRA) {
    layers = attached.linearAdapters.compactMap { $0.adapter as? DyLoRAAdapter }
    self.method = method
    stream = RandomSource.stream(named: "dylora " + attached.name)
  }

  private var adapters: [DyLoRAAdapter] { layers.filter(\.isTrained) }

  override func beforeStep(_ place: TrainingPlace) throws {
    let rank: Int
    if method.ranks.isEmpty {
      let draw = RandomSource(seed: place.seed, stream: stream, step: UInt64(place.step)).bits(1)[0]
      rank = Int((UInt64(draw) * UInt64(method.r)) >> 32) + 1
    } else {
      rank = method.ranks[place.step % method.ranks.count]
    }
    for adapter in adapters { adapter.rank = rank }
  }

  override func beforeUpdate(_ place: TrainingPlace) throws {
    guard method.maskedUpdate else { return }
    earlier = try adapters.flatMap { adapter in
      [(adapter.a, try adapter.a.copy(), 0, adapter.rank), (adapter.b, try adapter.b.copy(), 1, adapter.rank)]
    }
  }

  override func afterUpdate(_ place: TrainingPlace) throws {
    // Moments go on all the same: only what they would do to the rows is taken back.
    try Autograd.noGrad {
      for (factor, values, axis, rank) in earlier {
        let first = method.frozen ? rank - 1 : 0
        let parts = [
          try values.slice(axis, 0, first), try factor.detach().slice(axis, first, rank), try values.slice(axis, rank, method.r),
        ]
        try factor.assign(Tensor.cat(parts.filter { $0.count > 0 }, axis))
      }
    }
    earlier = []
  }
}

extension AttachedAdapter {
  /// Lets a DyLoRA compute with its first `rank` rows in all layers. Throws for another method, and for ranks that it has not.
  public func setRank(_ rank: Int) throws {
    guard let method = method as? DyLoRA else {
      throw EngineError(.argument, "set_rank: adapter '\(name)' is of method '\(type(of: method).name)', expected 'dylora'")
    }
    guard 1...method.r ~= rank else {
      throw EngineError(.argument, "set_rank: r = \(rank): expected 1 to \(method.r)")
    }
    for (path, linear, adapter) in linearAdapters {
      guard !linear.merged.contains(name) else {
        throw EngineError(.argument, "set_rank: adapter '\(name)' is merged into '\(path)'", hint: "unmerge first")
      }
      (adapter as? DyLoRAAdapter)?.rank = rank
    }
  }
}
