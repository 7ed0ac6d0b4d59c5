import Checkpoints
import Diagnostics
import NN
import TensorCore

/// GPT-2. Paper: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
///
/// `x = word + position`; each layer `x = x + attention(ln_1(x))`, `x = x + W_2 gelu(W_1 ln_2(x))`; `ln_f` above the last one. One
/// layer gives queries, keys and values. Language modelling: `lm_head(h)`, tied to the word embeddings, as `GPT2LMHeadModel`.
/// Classification: `score(h)` of the last token, as `GPT2ForSequenceClassification`.
public enum GPT2: ModelFamily {
  public static let modelType = "gpt2"
  public static let baseModelPrefix = "transformer"
  public static let className = "GPT2"
  public static let languageClass = "LMHeadModel"
  public static let defaultTargetModules = ["c_attn"]
  public static let dropoutKeys = ["embd_pdrop", "resid_pdrop", "attn_pdrop"]

  public static func body(_ config: HuggingFaceConfig) throws -> StackLayout {
    let size = try config.int("n_embd", in: 1...65_536, default: 768)
    let count = try config.int("n_layer", in: 1...1_000, default: 12)
    let heads = try config.int("n_head", in: 1...65_536, default: 12)
    let positions = try config.int("n_positions", in: 1...10_000_000, default: 1024)
    let std = try config.double("initializer_range", in: 0...100, default: 0.02)
    guard size % heads == 0 else {
      throw EngineError(.data, "\(config.path): n_embd \(size) is not divisible by n_head \(heads)")
    }
    for (key, expected) in [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false), ("add_cross_attention", false)]
    where try config.bool(key, default: expected) != expected {
      throw EngineError(.data, "\(config.path): \(key) = \(!expected) is not supported, expected \(expected)")
    }
    let outputStd = std / Double(2 * count).squareRoot()
    return StackLayout(
      prefix: baseModelPrefix,
      embeddings: EmbeddingLayout(
        path: "", words: "wte", vocabulary: try config.int("vocab_size", in: 1...10_000_000, default: 50_257),
        terms: [.positions("wpe", rows: positions)], longestInput: positions),
      dropout: try config.double("embd_pdrop", in: 0..<1, default: 0.1), layers: ("h", count),
      layer: LayerLayout(
        size: size, norm: .layer(eps: try config.double("layer_norm_epsilon", in: 0...1, default: 1e-5)), .before,
        dropout: try config.double("resid_pdrop", in: 0..<1, default: 0.1), std: std,
        // Transformers' Conv1D.
        storesTransposed: true,
        parts: [
          .attention(
            AttentionLayout(
              "attn", heads: heads, headSize: size / heads, projections: .fused("c_attn"), isCausal: true,
              dropout: try config.double("attn_pdrop", in: 0..<1, default: 0.1)),
            output: "attn", projection: "c_proj", std: outputStd, norm: "ln_1"),
          .feedForward(
            FeedForwardLayout(
              up: "mlp.c_fc", inner: try config.int("n_inner", in: 1...1_000_000, default: 4 * size),
              activation: try config.activation("activation_function", default: "gelu_new")),
            output: "mlp", projection: "c_proj", std: outputStd, norm: "ln_2"),
        ]),
      lastNorm: "ln_f")
  }

  public static func head(
    _ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder
  ) throws -> any ModelHead {
    switch kind {
    case .sequence(let labels): try LastTokenHead(builder, on: body, path: "score", labels: labels.count)
    case .language: try LanguageHead(builder, on: body, path: "lm_head", isTied: config.bool("tie_word_embeddings", default: true))
    }
  }

  /// Checkpoints have the causal mask of each layer, and some of them the tied head.
  public static func isNoParameter(_ name: String) -> Bool {
    name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") || name == "lm_head.weight"
  }
}
