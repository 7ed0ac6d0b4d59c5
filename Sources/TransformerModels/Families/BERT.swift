import Checkpoints
import Diagnostics
import Foundation
import NN
import TensorCore

/// BERT. Paper: Devlin et al. 2019, arXiv 1810.04805.
///
/// `x = LayerNorm(word + position + type)`; each layer `x = LayerNorm(x + attention(x))`, `x = LayerNorm(x + W_2 gelu(W_1 x))`.
/// Classification: `classifier(dropout(tanh(pooler(h_0))))` of the first token, as `BertForSequenceClassification`.
/// Masked language modelling: `decoder(LayerNorm(gelu(dense(h))))`, the decoder tied to the word embeddings.
public enum BERT: ModelFamily {
  public static let modelType = "bert"
  public static let baseModelPrefix = "bert"
  public static let className = "Bert"
  public static let languageClass = "ForMaskedLM"
  public static let defaultTargetModules = ["query", "value"]
  public static let dropoutKeys = ["hidden_dropout_prob", "attention_probs_dropout_prob"]

  public static func body(_ config: HuggingFaceConfig) throws -> StackLayout { try encoder(config, prefix: baseModelPrefix, firstPosition: 0) }

  /// The encoder that BERT and RoBERTa share. `firstPosition`: the row of a sequence's first token in the table of positions.
  static func encoder(_ config: HuggingFaceConfig, prefix: String, firstPosition: Int) throws -> StackLayout {
    let vocabulary = try config.int("vocab_size", in: 1...10_000_000)
    let size = try config.int("hidden_size", in: 1...65_536)
    let count = try config.int("num_hidden_layers", in: 1...1_000)
    let heads = try config.int("num_attention_heads", in: 1...65_536)
    let inner = try config.int("intermediate_size", in: 1...1_000_000)
    let dropout = try config.double("hidden_dropout_prob", in: 0..<1, default: 0.1)
    let attentionDropout = try config.double("attention_probs_dropout_prob", in: 0..<1, default: 0.1)
    let positions = try config.int("max_position_embeddings", in: 1...10_000_000, default: 512)
    let types = try config.int("type_vocab_size", in: 1...1_000, default: 2)
    let norm = NormKind.layer(eps: try config.double("layer_norm_eps", in: 0...1, default: 1e-12))
    let std = try config.double("initializer_range", in: 0...100, default: 0.02)
    let activation = try config.activation("hidden_act", default: "gelu")
    guard size % heads == 0 else {
      throw EngineError(.data, "\(config.path): hidden_size \(size) is not divisible by num_attention_heads \(heads)")
    }
    let kind = try config.string("position_embedding_type", default: "absolute")
    guard kind == "absolute" else {
      throw EngineError(.data, "\(config.path): position_embedding_type '\(kind)' is not supported, expected 'absolute'")
    }
    for key in ["is_decoder", "add_cross_attention"] where try config.bool(key, default: false) {
      throw EngineError(.data, "\(config.path): \(key) is true: only the encoders of this family are supported")
    }
    guard firstPosition < positions else {
      throw EngineError(.data, "\(config.path): max_position_embeddings \(positions) leaves no position for a token")
    }
    return StackLayout(
      prefix: prefix,
      embeddings: EmbeddingLayout(
        path: "embeddings", words: "word_embeddings", vocabulary: vocabulary,
        terms: [
          .positions("position_embeddings", rows: positions, first: firstPosition),
          .init("token_type_embeddings") { try TokenTypes($0, rows: types, $1, std: $2) },
        ], norm: ("LayerNorm", norm), longestInput: positions - firstPosition),
      dropout: dropout, layers: ("encoder.layer", count),
      layer: LayerLayout(
        size: size, norm: norm, .after, dropout: dropout, std: std,
        parts: [
          .attention(
            AttentionLayout(
              "attention.self", heads: heads, headSize: size / heads, projections: .separate(query: "query", key: "key", value: "value"),
              dropout: attentionDropout),
            output: "attention.output", projection: "dense", norm: "attention.output.LayerNorm"),
          .feedForward(
            FeedForwardLayout(up: "intermediate.dense", inner: inner, activation: activation), output: "output", projection: "dense",
            norm: "output.LayerNorm"),
        ]))
  }

  public static func head(
    _ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder
  ) throws -> any ModelHead {
    switch kind {
    case .sequence(let labels): try PooledHead(builder, on: body, labels: labels.count, dropout: classifierDropout(config))
    case .language:
      try MaskedLanguageHead(
        builder, on: body, config, path: "cls", owner: "cls.predictions", transform: "cls.predictions.transform", norm: "LayerNorm",
        activation: config.activation("hidden_act", default: "gelu"))
    }
  }

  /// Dropout in the classification head; the body's where the configuration has none.
  static func classifierDropout(_ config: HuggingFaceConfig) throws -> Double {
    try config.double("classifier_dropout", in: 0..<1, default: config.double("hidden_dropout_prob", in: 0..<1, default: 0.1))
  }

  /// The names that TensorFlow's checkpoints gave the norms' parameters.
  public static func aliases(of name: String) -> [String] {
    guard name.contains("LayerNorm.") else { return [] }
    return [
      name.replacingOccurrences(of: "LayerNorm.weight", with: "LayerNorm.gamma")
        .replacingOccurrences(of: "LayerNorm.bias", with: "LayerNorm.beta")
    ]
  }

  /// Checkpoints for masked language modelling have no pooler.
  public static func mayLack(_ name: String) -> Bool { name.contains(".pooler.") }
}

/// Vectors for the segments of a pair of texts.
final class TokenTypes: Embedding, EmbeddingTerm {
  func ids(of rows: InputRows) -> [Int32] { rows.types }
}

/// BERT's classification head, and the pooler below it, which is part of the body in the state dict.
private final class PooledHead: ModelHead {
  let path: String? = "classifier"
  let reads = HeadInput.firstTokens
  private let pooler, classifier: Linear
  private let dropout: Double

  init(_ builder: ParameterBuilder, on body: Stack, labels: Int, dropout: Double) throws {
    let layer = body.layout.layer
    pooler = try Linear(builder.scope("bert.pooler.dense"), in: layer.size, out: layer.size, std: layer.std)
    classifier = try Linear(builder.scope("classifier"), in: layer.size, out: labels, std: layer.std, role: .head)
    self.dropout = dropout
  }

  var parts: [(path: String, module: Module)] { [("bert.pooler.dense", pooler), ("classifier", classifier)] }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    let pooled = try pooler(hidden, context).tanh()
    return try classifier(pooled.dropout(context.dropout(dropout)), context)
  }
}
