import Checkpoints
import Diagnostics
import Foundation
import NN
import TensorCore

/// T5, v1.0 and v1.1. Paper: Raffel et al. 2020, arXiv 1910.10683.
///
/// Encoder and decoder: `x = word`; each layer `x = x + attention(norm(x))`, in the decoder then `x = x + attention(norm(x), encoder)`,
/// and `x = x + W_o relu(W_i norm(x))`, in v1.1 `x = x + W_o (gelu(W_0 norm(x)) * W_1 norm(x))`; RMS norms, no biases, a norm above the
/// last layer. Scores are not divided by a root; learned terms for the distance of key and query are added to them, the same in all
/// layers of a stack. Both stacks share the word embeddings. Language modelling: `lm_head(h / sqrt(C))` tied to the word embeddings,
/// in v1.1 `lm_head(h)` of its own, as `T5ForConditionalGeneration`. Classification as BART's, as `T5ForSequenceClassification`.
public enum T5: ModelFamily {
  public static let modelType = "t5"
  public static let baseModelPrefix = "transformer"
  public static let className = "T5"
  public static let languageClass = "ForConditionalGeneration"
  public static let defaultTargetModules = ["q", "v"]
  public static let dropoutKeys = ["dropout_rate"]

  public static func bodyPath(_ head: HeadKind) -> String { head.isSequence ? baseModelPrefix : "" }

  public static func body(_ config: HuggingFaceConfig) throws -> StackLayout { try stack(config, "decoder") }

  public static func encoder(_ config: HuggingFaceConfig) throws -> EncoderLayout? {
    EncoderLayout(
      try stack(config, "encoder"), words: "shared",
      startToken: Int32(
        try config.int("decoder_start_token_id", in: 0...10_000_000, default: config.int("pad_token_id", in: 0...10_000_000, default: 0))))
  }

  private static func stack(_ config: HuggingFaceConfig, _ name: String) throws -> StackLayout {
    let isDecoder = name == "decoder"
    let size = try config.int("d_model", in: 1...65_536, default: 512)
    let heads = try config.int("num_heads", in: 1...65_536, default: 8)
    let headSize = try config.int("d_kv", in: 1...65_536, default: 64)
    let inner = try config.int("d_ff", in: 1...1_000_000, default: 2048)
    let count = try config.int("num_layers", in: 1...1_000, default: 6)
    let dropout = try config.double("dropout_rate", in: 0..<1, default: 0.1)
    let factor = try config.double("initializer_factor", in: 0...1_000, default: 1)
    let norm = NormKind.rms(eps: try config.double("layer_norm_epsilon", in: 0...1, default: 1e-6))
    let block = try feedForward(config)
    let (buckets, farthest) = (
      try config.int("relative_attention_num_buckets", in: 4...10_000, default: 32),
      try config.int("relative_attention_max_distance", in: 2...10_000_000, default: 128)
    )
    guard farthest > buckets / (isDecoder ? 2 : 4) else {
      throw EngineError(
        .data, "\(config.path): relative_attention_max_distance \(farthest) leaves no distances for half of \(buckets) buckets")
    }
    func std(_ width: Int) -> Double { factor / Double(width).squareRoot() }
    let tableStd = std(size)
    func attention(_ part: Int, _ path: String, over source: AttentionLayout.Source = .itself) -> LayerLayout.Part {
      let path = "layer.\(part).\(path)"
      return .attention(
        AttentionLayout(
          path, over: source, heads: heads, headSize: headSize, projections: .separate(query: "q", key: "k", value: "v"), hasBias: false,
          relative: source == .encoder
            ? nil
            : (
              "relative_attention_bias",
              { try T5Positions($0, buckets: buckets, farthest: farthest, isCausal: isDecoder, heads: $1, std: tableStd) }
            ),
          scale: 1, isCausal: isDecoder && source == .itself, dropout: dropout, queryStd: std(size * headSize)),
        output: path, projection: "o", hasBias: false, std: std(heads * headSize), norm: "layer.\(part).layer_norm")
    }
    let last = isDecoder ? 2 : 1
    let dense = "layer.\(last).DenseReluDense"
    return StackLayout(
      prefix: name,
      embeddings: EmbeddingLayout(
        path: "", words: "embed_tokens", vocabulary: try config.int("vocab_size", in: 1...10_000_000, default: 32_128),
        // Relative positions have no end.
        longestInput: Int(Int32.max), std: factor),
      dropout: dropout, layers: ("block", isDecoder ? try config.int("num_decoder_layers", in: 1...1_000, default: count) : count),
      layer: LayerLayout(
        size: size, norm: norm, .before, dropout: dropout, std: std(size),
        parts: [attention(0, "SelfAttention")] + (isDecoder ? [attention(1, "EncDecAttention", over: .encoder)] : []) + [
          .feedForward(
            FeedForwardLayout(
              up: dense + (block.isGated ? ".wi_1" : ".wi"), gate: block.isGated ? dense + ".wi_0" : nil, inner: inner,
              activation: block.activation, hasBias: false, dropout: dropout),
            output: dense, projection: "wo", hasBias: false, std: std(inner), norm: "layer.\(last).layer_norm")
        ]),
      lastNorm: "final_layer_norm", lastDropout: dropout)
  }

