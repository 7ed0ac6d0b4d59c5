import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// Prefix tuning: learned keys and values in front of those of every sequence, in every layer; `K' = [P_K; K]`, `V' = [P_V; V]`.
///
/// P_K, P_V: [p, C], p = `num_virtual_tokens`. They train themselves, from a standard normal distribution (P-tuning v2, with
/// `prefix_dropout` as the model's dropout), or come from `E` of [p, C] through `tanh(E W_0^T + b_0) W_2^T + b_2`, with
/// `prefix_projection`. Trainable: `2 L p C`; with the projection `p C + (C + 1) m + (m + 1) 2 L C`. Positions of the text
/// begin behind the prefix, as in Transformers. Not mergeable. The folder is PEFT's and has the keys and values that the
/// projection gives, not the projection.
///
/// In a model with an encoder, prefixes stand in the decoder's attention over its own tokens, and all layers share one table, as in
/// PEFT: of its L pairs of keys and values, layer i takes number `2 i mod L`.
///
/// Papers: Li and Liang 2021, arXiv 2101.00190; Liu et al. 2022, arXiv 2110.07602.
public struct PrefixTuning: SavesResult {
  public static let name = "prefix_tuning"
  public static let summary = "Trains keys and values in front of those of every sequence, in every layer (P-tuning v2)."
  public static let peftType: String? = "PREFIX_TUNING"
  public static let keysUnknownToPEFT = VirtualTokenFolder.keysUnknownToPEFT
  public static let otherKeys = VirtualTokenFolder.informativeKeys + ["init_weights"]

  /// p.
  public var numVirtualTokens = 20
  public var prefixProjection = false
  /// m; nil: the model's hidden size.
  public var encoderHiddenSize: Int?
  /// Dropout on the prefix, for each sequence alone.
  public var prefixDropout = 0.0
  /// Whether the projection is done: a folder has what it gave.
  private var isProjected = false

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("num_virtual_tokens", \.numVirtualTokens, "keys and values in front of each sequence", in: 1...65_536),
    .value("prefix_projection", \.prefixProjection, "compute them from embeddings with two layers").saved(optional: true),
    .int("encoder_hidden_size", \.encoderHiddenSize, "width of the projection; default: the model's hidden size", in: 1...65_536).saved(
      optional: true),
    .float("prefix_dropout", \.prefixDropout, "dropout on the prefix, as in P-tuning v2", in: 0..<1).saved(.nowhere),
  ]

  public var placement: AdapterPlacement { .hosts(Attention.self) }
  public var freshEqualsBase: Bool { false }
  public var savesParameters: Bool { !projects }
  private var projects: Bool { prefixProjection && !isProjected }

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    guard let attention = attached.adapters.first?.host as? Attention else { return }
    let size = attention.keySize
    configuration["encoder_hidden_size"] = .int(encoderHiddenSize ?? size)
    configuration["num_layers"] = .int(attention.layer.count)
    configuration["token_dim"] = .int(size)
    configuration["num_attention_heads"] = .int(attention.layout.keyValueHeads)
    // PEFT's word for models with an encoder.
    configuration["num_transformer_submodules"] = (attached.adapters.first?.adapter as? PrefixAdapter)?.pair == nil ? 1 : 2
  }

  public mutating func adopt(_ config: HuggingFaceConfig) { isProjected = true }

  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? {
    guard let attention = host as? Attention else { return nil }
    let attentions = site.hosts.compactMap { $0 as? Attention }
    let hasEncoder = attentions.contains { $0.layout.source == .encoder }
    func takesPrefix(_ attention: Attention) -> Bool { !hasEncoder || (attention.layout.source == .itself && attention.layout.isCausal) }
    guard takesPrefix(attention) else { return nil }
    let count = attentions.filter(takesPrefix).count
    guard count == attention.layer.count else {
      throw EngineError(
        .argument, "prefix_tuning: \(count) of the model's \(attention.layer.count) layers, expected all",
        hint: "leave layers_to_transform out")
    }
    let (p, size) = (numVirtualTokens, attention.keySize)
    let pair = hasEncoder ? 2 * attention.layer.index % count : nil
    let width = 2 * size * (hasEncoder ? count : 1)
    func parameter(_ name: String, _ shape: [Int], _ initialization: Initialization) throws -> Tensor {
      try hasEncoder
        ? site.sharedParameter(name, shape, initialization, trains: true) : site.parameter(name, shape, initialization)
    }
    guard projects else {
      let rows = try parameter("prefix_embeddings", [p, width], .normal(std: 1))
      return PrefixAdapter(.rows(rows), size: 2 * size, pair: pair, length: p, dropout: prefixDropout)
    }
    let m = encoderHiddenSize ?? size
    let bound = { (fanIn: Int) in Initialization.uniform(bound: 1 / Double(fanIn).squareRoot()) }
    let source = PrefixAdapter.Projection(
      embedding: try site.sharedParameter("prefix_encoder.embedding.weight", [p, size], .normal(std: 1), trains: true),
      first: (
        try site.sharedParameter("prefix_encoder.transform.0.weight", [m, size], .kaimingUniform, trains: true),
        try site.sharedParameter("prefix_encoder.transform.0.bias", [m], bound(size), trains: true)
      ),
      second: (
        try parameter("prefix_transform.weight", [width, m], .kaimingUniform),
        try parameter("prefix_transform.bias", [width], bound(m))
      ))
    return PrefixAdapter(.projection(source), size: 2 * size, pair: pair, length: p, dropout: prefixDropout)
  }

  public static func folderName(of name: String) -> String { VirtualTokenFolder.name(of: name) }

  public func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)] {
    let adapters = attached.adapters.compactMap { $0.adapter as? PrefixAdapter }
    let layers = try adapters.prefix(adapters.first?.pair == nil ? adapters.count : 1).map { try $0.table() }
    return try Autograd.noGrad { [(VirtualTokenFolder.tensor, try Tensor.cat(layers.map { $0.detach() }, 1))] }
  }

  public func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws {
    guard let all = tensors.first?.tensor else { return }
    if let table = attached.shared?["prefix_embeddings"] { return try table.assign(all) }
    var column = 0
    for case .rows(let rows) in attached.adapters.compactMap({ ($0.adapter as? PrefixAdapter)?.source }) {
      try rows.assign(Autograd.noGrad { try all.slice(1, column, column + rows.columns) })
      column += rows.columns
    }
  }
}

