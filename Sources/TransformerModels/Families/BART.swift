import Checkpoints
import Diagnostics
import NN
import TensorCore

/// BART. Paper: Lewis et al. 2020, arXiv 1910.13461.
///
/// Encoder and decoder: `x = LayerNorm(s word + position)`, s = 1 or sqrt(C); each layer `x = LayerNorm(x + attention(x))`, in the
/// decoder then `x = LayerNorm(x + attention(x, encoder))`, and `x = LayerNorm(x + W_2 gelu(W_1 x))`. Both stacks share the word
/// embeddings; positions begin at row 2 of tables of their own. Language modelling: `lm_head(h) + final_logits_bias`, tied to the word
/// embeddings, as `BartForConditionalGeneration`. Classification: `out_proj(dropout(tanh(dense(dropout(h)))))` at the place of the
/// last end token, of a decoder that reads the encoder's text one place later, as `BartForSequenceClassification`.
public enum BART: ModelFamily {
  public static let modelType = "bart"
  public static let baseModelPrefix = "model"
  public static let className = "Bart"
  public static let languageClass = "ForConditionalGeneration"
  public static let defaultTargetModules = ["q_proj", "v_proj"]
  public static let dropoutKeys = ["dropout", "attention_dropout", "activation_dropout"]

  public static func body(_ config: HuggingFaceConfig) throws -> StackLayout { try stack(config, "decoder") }

  public static func encoder(_ config: HuggingFaceConfig) throws -> EncoderLayout? {
    EncoderLayout(
      try stack(config, "encoder"), words: "model.shared",
      startToken: Int32(try config.int("decoder_start_token_id", in: 0...10_000_000, default: 2)))
  }

  private static func stack(_ config: HuggingFaceConfig, _ name: String) throws -> StackLayout {
    let isDecoder = name == "decoder"
    let size = try config.int("d_model", in: 1...65_536, default: 1024)
    let heads = try config.int(name + "_attention_heads", in: 1...65_536, default: 16)
    let positions = try config.int("max_position_embeddings", in: 1...10_000_000, default: 1024)
    let dropout = try config.double("dropout", in: 0..<1, default: 0.1)
    let attentionDropout = try config.double("attention_dropout", in: 0..<1, default: 0)
    let norm = NormKind.layer(eps: 1e-5)
    guard size % heads == 0 else {
      throw EngineError(.data, "\(config.path): d_model \(size) is not divisible by \(name)_attention_heads \(heads)")
    }
    // What other models of fairseq have, and Transformers' BART has not.
    for (key, expected) in [("normalize_before", false), ("add_final_layer_norm", false), ("normalize_embedding", true)]
    where try config.bool(key, default: expected) != expected {
      throw EngineError(.data, "\(config.path): \(key) = \(!expected) is not supported, expected \(expected)")
    }
    guard try config.double(name + "_layerdrop", in: 0...1, default: 0) == 0 else {
      throw EngineError(.data, "\(config.path): \(name)_layerdrop is not 0: leaving out whole layers is not supported")
    }
    func attention(_ path: String, over source: AttentionLayout.Source = .itself) -> LayerLayout.Part {
      .attention(
        AttentionLayout(
          path, over: source, heads: heads, headSize: size / heads,
          projections: .separate(query: "q_proj", key: "k_proj", value: "v_proj"), isCausal: isDecoder && source == .itself,
          dropout: attentionDropout),
        output: path, projection: "out_proj", norm: path + "_layer_norm")
    }
    return StackLayout(
      prefix: "model." + name,
      embeddings: EmbeddingLayout(
        path: "", words: "embed_tokens", vocabulary: try config.int("vocab_size", in: 1...10_000_000, default: 50_265),
        terms: [.positions("embed_positions", rows: positions + 2, first: 2)], norm: ("layernorm_embedding", norm), longestInput: positions,
        scale: try config.bool("scale_embedding", default: false) ? Double(size).squareRoot() : 1),
      dropout: dropout, layers: ("layers", try config.int(name + "_layers", in: 1...1_000, default: 12)),
      layer: LayerLayout(
        size: size, norm: norm, .after, dropout: dropout, std: try config.double("init_std", in: 0...100, default: 0.02),
        parts: [attention("self_attn")] + (isDecoder ? [attention("encoder_attn", over: .encoder)] : []) + [
          .feedForward(
            FeedForwardLayout(
              up: "fc1", inner: try config.int(name + "_ffn_dim", in: 1...1_000_000, default: 4096),
              activation: try config.activation("activation_function", default: "gelu"),
              dropout: try config.double("activation_dropout", in: 0..<1, default: 0)),
            output: "", projection: "fc2", norm: "final_layer_norm")
        ]))
  }

  public static func head(
    _ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder
  ) throws -> any ModelHead {
    switch kind {
    case .sequence(let labels):
      try TwoLayerHead(
        builder, on: body, path: "classification_head", labels: labels.count,
        dropout: config.double("classifier_dropout", in: 0..<1, default: 0),
        endToken: Int32(config.int("eos_token_id", in: 0...10_000_000, default: 2)))
    case .language:
      try LanguageHead(
        builder, on: body, path: "lm_head", isTied: config.bool("tie_word_embeddings", default: true), bias: "final_logits_bias")
    }
  }

  /// Checkpoints may have the shared table under the names of those who share it.
  public static func aliases(of name: String) -> [String] {
    name == "model.shared.weight" ? ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"] : []
  }

  public static func mayLack(_ name: String) -> Bool { name == "final_logits_bias" }

  public static func isNoParameter(_ name: String) -> Bool {
    name.hasSuffix("embed_tokens.weight") || name.hasSuffix(".version") || name == "lm_head.weight" || name == "final_logits_bias"
  }
}
