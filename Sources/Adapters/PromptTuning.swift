import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// Prompt tuning: learned vectors in front of the word embeddings of every sequence.
///
/// [p, C], p = `num_virtual_tokens`; positions count from the first vector, whose last hidden state is what a classification
/// head reads, as in PEFT. Trainable: `p C`. Not mergeable. The folder is PEFT's.
///
/// In a model with an encoder, that reads the vectors. PEFT's folders then have as many again, which nothing reads.
///
/// Paper: Lester, Al-Rfou and Constant 2021, arXiv 2104.08691.
public struct PromptTuning: SavesResult, NeedsTokens {
  public static let name = "prompt_tuning"
  public static let summary = "Trains vectors in front of the word embeddings of every sequence."
  public static let peftType: String? = "PROMPT_TUNING"
  public static let keysUnknownToPEFT = VirtualTokenFolder.keysUnknownToPEFT
  public static let otherKeys =
    VirtualTokenFolder.informativeKeys + ["prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"]

  /// How the vectors start, in PEFT's words.
  public enum Init: String, FieldChoice {
    /// Standard normal.
    case random = "RANDOM"
    /// The embeddings of random tokens of the vocabulary.
    case sampleVocab = "SAMPLE_VOCAB"
    /// The embeddings of a text's tokens, repeated or cut.
    case text = "TEXT"
  }

  /// p.
  public var numVirtualTokens = 20
  public var promptTuningInit = Init.random
  public var promptTuningInitText: String?
  /// The text's tokens, once a tokenizer is there.
  private var textTokens: [Int32] = []
  /// How many times p vectors the folder has.
  private var parts = 1

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("num_virtual_tokens", \.numVirtualTokens, "vectors in front of each sequence", in: 1...65_536),
    .value(
      "prompt_tuning_init", \.promptTuningInit,
      "how they start: normal, as random tokens of the vocabulary, or as those of prompt_tuning_init_text"
    ).saved(optional: true),
    .value("prompt_tuning_init_text", \.promptTuningInitText, "the text to start from, with TEXT").saved(.nowhere),
  ]

  public func validate() throws(EngineError) {
    guard (promptTuningInit == .text) == (promptTuningInitText != nil) else {
      throw EngineError(
        .argument,
        "prompt_tuning_init = \"\(promptTuningInit.rawValue)\" "
          + (promptTuningInit == .text ? "without" : "with") + " prompt_tuning_init_text",
        hint: "\"TEXT\" takes a text, and nothing else does")
    }
  }

  public func tokenized(_ encode: (String) throws -> [Int32]) throws -> PromptTuning {
    var copy = self
    if let text = promptTuningInitText { copy.textTokens = try encode(text) }
    return copy
  }

  public var placement: AdapterPlacement { .hosts(InputEmbeddings.self) }
  public var freshEqualsBase: Bool { false }

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    // PEFT refuses TEXT without a tokenizer's path; the values are in the folder, however they started.
    configuration["prompt_tuning_init"] = .string(Init.random.rawValue)
    attached.addModelSizes(to: &configuration, parts: parts)
  }

  public mutating func adopt(_ config: HuggingFaceConfig) throws { parts = try VirtualTokenFolder.parts(config) }

  public static func meaning(of value: JSONValue, for option: String) -> JSONValue {
    option == "prompt_tuning_init" && Init(rawValue: value.stringValue ?? "") != nil ? .string(Init.random.rawValue) : value
  }

  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? {
    // The first ones are those of the encoder, if there is one.
    guard let embeddings = host as? InputEmbeddings, site.index == 0 else { return nil }
    let table = embeddings.words.weight
    let shape = [numVirtualTokens * parts, table.columns]
    let rows =
      switch promptTuningInit {
      case .random: try site.parameter(VirtualTokenFolder.tensor, shape, .normal(std: 1))
      case .sampleVocab:
        try site.parameter(VirtualTokenFolder.tensor, shape) {
          let source = RandomSource(seed: site.seed, stream: RandomSource.stream(named: site.path + ".sample_vocab"))
          return try table.gatherRows(source.bits(numVirtualTokens).map { Int32((UInt64($0) * UInt64(table.rows)) >> 32) })
        }
      case .text:
        try site.parameter(VirtualTokenFolder.tensor, shape) {
          guard !textTokens.isEmpty else {
            throw EngineError(.argument, "prompt_tuning_init_text: the text has no tokens, expected at least one")
          }
          return try table.gatherRows((0..<numVirtualTokens).map { textTokens[$0 % textTokens.count] })
        }
      }
    return PromptAdapter(rows, length: numVirtualTokens)
  }

  public static func folderName(of name: String) -> String { VirtualTokenFolder.name(of: name) }

  public func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)] {
    try (attached.adapters.first?.adapter as? PromptAdapter).map { [(VirtualTokenFolder.tensor, try $0.vectors.copy())] } ?? []
  }

  public func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws {
    guard let adapter = attached.adapters.first?.adapter as? PromptAdapter, let all = tensors.first?.tensor else { return }
    try adapter.vectors.assign(all)
  }
}

/// The vectors of one prompt.
public final class PromptAdapter: Adapter, Prompt {
  /// [p, C]; the prompt itself where there are no layers, and then there may be more rows, which nothing reads.
  let vectors: Tensor
  public let length: Int
  /// Layers that make the prompt, with ReLU between them.
  private let layers: [(weight: Tensor, bias: Tensor)]

  init(_ vectors: Tensor, length: Int, layers: [(weight: Tensor, bias: Tensor)] = []) {
    (self.vectors, self.length, self.layers) = (vectors, length, layers)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    guard !layers.isEmpty else { return [(VirtualTokenFolder.tensor, vectors)] }
    return [("prompt_encoder.embedding.weight", vectors)]
      + layers.enumerated().flatMap { i, layer in
        [("prompt_encoder.mlp_head.\(2 * i).weight", layer.weight), ("prompt_encoder.mlp_head.\(2 * i).bias", layer.bias)]
      }
  }

  public func rows(_ context: ForwardContext) throws -> Tensor {
    let all = try rows()
    return length == all.rows ? all : try all.slice(0, 0, length)
  }

  func rows() throws -> Tensor {
    var x = vectors
    for (i, layer) in layers.enumerated() {
      x = try x.linear(layer.weight, layer.bias)
      if i < layers.count - 1 { x = try x.relu() }
    }
    return x
  }
}

extension AttachedAdapter {
  /// Adds PEFT's words for the sizes of the model below the embeddings that a prompt is attached to.
  func addModelSizes(to configuration: inout JSONObject, parts: Int) {
    guard let embeddings = adapters.first?.host as? InputEmbeddings else { return }
    let attention = root.namedModules().compactMap { $0.module as? Attention }
    configuration["token_dim"] = .int(embeddings.words.weight.columns)
    configuration["num_layers"] = .int(attention.first?.layer.count ?? 0)
    configuration["num_attention_heads"] = .int(attention.first?.layout.heads ?? 1)
    configuration["num_transformer_submodules"] = .int(parts)
  }
}
