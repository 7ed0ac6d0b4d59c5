import Checkpoints
import NN
import TensorCore

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
    case .sequence(let labels): try RoBERTaHead(builder, on: body, labels: labels.count, dropout: BERT.classifierDropout(config))
    // The head uses GELU whatever the body uses.
    case .language:
      try MaskedLanguageHead(
        builder, on: body, config, path: "lm_head", owner: "lm_head", transform: "lm_head", norm: "layer_norm", activation: .gelu)
    }
  }

  public static func aliases(of name: String) -> [String] { BERT.aliases(of: name) }
}

/// RoBERTa's classification head: two layers.
private final class RoBERTaHead: ModelHead {
  let path: String? = "classifier"
  let reads = HeadInput.firstTokens
  private let dense, outProj: Linear
  private let dropout: Double

  init(_ builder: ParameterBuilder, on body: Stack, labels: Int, dropout: Double) throws {
    let layer = body.layout.layer
    dense = try Linear(builder.scope("classifier.dense"), in: layer.size, out: layer.size, std: layer.std)
    outProj = try Linear(builder.scope("classifier.out_proj"), in: layer.size, out: labels, std: layer.std, role: .head)
    self.dropout = dropout
  }

  var parts: [(path: String, module: Module)] { [("classifier.dense", dense), ("classifier.out_proj", outProj)] }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    let first = try hidden.dropout(context.dropout(dropout))
    let features = try dense(first, context).tanh().dropout(context.dropout(dropout))
    return try outProj(features, context)
  }
}
