import Checkpoints
import Diagnostics
import NN
import TensorCore

/// A family of models: what `config.json` makes of the kit's layers, and how its checkpoints call them. One file each, and one line
/// of `ModelCatalogue`.
public protocol ModelFamily: Sendable {
  /// `model_type` of `config.json`.
  static var modelType: String { get }
  /// What the names of the body's parameters begin with, and checkpoints of the bare body leave off: "bert".
  static var baseModelPrefix: String { get }
  /// What Transformers' class names begin with: "Bert" for `BertForSequenceClassification`.
  static var className: String { get }
  /// What they end with where the head is a language head: "ForMaskedLM".
  static var languageClass: String { get }
  /// LoRA's targets where none are given: PEFT's table.
  static var defaultTargetModules: [String] { get }
  /// Keys of `config.json` that hold the body's dropout rates.
  static var dropoutKeys: [String] { get }

  /// Path of everything below a head, in front of the stacks' own prefixes. Default: none.
  static func bodyPath(_ head: HeadKind) -> String
  /// The body of a model. Throws `EngineError` naming the key of the configuration that is missing or wrong.
  static func body(_ config: HuggingFaceConfig) throws -> StackLayout
  /// What the body attends to beside its own tokens. Default: nothing.
  static func encoder(_ config: HuggingFaceConfig) throws -> EncoderLayout?
  /// The head of a model. `builder` is that of the whole model.
  static func head(_ kind: HeadKind, on body: Stack, _ config: HuggingFaceConfig, _ builder: ParameterBuilder) throws -> any ModelHead

  /// Other names that checkpoints use for a parameter, beside those without the body's prefix. Default: none.
  static func aliases(of name: String) -> [String]
  /// Whether a checkpoint may lack a parameter of the body, which then starts anew. Default: no.
  static func mayLack(_ name: String) -> Bool
  /// Whether a tensor of a checkpoint is no parameter, and not worth a remark. Default: no.
  static func isNoParameter(_ name: String) -> Bool
}

extension ModelFamily {
  public static func bodyPath(_ head: HeadKind) -> String { "" }
  public static func encoder(_ config: HuggingFaceConfig) throws -> EncoderLayout? { nil }
  public static func aliases(of name: String) -> [String] { [] }
  public static func mayLack(_ name: String) -> Bool { false }
  public static func isNoParameter(_ name: String) -> Bool { false }

  /// Transformers' class of a model with this head: "BertForMaskedLM".
  static func className(_ head: HeadKind) -> String { className + (head.isSequence ? ModelCatalogue.sequenceClass : languageClass) }
}

/// Which tokens' hidden states a head reads.
public enum HeadInput: Sendable {
  /// Each sequence's first row, which is a prompt's where there are prompts.
  case firstTokens
  /// Each sequence's last token.
  case lastTokens
  /// The tokens that the caller chooses.
  case tokens
  /// Every row, those of prompts included: what cross-attention reads.
  case everything

  /// Whether it is one row of each sequence.
  var isOneRowEach: Bool {
    switch self {
    case .firstTokens, .lastTokens: true
    case .tokens, .everything: false
    }
  }
}

/// What stands above a model's body, and gives its scores.
public protocol ModelHead: AnyObject {
  /// The modules with their paths in the model, in state-dict order.
  var parts: [(path: String, module: Module)] { get }
  /// Path of the module that another task replaces, and that trains beside adapters where `modules_to_save` is not given; nil: the
  /// head belongs to the body, as that of a model that writes text.
  var path: String? { get }
  var reads: HeadInput { get }
  /// The tokens that it reads where `reads` leaves them to be chosen; the caller's, unless it knows better.
  func rows(_ chosen: RowChoice, of batch: Batch) throws -> RowChoice
  /// Values of checkpoints that never train and are no parameters, with their names in the model. Default: none.
  var buffers: [(name: String, tensor: Tensor)] { get }

  /// hidden: [rows, C], float32. Result: [rows, scores].
  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor
  /// Mean cross-entropy of the scores against class indices, see `Tensor.crossEntropy`. Default: of scores that exist all at once.
  func crossEntropy(
    _ hidden: Tensor, _ labels: [Int32], labelSmoothing: Double, divisor: Double?, _ context: ForwardContext
  ) throws -> Tensor
}

extension ModelHead {
  func crossEntropy(
    _ hidden: Tensor, _ labels: [Int32], labelSmoothing: Double, divisor: Double?, _ context: ForwardContext
  ) throws -> Tensor {
    try self(hidden, context).crossEntropy(labels, labelSmoothing: labelSmoothing, divisor: divisor)
  }

  func rows(_ chosen: RowChoice, of batch: Batch) throws -> RowChoice { chosen }
  var buffers: [(name: String, tensor: Tensor)] { [] }
}

extension HuggingFaceConfig {
  /// The activation that a key names, in Transformers' words.
  public func activation(_ key: String, default standard: String) throws -> UnaryOperation {
    let activations: [String: UnaryOperation] = [
      "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh, "relu": .relu, "silu": .silu, "swish": .silu, "tanh": .tanh,
    ]
    let name = try string(key, among: activations.keys.sorted(), default: standard)
    return activations[name] ?? .gelu
  }
}
