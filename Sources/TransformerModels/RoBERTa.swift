import Checkpoints
import Diagnostics
import NN
import TensorCore

/// RoBERTa with its heads. Paper: Liu et al. 2019, arXiv 1907.11692.
///
/// Classification: `out_proj(dropout(tanh(dense(dropout(h_0)))))` of the first token, as
/// `RobertaForSequenceClassification`. Masked language modelling: `decoder(LayerNorm(gelu(dense(h))))`, the decoder tied
/// to the word embeddings. Positions begin at `pad_token_id + 1`.
public final class RoBERTa: TransformerModel {
  public static let architecture = ModelArchitecture(
    modelType: "roberta", baseModelPrefix: "roberta", defaultTargetModules: ["query", "value"], className: "Roberta",
    headOutput: "classifier.out_proj"
  ) { try RoBERTa($0, $1, $2) }

  private let encoder: Encoder
  private let dense: Linear?
  private let outProj: Linear?
  private let languageHead: LanguageHead?

  init(_ config: HuggingFaceConfig, _ head: HeadKind, _ builder: ParameterBuilder) throws {
    let padding = try config.int("pad_token_id", in: 0...10_000_000, default: 1)
    let encoderConfig = try EncoderConfig(config, firstPosition: padding + 1)
    let (size, std) = (encoderConfig.hiddenSize, encoderConfig.initializerRange)
    encoder = try Encoder(builder.scope("roberta"), encoderConfig, hasPooler: false)
    if case .sequence(let labels) = head {
      let scope = builder.scope("classifier")
      dense = try Linear(scope.scope("dense"), in: size, out: size, std: std)
      outProj = try Linear(scope.scope("out_proj"), in: size, out: labels.count, std: std)
      languageHead = nil
    } else {
      (dense, outProj) = (nil, nil)
      let scope = builder.scope("lm_head")
      languageHead = try LanguageHead(
        transform: scope, norm: "layer_norm", bias: scope, encoderConfig, table: encoder.wordEmbeddings.weight)
    }
    super.init(architecture: Self.architecture, config: config, head: head)
  }

  public override var parts: [(name: String, module: Module)] {
    var parts: [(name: String, module: Module)] = [("roberta", encoder)]
    if let dense, let outProj { parts.append(("classifier", Group([("dense", dense), ("out_proj", outProj)]))) }
    if let languageHead {
      parts.append(("lm_head", Group([("", languageHead), ("dense", languageHead.dense), ("layer_norm", languageHead.norm)])))
    }
    return parts
  }

  public override var headModules: [String] { dense == nil ? ["lm_head"] : ["classifier"] }
  public override var maxLength: Int { encoder.maxLength }

  public override func logits(_ batch: Batch, rows: RowChoice) throws -> Tensor {
    if let languageHead { return try languageHead(encoder(batch, rows, context).to(.float32), context) }
    guard let dense, let outProj else { preconditionFailure("a model without a head") }
    let p = encoder.config.classifierDropout
    let first = try encoder.firstTokens(batch, context).to(.float32).dropout(context.dropout(p))
    let features = try dense(first, context).tanh().dropout(context.dropout(p))
    return try outProj(features, context)
  }
}
