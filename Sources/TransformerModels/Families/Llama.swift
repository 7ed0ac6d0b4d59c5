import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore

/// Llama's layout, and what families of its kind change in it. Paper: Touvron et al. 2023, arXiv 2302.13971.
///
/// `x = word`; each layer `x = x + attention(norm(x))`, `x = x + W_down (silu(W_gate norm(x)) * W_up norm(x))`, with RMS norms,
/// rotary positions, and heads of keys and values that several heads of queries share; `norm` above the last layer. Language
/// modelling: `lm_head(h)`, of its own or tied to the word embeddings, as `LlamaForCausalLM`. Classification: `score(h)` of the last
/// token, as `LlamaForSequenceClassification`. SmolLM2 is a Llama.
public enum Llama: LlamaLayout {
  public static let modelType = "llama"
  public static let className = "Llama"
}

/// Mistral: Llama with attention over a window of the last tokens. Paper: Jiang et al. 2023, arXiv 2310.06825.
public enum Mistral: LlamaLayout {
  public static let modelType = "mistral"
  public static let className = "Mistral"
  public static func window(_ config: HuggingFaceConfig) throws -> Int? {
    config["sliding_window"] == nil ? nil : try config.int("sliding_window", in: 1...)
  }
}

/// Qwen2 and Qwen2.5: Llama with biases of queries, keys and values. Paper: Yang et al. 2024, arXiv 2412.15115.
public enum Qwen2: LlamaLayout {
  public static let modelType = "qwen2"
  public static let className = "Qwen2"
  public static let queryBiasIsStandard = true
  public static func window(_ config: HuggingFaceConfig) throws -> Int? { try qwenWindow(config) }
}

/// Qwen3: Llama with norms of each head's queries and keys. Paper: Yang et al. 2025, arXiv 2505.09388.
public enum Qwen3: LlamaLayout {
  public static let modelType = "qwen3"
  public static let className = "Qwen3"
  public static let headNorms: (query: String, key: String)? = ("q_norm", "k_norm")
  public static func window(_ config: HuggingFaceConfig) throws -> Int? { try qwenWindow(config) }
}

/// What the families of Llama's kind share, and the few things in which they differ.
public protocol LlamaLayout: ModelFamily {
  /// Whether queries, keys and values have biases, and nothing else has.
  static var queryBiasIsStandard: Bool { get }
  /// Names of the norms of each head's queries and keys.
  static var headNorms: (query: String, key: String)? { get }
  /// Number of tokens that a token sees, itself included; nil: all before it.
  static func window(_ config: HuggingFaceConfig) throws -> Int?
}

extension LlamaLayout {
  public static var baseModelPrefix: String { "model" }
  public static var languageClass: String { "ForCausalLM" }
  public static var defaultTargetModules: [String] { ["q_proj", "v_proj"] }
  public static var dropoutKeys: [String] { ["attention_dropout"] }
  public static var queryBiasIsStandard: Bool { false }
  public static var headNorms: (query: String, key: String)? { nil }
  public static func window(_ config: HuggingFaceConfig) throws -> Int? { nil }

  /// Qwen's window, which most of its configurations switch off.
  static func qwenWindow(_ config: HuggingFaceConfig) throws -> Int? {
    guard try config.bool("use_sliding_window", default: false), config["sliding_window"] != nil else { return nil }
    return try config.int("sliding_window", in: 1...)
  }

