import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// P-tuning (v1): prompt tuning whose vectors come from embeddings of their own, [p, C], through three layers
/// C -> h -> h -> C with ReLU between them.
///
/// h = `encoder_hidden_size`. Trainable: `p C + (C + 1) h + (h + 1) h + (h + 1) C`. Not mergeable. The folder is PEFT's and has
/// the vectors that the layers give, not the layers.
///
/// Paper: Liu et al. 2021, arXiv 2103.10385.
public struct PTuning: SavesResult {
  public static let name = "p_tuning"
  public static let summary = "Prompt tuning whose vectors come from a small network."
  public static let peftType: String? = "P_TUNING"
  public static let keysUnknownToPEFT = VirtualTokenFolder.keysUnknownToPEFT
  public static let otherKeys =
    VirtualTokenFolder.informativeKeys + ["encoder_reparameterization_type", "encoder_num_layers", "encoder_dropout"]

  /// p.
  public var numVirtualTokens = 20
  /// h; nil: the model's hidden size.
  public var encoderHiddenSize: Int?
  /// The network of a folder, which has what that gave.
  private var encoded: String?
  /// How many times p vectors the folder has; see `PromptTuning`.
  private var parts = 1

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("num_virtual_tokens", \.numVirtualTokens, "vectors in front of each sequence", in: 1...65_536),
    .int("encoder_hidden_size", \.encoderHiddenSize, "width of the network; default: the model's hidden size", in: 1...65_536).saved(optional: true),
  ]

  public var placement: AdapterPlacement { .hosts(InputEmbeddings.self) }
  public var freshEqualsBase: Bool { false }
  public var savesParameters: Bool { encoded != nil }

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    let size = (attached.adapters.first?.host as? InputEmbeddings)?.words.weight.columns ?? 0
    configuration["encoder_hidden_size"] = .int(encoderHiddenSize ?? size)
    configuration["encoder_reparameterization_type"] = .string(encoded ?? "MLP")
    attached.addModelSizes(to: &configuration, parts: parts)
  }

  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    parts = try VirtualTokenFolder.parts(config)
    encoded = try config.string("encoder_reparameterization_type", among: ["MLP", "LSTM"], default: "MLP")
  }

  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? {
    guard let embeddings = host as? InputEmbeddings, site.index == 0 else { return nil }
    let (p, size) = (numVirtualTokens, embeddings.words.weight.columns)
    guard encoded == nil else { return PromptAdapter(try site.parameter(VirtualTokenFolder.tensor, [p * parts, size], .zeros), length: p) }
    let h = encoderHiddenSize ?? size
    let start = try site.parameter("prompt_encoder.embedding.weight", [p, size], .normal(std: 1))
    let layers = try [(0, h, size), (2, h, h), (4, size, h)].map { index, out, fanIn in
      let name = "prompt_encoder.mlp_head.\(index)."
      return (
        weight: try site.parameter(name + "weight", [out, fanIn], .kaimingUniform),
        bias: try site.parameter(name + "bias", [out], .uniform(bound: 1 / Double(fanIn).squareRoot()))
      )
    }
    return PromptAdapter(start, length: p, layers: layers)
  }

  public static func folderName(of name: String) -> String { VirtualTokenFolder.name(of: name) }

  public func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)] {
    try Autograd.noGrad {
      try (attached.adapters.first?.adapter as? PromptAdapter).map { [(VirtualTokenFolder.tensor, try $0.rows().copy())] } ?? []
    }
  }

  public func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws {
    guard let adapter = attached.adapters.first?.adapter as? PromptAdapter, let all = tensors.first?.tensor else { return }
    try adapter.vectors.assign(all)
  }
}