/// Keys and values of one layer's prefix.
public final class PrefixAdapter: Adapter, AttentionPrefix {
  /// What one layer makes its keys and values from.
  struct Projection {
    /// E: [p, C], and W_0, b_0 of [m, C] and [m]: all layers share them.
    let embedding: Tensor
    let first: (weight: Tensor, bias: Tensor)
    /// The layer's rows of W_2 and b_2: [2 C, m] and [2 C]; all layers' where they share a table.
    let second: (weight: Tensor, bias: Tensor)
  }

  enum Source {
    /// [p, 2 C]: keys, values; of all layers side by side where they share a table.
    case rows(Tensor)
    case projection(Projection)
  }

  let source: Source
  /// The layer's pair of keys and values in the table that all layers share; nil: it has its own.
  let pair: Int?
  /// 2 C.
  private let size: Int
  private let count: Int
  private let prefixDropout: Double

  init(_ source: Source, size: Int, pair: Int?, length: Int, dropout: Double) {
    (self.source, self.size, self.pair, count, prefixDropout) = (source, size, pair, length, dropout)
  }

  public var length: Int { count }
  public override var dropout: Double { prefixDropout }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    guard pair == nil else { return [] }
    return switch source {
    case .rows(let rows): [("prefix_embeddings", rows)]
    case .projection(let projection):
      [("prefix_transform.weight", projection.second.weight), ("prefix_transform.bias", projection.second.bias)]
    }
  }

  public override var borrowedParameters: [Tensor] {
    switch source {
    case .rows(let rows): pair == nil ? [] : [rows]
    case .projection(let projection):
      [projection.embedding, projection.first.weight, projection.first.bias]
        + (pair == nil ? [] : [projection.second.weight, projection.second.bias])
    }
  }

  /// What the source gives, whole or some columns of it: [p, 2 C] of one layer, or of all that share a table.
  func table(columns: Range<Int>? = nil) throws -> Tensor {
    switch source {
    case .rows(let rows): return try columns.map { try rows.slice(1, $0.lowerBound, $0.upperBound) } ?? rows
    case .projection(let projection):
      func chosen(_ rows: Tensor) throws -> Tensor { try columns.map { try rows.slice(0, $0.lowerBound, $0.upperBound) } ?? rows }
      return try projection.embedding.linear(projection.first.weight, projection.first.bias).tanh()
        .linear(chosen(projection.second.weight), chosen(projection.second.bias))
    }
  }

  public func rows(sequences: Int, _ context: ForwardContext) throws -> (keys: Tensor, values: Tensor) {
    var all = try table(columns: pair.map { $0 * size..<($0 + 1) * size })
    if let dropout = context.dropout(prefixDropout) {
      let ids = (0..<sequences * count).map { Int32($0 % count) }
      all = try all.gatherRows(ids).dropout(dropout)
    }
    return (try all.slice(1, 0, size / 2), try all.slice(1, size / 2))
  }
}
