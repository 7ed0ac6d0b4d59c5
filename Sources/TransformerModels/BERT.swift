import Checkpoints
import Diagnostics
import NN
import TensorCore

/// BERT with its heads. Paper: Devlin et al. 2019, arXiv 1810.04805.
///
/// Classification: `classifier(dropout(tanh(pooler(h_0))))` of the first token, as `BertForSequenceClassification`.
/// Masked language modelling: `decoder(LayerNorm(gelu(dense(h))))`, the decoder tied to the word embeddings.
public final class BERT: TransformerModel {
  public static let architecture = ModelArchitecture(
    modelType: "bert", baseModelPrefix: "bert", defaultTargetModules: ["query", "value"], className: "Bert",
    headOutput: "classifier"
  ) { try BERT($0, $1, $2) }

  private let encoder: Encoder
  private let classifier: Linear?
  private let languageHead: LanguageHead?

  init(_ config: HuggingFaceConfig, _ head: HeadKind, _ builder: ParameterBuilder) throws {
    let encoderConfig = try EncoderConfig(config, firstPosition: 0)
    encoder = try Encoder(builder.scope("bert"), encoderConfig, hasPooler: head.isSequence)
    if case .sequence(let labels) = head {
      classifier = try Linear(
        builder.scope("classifier"), in: encoderConfig.hiddenSize, out: labels.count, std: encoderConfig.initializerRange)
      languageHead = nil
    } else {
      classifier = nil
      let scope = builder.scope("cls").scope("predictions")
      languageHead = try LanguageHead(
        transform: scope.scope("transform"), norm: "LayerNorm", bias: scope, encoderConfig, table: encoder.wordEmbeddings.weight)
    }
    super.init(architecture: Self.architecture, config: config, head: head)
  }

  public override var parts: [(name: String, module: Module)] {
    var parts: [(name: String, module: Module)] = [("bert", encoder)]
    if let classifier { parts.append(("classifier", classifier)) }
    if let languageHead {
      let transform = Group([("dense", languageHead.dense), ("LayerNorm", languageHead.norm)])
      parts.append(("cls", Group([("predictions", Group([("", languageHead), ("transform", transform)]))])))
    }
    return parts
  }

  public override var headModules: [String] { classifier == nil ? ["cls"] : ["classifier"] }
  public override var maxLength: Int { encoder.maxLength }

  public override func logits(_ batch: Batch, rows: RowChoice) throws -> Tensor {
    if let languageHead { return try languageHead(encoder(batch, rows, context).to(.float32), context) }
    guard let classifier, let pooler = encoder.pooler else { preconditionFailure("a model without a head") }
    let pooled = try pooler(encoder.firstTokens(batch, context).to(.float32), context).tanh()
    return try classifier(pooled.dropout(context.dropout(encoder.config.classifierDropout)), context)
  }
}
