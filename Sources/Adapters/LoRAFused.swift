import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// LoRA of parts of a layer that gives queries, keys and values together: `y_i = W_i x + b_i + s B_i A_i dropout(x)` for each of
/// `parts`, `s = lora_alpha / r`. What the LoRA authors' code calls a `MergedLinear`; for GPT-2.
///
/// n parts of size d: A: [n r, in], B: [n d, r], part after part; both train. A is Kaiming-uniform, B 0. Trainable: `n r (in + d)`
/// for each layer; GPT-2 medium with r = 4, queries and values: 393,216. Merge: `W_i + s B_i A_i`. The folder is PEFT's of a LoRA
/// of rank n r, with zeros in B where a part's rows meet another part's columns.
///
/// Paper: Hu et al. 2021, arXiv 2106.09685.
public struct LoRAFused: LinearAdapterMethod, ChoosesTargets, SavesResult {
  public static let name = "lora_fused"
  public static let summary = "LoRA for queries, values or keys alone of layers that give all three together, as GPT-2's c_attn."

  /// Rank of each part's update.
  public var r = 4
  /// Numerator of the scale.
  public var loraAlpha = 8.0
  /// Dropout on the adapter's input.
  public var loraDropout = 0.0
  /// Which of query, key and value.
  public var parts = [Role.query.rawValue, Role.value.rawValue]

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of each part's update", in: 1...65_536),
    .float("lora_alpha", \.loraAlpha, "numerator of the scale lora_alpha / r", in: Above(0)),
    .float("lora_dropout", \.loraDropout, "dropout on the adapter's input", in: 0..<1).saved(optional: true),
    .value("parts", \.parts, "what is adapted: some of query, key and value").saved(.ownFile),
  ]

  /// The parts of a fused layer, in its order.
  private static let order = [Role.query, .key, .value].map(\.rawValue)
  /// The places of the adapted parts in the layer.
  private var places: [Int] { Self.order.indices.filter { parts.contains(Self.order[$0]) } }

  public func validate() throws(EngineError) {
    let known = Self.order.joined(separator: ", ")
    guard !parts.isEmpty, Set(parts).count == parts.count else {
      throw EngineError(.argument, "parts: expected some of \(known), each once, given \(parts.joined(separator: ", "))")
    }
    for part in parts where !Self.order.contains(part) {
      throw EngineError(.argument, "parts: '\(part)' is unknown", hint: suggestion(for: part, among: Self.order))
    }
  }

  public var defaultTargets: AdapterTargets.Selection? { .roles([.fused]) }

  public static let peftType: String? = LoRA.peftType
  public static let otherKeys = ["use_dora", "use_rslora"]

  /// A folder's rank and scale are those of all parts together.
  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    guard !parts.isEmpty, r % parts.count == 0 else {
      throw EngineError(.data, "\(config.path): r = \(r) is no multiple of the number of parts, \(parts.count)")
    }
    (r, loraAlpha) = (r / parts.count, loraAlpha / Double(parts.count))
  }

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    for (key, value) in LoRA().options.members where configuration[key] == nil { configuration[key] = value }
  }

  public func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)] {
    try attached.linearAdapters.flatMap { path, _, adapter -> [(name: String, tensor: Tensor)] in
      guard let adapter = adapter as? LoRAFusedAdapter else { return [] }
      let (a, b) = try Autograd.noGrad { try adapter.loraFactors() }
      return [(path + ".lora_A.weight", try a.copy()), (path + ".lora_B.weight", b)]
    }
  }

  public func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws {
    let values = Dictionary(tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    for (path, _, adapter) in attached.linearAdapters {
      guard let adapter = adapter as? LoRAFusedAdapter, let a = values[path + ".lora_A.weight"], let b = values[path + ".lora_B.weight"] else {
        continue
      }
      try Autograd.noGrad {
        try adapter.a.assign(a)
        try adapter.b.assign(adapter.blocks(of: b))
        guard try adapter.loraFactors().b.values == b.values else {
          throw EngineError(
            .data, "'\(path).lora_B.weight' has values outside of \(parts.joined(separator: ", ")), which are not zero",
            hint: "without perigee.json the folder is a plain LoRA")
        }
      }
    }
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    guard linear.role == .fused, linear.outFeatures % Self.order.count == 0 else {
      throw EngineError(
        .argument, "lora_fused: layer '\(site.path)' does not give queries, keys and values of one size together",
        hint: "take lora, with target_modules of the layers that give queries and values")
    }
    let size = linear.outFeatures / Self.order.count
    guard r <= min(size, linear.inFeatures) else {
      throw EngineError(
        .argument, "r = \(r) for parts of \(size) x \(linear.inFeatures) of layer '\(site.path)': expected 1 to \(min(size, linear.inFeatures))")
    }
    return LoRAFusedAdapter(
      a: try site.parameter("lora_A.weight", [places.count * r, linear.inFeatures], .kaimingUniform),
      b: try site.parameter("lora_B.weight", [places.count * size, r], .zeros), places: places, scaling: loraAlpha / Double(r),
      dropout: loraDropout)
  }
}

/// The factors of one layer.
public final class LoRAFusedAdapter: Adapter, LowRankUpdate, RankedAdapter {
  /// [n r, in].
  let a: Tensor
  /// [n d, r].
  let b: Tensor
  public let scaling: Double
  public override var dropout: Double { loraDropout }
  private let loraDropout: Double
  /// Which of the layer's three parts are adapted.
  private let places: [Int]

  init(a: Tensor, b: Tensor, places: [Int], scaling: Double, dropout: Double) {
    (self.a, self.b, self.places, self.scaling, loraDropout) = (a, b, places, scaling, dropout)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("lora_A.weight", a), ("lora_B.weight", b)] }

  /// That of the equal plain LoRA.
  public var rank: Int { a.rows }
  /// Of one part: r, and d.
  private var r: Int { b.columns }
  private var size: Int { b.rows / places.count }

  public func output(_ call: LinearCall) throws -> Tensor {
    let x = try call.input.dropout(call.context.dropout(dropout))
    return try call.y.addingLinear(x.linear(a, output: a.dtype), loraFactors().b, scale: scaling)
  }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) { (a, try Self.whole(b, places: places)) }

  /// The B of n parts, [n d, r], with each part's rows and columns at their places in the layer, [3 d, n r].
  static func whole(_ b: Tensor, places: [Int]) throws -> Tensor {
    let (size, r) = (b.rows / places.count, b.columns)
    let rows = try (0..<3).map { place in
      guard let own = places.firstIndex(of: place) else { return try Tensor.zeros([size, places.count * r]) }
      let block = try b.slice(0, own * size, (own + 1) * size)
      return try Tensor.cat(places.indices.map { $0 == own ? block : try Tensor.zeros([size, r]) }, 1)
    }
    return try Tensor.cat(rows)
  }

  /// The blocks of a B of `loraFactors`, [n d, r].
  func blocks(of whole: Tensor) throws -> Tensor {
    try Tensor.cat(
      places.enumerated().map { own, place in
        try whole.slice(0, place * size, (place + 1) * size).slice(1, own * r, (own + 1) * r)
      })
  }
}
