import Checkpoints
import NN

/// RoBERTa. Paper: Liu et al. 2019, arXiv 1907.11692.
///
/// BERT's encoder, whose positions begin at `pad_token_id + 1`. Classification:
/// `out_proj(dropout(tanh(dense(dropout(h_0)))))` of the first token, as `RobertaForSequenceClassification`. Masked language
/// modelling: `decoder(LayerNorm(gelu(dense(h))))`, the decoder tied to the word embeddings.
public enum RoBERTa: ModelFamily {
  public static let modelType = "roberta"
  public static let baseModelPrefix = "roberta"
  public static let className = "Roberta"
  public static let languageClass = "ForMaskedLM"
  public static let defaultTargetModules = ["query", "value"]
  public static let dropoutKeys = BERT.dropoutKeys

  public static func body(_ config: HuggingFaceConfig) throws -> StackLayout {
    let padding = try config.int("pad_token_id", in: 0...10_000_000, default: 1)
    return try BERT.encoder(config, prefix: baseModelPrefix, firstPosition: padding + 1)
  }

  public static func head(
    _ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder
  ) throws -> any ModelHead {
    switch kind {
    case .sequence(let labels):
      try TwoLayerHead(builder, on: body, path: "classifier", labels: labels.count, dropout: BERT.classifierDropout(config))
    // The head uses GELU whatever the body uses.
    case .language:
      try MaskedLanguageHead(
        builder, on: body, config, path: "lm_head", owner: "lm_head", transform: "lm_head", norm: "layer_norm", activation: .gelu)
    }
  }

  public static func aliases(of name: String) -> [String] { BERT.aliases(of: name) }
}