  public static func body(_ config: HuggingFaceConfig) throws -> StackLayout {
    let size = try config.int("hidden_size", in: 1...65_536)
    let heads = try config.int("num_attention_heads", in: 1...65_536)
    let keyValueHeads = try config.int("num_key_value_heads", in: 1...heads, default: heads)
    guard config["head_dim"] != nil || size % heads == 0, heads % keyValueHeads == 0 else {
      throw EngineError(
        .data,
        "\(config.path): num_attention_heads \(heads) does not divide hidden_size \(size), or is no multiple of "
          + "num_key_value_heads \(keyValueHeads)")
    }
    let headSize = try config.int("head_dim", in: 2...65_536, default: size / heads)
    let positions = try config.int("max_position_embeddings", in: 1...10_000_000, default: 2048)
    let norm = NormKind.rms(eps: try config.double("rms_norm_eps", in: 0...1, default: 1e-6))
    let (attentionBias, blockBias) = (try config.bool("attention_bias", default: false), try config.bool("mlp_bias", default: false))
    return StackLayout(
      prefix: baseModelPrefix,
      embeddings: EmbeddingLayout(
        path: "", words: "embed_tokens", vocabulary: try config.int("vocab_size", in: 1...10_000_000),
        // Within the window, all tokens see all before them: longer sequences are refused.
        longestInput: min(positions, try window(config) ?? positions)),
      dropout: 0, layers: ("layers", try config.int("num_hidden_layers", in: 1...1_000)),
      layer: LayerLayout(
        size: size, norm: norm, .before, dropout: 0, std: try config.double("initializer_range", in: 0...100, default: 0.02),
        parts: [
          .attention(
            AttentionLayout(
              "self_attn", heads: heads, keyValueHeads: keyValueHeads, headSize: headSize,
              projections: .separate(query: "q_proj", key: "k_proj", value: "v_proj"), hasBias: attentionBias || queryBiasIsStandard,
              headNorms: headNorms.map { ($0.query, $0.key, norm) }, rotary: try rotary(config, headSize), isCausal: true,
              dropout: try config.double("attention_dropout", in: 0..<1, default: 0)),
            output: "self_attn", projection: "o_proj", hasBias: attentionBias, norm: "input_layernorm"),
          .feedForward(
            FeedForwardLayout(
              up: "mlp.up_proj", gate: "mlp.gate_proj", inner: try config.int("intermediate_size", in: 1...1_000_000),
              activation: try config.activation("hidden_act", default: "silu"), hasBias: blockBias),
            output: "mlp", projection: "down_proj", hasBias: blockBias, norm: "post_attention_layernorm"),
        ]),
      lastNorm: "norm")
  }

  public static func head(
    _ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder
  ) throws -> any ModelHead {
    switch kind {
    case .sequence(let labels): try LastTokenHead(builder, on: body, path: "score", labels: labels.count)
    case .language: try LanguageHead(builder, on: body, path: "lm_head", isTied: config.bool("tie_word_embeddings", default: false))
    }
  }

  /// Old checkpoints have the frequencies of the rotary positions.
  public static func isNoParameter(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") || name == "lm_head.weight" }

  /// The angles by which each position turns queries and keys, with the scaling that the configuration asks for.
  private static func rotary(_ config: HuggingFaceConfig, _ headSize: Int) throws -> RotaryLayout {
    // `rope_parameters` since Transformers 5; `rope_scaling` beside `rope_theta` before.
    let members = (config["rope_parameters"] ?? config["rope_scaling"])?.objectValue ?? [:]
    let rope = HuggingFaceConfig(members, path: config.path + ": " + (config["rope_parameters"] == nil ? "rope_scaling" : "rope_parameters"))
    let base = try rope.double("rope_theta", in: 1..., default: config.double("rope_theta", in: 1..., default: 10_000))
    let plain = stride(from: 0, to: headSize, by: 2).map { pow(base, -Double($0) / Double(headSize)) }
    let type = try rope.string("rope_type", default: rope.string("type", default: "default"))
    switch type {
    // The latter differs for sequences beyond the model's positions, which are refused.
    case "default", "dynamic": return RotaryLayout(frequencies: plain)
    case "linear":
      let factor = try rope.double("factor", in: 1...)
      return RotaryLayout(frequencies: plain.map { $0 / factor })
    case "llama3": return RotaryLayout(frequencies: try llama3(plain, rope))
    default:
      throw EngineError(
        .data, "\(rope.path): rope_type '\(type)' is not supported", hint: "supported are default, linear, dynamic and llama3")
    }
  }

  /// Llama 3.1's scaling: slow turns are slowed down by a factor, fast ones stay, and between them it goes over smoothly.
  private static func llama3(_ frequencies: [Double], _ rope: HuggingFaceConfig) throws -> [Double] {
    let factor = try rope.double("factor", in: 1...)
    let (low, high) = (try rope.double("low_freq_factor", in: 0...), try rope.double("high_freq_factor", in: 0...))
    let context = Double(try rope.int("original_max_position_embeddings", in: 1...))
    guard low < high else { throw EngineError(.data, "\(rope.path): low_freq_factor \(low) is not below high_freq_factor \(high)") }
    return frequencies.map { frequency in
      let turns = context * frequency / (2 * Double.pi)
      let smooth = min(1, max(0, (turns - low) / (high - low)))
      return (1 - smooth) * frequency / factor + smooth * frequency
    }
  }
}