  /// `feed_forward_proj`: the name of a function, "gated-" before it where it is multiplied by a second layer's output.
  private static func feedForward(_ config: HuggingFaceConfig) throws -> (isGated: Bool, activation: UnaryOperation) {
    let name = try config.string("feed_forward_proj", default: "relu")
    let isGated = name.hasPrefix("gated-")
    // T5 v1.1's name for the tanh approximation.
    let function = name == "gated-gelu" ? "gelu_new" : isGated ? String(name.dropFirst("gated-".count)) : name
    return (
      isGated, try HuggingFaceConfig(["feed_forward_proj": .string(function)], path: config.path).activation("feed_forward_proj", default: "relu")
    )
  }

  public static func head(
    _ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder
  ) throws -> any ModelHead {
    let (size, factor) = (body.layout.layer.size, body.layout.embeddings.std ?? 1)
    switch kind {
    case .sequence(let labels):
      return try TwoLayerHead(
        builder, on: body, path: "classification_head", labels: labels.count,
        dropout: config.double("classifier_dropout", in: 0..<1, default: 0), std: body.layout.layer.std,
        endToken: Int32(config.int("eos_token_id", in: 0...10_000_000, default: 1)))
    case .language:
      // Since Transformers 5, folders of v1.1 say that its head is tied, and beside it that nothing is scaled.
      let saysTied = try config.bool("tie_word_embeddings", default: true)
      let isScaled = try config.bool("scale_decoder_outputs", default: saysTied)
      let isTied = try saysTied && (isScaled || !builder.isInSource("lm_head.weight"))
      return try LanguageHead(
        builder, on: body, path: "lm_head", isTied: isTied, std: factor, scale: isScaled ? 1 / Double(size).squareRoot() : 1)
    }
  }

  /// Checkpoints may have the shared table under the names of those who share it, and a classifier's body has a prefix.
  public static func aliases(of name: String) -> [String] {
    let prefix = baseModelPrefix + "."
    let plain = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    let shared = plain == "shared.weight" ? ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] : []
    return shared + ([plain] + shared).map { prefix + $0 }
  }

  public static func isNoParameter(_ name: String) -> Bool {
    name.hasSuffix("embed_tokens.weight") || name == "lm_head.weight" || name.hasSuffix("EncDecAttention.relative_attention_bias.weight")
  }
}

/// A term of the scores for each head and bucket of distances: small distances have a bucket each, larger ones share them on a
/// logarithmic scale. `weight`: [buckets, heads].
final class T5Positions: Embedding, RelativePositions {
  private let buckets, farthest: Int
  private let isCausal: Bool

  /// `farthest`: from this distance on, all are in the last bucket. Causal attention needs no buckets for keys behind the query.
  init(_ builder: ParameterBuilder, buckets: Int, farthest: Int, isCausal: Bool, heads: Int, std: Double) throws {
    (self.buckets, self.farthest, self.isCausal) = (buckets, farthest, isCausal)
    try super.init(builder, rows: buckets, heads, std: std)
  }

  func bias(length: Int) throws -> RelativeBias {
    let reach = max(length, 1) - 1
    let ids = (-reach...(isCausal ? 0 : reach)).map(bucket)
    return RelativeBias(try weight.gatherRows(ids).transpose(0, 1), zero: reach)
  }

  /// The bucket of a key so many tokens behind its query; in float32, as in Transformers.
  func bucket(_ distance: Int) -> Int32 {
    let count = isCausal ? buckets : buckets / 2
    let first = !isCausal && distance > 0 ? count : 0
    let (far, exact) = (isCausal ? max(0, -distance) : abs(distance), count / 2)
    guard far >= exact else { return Int32(first + far) }
    let ratio = log(Float(far) / Float(exact)) / Float(log(Double(farthest) / Double(exact)))
    return Int32(first + min(count - 1, exact + Int(ratio * Float(count - exact))))
  }
}
