import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// A transformer with a head. Architectures subclass it. Adapters attach to the model itself what their layers share.
open class TransformerModel: AdapterHost {
  public let architecture: ModelArchitecture
  /// The content of `config.json`, with the head's labels.
  public private(set) var config: HuggingFaceConfig
  public private(set) var head: HeadKind
  /// Training mode, seed and step of the forward passes.
  public let context = ForwardContext()

  public init(architecture: ModelArchitecture, config: HuggingFaceConfig, head: HeadKind) {
    self.architecture = architecture
    self.config = config
    self.head = head
  }

  /// Scores for the batch: [sequences, labels] of a sequence head, [rows, V] of a language head.
  open func logits(_ batch: Batch, rows: RowChoice) throws -> Tensor {
    preconditionFailure("\(Self.self) must override logits(_:rows:)")
  }

  /// State-dict names of the modules of the head, which a new task replaces and adapters leave trainable.
  open var headModules: [String] { [] }

  /// The parameters of the head.
  public var headParameters: [(name: String, tensor: Tensor)] {
    namedParameters().filter { entry in headModules.contains { entry.name.hasPrefix($0 + ".") } }
  }

  /// The longest sequence that the model takes, in tokens.
  open var maxLength: Int { Int.max }

  /// Names of the labels in the order of the head's outputs; one for regression, none for a language head.
  public var labels: [String] { head.labels }

  /// Number of labels; 1 for regression, 0 for a language head.
  public var numLabels: Int { labels.count }

  /// Scores in one row of the logits.
  public func outputCount() throws -> Int { head.isSequence ? numLabels : try config.int("vocab_size") }

  /// Scores in evaluation mode and without gradients.
  public func predict(_ batch: Batch) throws -> Tensor {
    let wasTraining = context.isTraining
    context.isTraining = false
    defer { context.isTraining = wasTraining }
    return try Autograd.noGrad {
      context.begin()
      return try logits(batch, rows: .all)
    }
  }

  /// Gives the labels other names. Throws where their number is another.
  public func rename(labels: [String]) throws {
    guard head.isSequence, numLabels == labels.count else {
      throw EngineError(.argument, "\(labels.count) names for \(numLabels) labels")
    }
    if let twice = labels.indices.first(where: { labels[..<$0].contains(labels[$0]) }) {
      throw EngineError(.argument, "two labels have the name '\(labels[twice])'")
    }
    head = .sequence(labels: labels)
    config = config.setting(head)
  }

  /// Lets all adapters take part, or none. What is merged comes out of the weights first, unless nothing changes. Throws
  /// where it cannot, and changes nothing then.
  public func setAdapters(enabled: Bool) throws {
    let hosts = namedModules().compactMap { $0.module as? AdapterHost }.filter { $0.adaptersEnabled != enabled }
    for host in hosts { try host.willChangeAdapters() }
    for host in hosts { try host.setAdaptersEnabled(enabled) }
  }
}

/// How one model family is built; one catalogue line each.
public struct ModelArchitecture: Sendable {
  /// `model_type` of `config.json`.
  public let modelType: String
  /// What checkpoints of the bare body leave off: "bert" for `BertModel`.
  public let baseModelPrefix: String
  /// Adapter targets where none are given: PEFT's table.
  public let defaultTargetModules: [String]
  /// What Transformers' class names begin with: "Bert" for `BertForSequenceClassification`.
  public let className: String
  /// The layer of the classification head whose outputs are the labels' scores.
  public let headOutput: String
  /// What Transformers' class names end with where the head is a language head.
  public let languageClass: String
  public let make: @Sendable (HuggingFaceConfig, HeadKind, ParameterBuilder) throws -> TransformerModel

  public init(
    modelType: String, baseModelPrefix: String, defaultTargetModules: [String], className: String, headOutput: String,
    languageClass: String = "ForMaskedLM",
    make: @escaping @Sendable (HuggingFaceConfig, HeadKind, ParameterBuilder) throws -> TransformerModel
  ) {
    self.modelType = modelType
    self.baseModelPrefix = baseModelPrefix
    self.defaultTargetModules = defaultTargetModules
    self.className = className
    self.headOutput = headOutput
    self.languageClass = languageClass
    self.make = make
  }
}

extension ModelArchitecture {
  /// What Transformers calls a model of the family with a classification head, behind the family's name.
  public static let sequenceClass = "ForSequenceClassification"

  /// Transformers' class of a model with this head: "BertForMaskedLM".
  func className(_ head: HeadKind) -> String { className + (head.isSequence ? Self.sequenceClass : languageClass) }
}

/// The model families.
public enum ModelCatalogue {
  public static let architectures: [ModelArchitecture] = [BERT.architecture, RoBERTa.architecture]

  /// The family of a `config.json`.
  public static func architecture(of config: HuggingFaceConfig) throws -> ModelArchitecture {
    let name = try config.string("model_type")
    if let found = architectures.first(where: { $0.modelType == name }) { return found }
    let supported = architectures.map(\.modelType)
    let hint = others[name].map { "\($0); supported are \(supported.joined(separator: ", "))" } ?? suggestion(for: name, among: supported)
    throw EngineError(.data, "\(config.path): model_type '\(name)' is not supported", hint: hint)
  }

  /// Families whose names or layouts are near to those above, and why their folders are no such model.
  private static let others: [String: String] = [
    "albert": "ALBERT's layers share one set of weights, BERT's do not", "distilbert": "DistilBERT's layers and names are not BERT's",
    "electra": "ELECTRA has embeddings of another size than its layers", "deberta": "DeBERTa's attention is by relative positions",
    "deberta-v2": "DeBERTa's attention is by relative positions", "modernbert": "ModernBERT has rotary positions and gated layers",
    "xlm-roberta": "its layers are RoBERTa's, but its tokenizer (SentencePiece) is not read here",
    "camembert": "its layers are RoBERTa's, but its tokenizer (SentencePiece) is not read here",
    "mobilebert": "MobileBERT has bottlenecks between its layers", "mpnet": "MPNet's attention is by relative positions",
    "roformer": "RoFormer has rotary positions", "nomic_bert": "it has rotary positions and gated layers", "big_bird": "its attention is sparse",
    "longformer": "its attention is sparse", "bart": "encoders with decoders are not read here", "t5": "encoders with decoders are not read here",
    "gpt2": "decoders are not read here", "llama": "decoders are not read here",
  ]
}
