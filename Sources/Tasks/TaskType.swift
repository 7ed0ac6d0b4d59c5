import Checkpoints
import Datasets
import Diagnostics
import Files
import Metrics
import TensorCore
import Tokenizers
import TransformerModels

/// What is to be learnt from examples: which head a model needs for it, what a batch should give, the loss, and what the logits
/// say. One file each, and one line in `TaskTypeCatalogue`.
///
/// A model has one, which says what its head is for; so has a task, for its data. Where the two fit, see `match`, the model can
/// be trained and evaluated on the task.
public protocol TaskType: Sendable {
  /// Its name in reports, configurations and scripts: "regression", "masked_lm".
  static var name: String { get }
  /// PEFT's word for it in `adapter_config.json`; nil: PEFT has none.
  static var peftType: String? { get }
  /// Training arguments that this type alone reads, by name: the results of others do not depend on them.
  static var ownArguments: [String] { get }
  /// Whether `prepare` changes tokens, so that nothing that a model computed of them can be used again.
  static var altersTokens: Bool { get }
  /// The head that a model needs.
  var head: HeadKind { get }
  /// What a model's `config.json` says of it beside the head.
  var settings: JSONObject { get }
  /// What a model gives, for messages: "2 classes ('no', 'yes')", "a score".
  var summary: String { get }

  /// How this type of a task is found in that of a model; nil: the model is for something else.
  func match(_ model: any TaskType) -> LabelMatch?
  /// The same for a model whose head has the labels at other places: for each of the labels here, that of its score there.
  func reading(outputs: [Int]) -> Self

  /// Tells ways of making tokens of an example apart: equal names make equal tokens.
  static var encodingName: String { get }
  /// The tokens of an example, at most `maxLength`; those marked special are such that no loss asks for.
  func encode(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int) throws -> Encoding
  /// What the decoder of a model with an encoder should write for an example, at most `maxLength` tokens; nil: nothing of its own.
  func encodeTarget(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int) throws -> Encoding?
  /// Writes into a batch of examples what the model should say, and in which rows; may change its tokens.
  func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws
  /// The loss of logits, a scalar: a mean over the labels.
  ///
  /// - Parameters:
  ///   - labels: those that `prepare` wrote, one for each row of the logits.
  ///   - labelSmoothing: share of a label that is spread over all classes.
  ///   - divisor: what the sum is divided by; nil: the number of labels.
  func loss(_ logits: Tensor, _ labels: Tensor, labelSmoothing: Double, divisor: Double?) throws -> Tensor
  /// The mean loss of a batch that `prepare` made: what `lossAndLogits` gives, with no need for all logits at once.
  func loss(_ model: TransformerModel, _ batch: Batch, labelSmoothing: Double, divisor: Double?) throws -> Tensor
  /// What the logits say, one answer for each row.
  func answers(_ logits: Tensor) -> [Answer]
  /// What they should have said about a batch that `prepare` made.
  func references(_ batch: Batch, of data: EncodedDataset) throws -> [Answer]
  /// The logits with the scores in the order of the task's labels.
  func aligned(_ logits: Tensor) throws -> Tensor
}

extension TaskType {
  public static var peftType: String? { nil }
  public static var ownArguments: [String] { [] }
  public static var altersTokens: Bool { false }
  public static var encodingName: String { "" }
  public var settings: JSONObject { [:] }
  public func match(_ model: any TaskType) -> LabelMatch? { model is Self ? .same : nil }
  public func reading(outputs: [Int]) -> Self { self }
  public func encode(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int) throws -> Encoding {
    try tokenizer.encode(example.text, pair: example.textPair, maxLength: maxLength)
  }
  public func encodeTarget(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int) throws -> Encoding? { nil }
  public func aligned(_ logits: Tensor) throws -> Tensor { logits }

  /// Its name.
  public var name: String { Self.name }

  public func loss(_ model: TransformerModel, _ batch: Batch, labelSmoothing: Double = 0, divisor: Double? = nil) throws -> Tensor {
    try lossAndLogits(model, batch, labelSmoothing: labelSmoothing, divisor: divisor).loss
  }

  /// The mean loss of a batch, and the logits that it was computed from: those of the rows that have labels.
  public func lossAndLogits(
    _ model: TransformerModel, _ batch: Batch, labelSmoothing: Double = 0, divisor: Double? = nil
  ) throws -> (loss: Tensor, logits: Tensor) {
    model.context.begin()
    let logits = try model.logits(batch, rows: batch.rows)
    return (try loss(logits, batch.requiredLabels(), labelSmoothing: labelSmoothing, divisor: divisor), logits)
  }
}

/// A type of task in which each text, or pair of texts, gets scores of its own: its labels are the outputs of the model's head.
public protocol SequenceTaskType: TaskType {
  /// What a file's labels are.
  static var labelKind: LabelKind { get }
  /// The heads that it can have, by their number of outputs.
  static var labelCounts: ClosedRange<Int> { get }
  /// What a head with another number of outputs does, as the end of a sentence that begins with "its head".
  static func misfit(labels count: Int) -> String
  /// Names of the outputs, in order.
  var labels: [String] { get }
  init(labels: [String])
}

extension SequenceTaskType {
  public static var peftType: String? { "SEQ_CLS" }
  public var head: HeadKind { .sequence(labels: labels) }
  public var settings: JSONObject { ["problem_type": .string(name)] }
}

/// A type of task that answers in tokens. Scripts have it as `base:<name>()`, and as `tasks.<name>` for its data.
public protocol LanguageTaskType: TaskType {
  /// Options of `tasks.<name>`.
  associatedtype DataOptions: Record
  /// Which models it is for.
  static var kind: LanguageKind { get }
  /// One sentence each for `base:<name>()` and `tasks.<name>`.
  static var modelSummary: String { get }
  static var dataSummary: String { get }
  /// Reads the data.
  static func read(_ options: DataOptions) throws -> TaskDefinition
  init()
}

extension LanguageTaskType {
  public var head: HeadKind { .language }

  public func loss(_ logits: Tensor, _ labels: Tensor, labelSmoothing: Double, divisor: Double?) throws -> Tensor {
    try logits.crossEntropy(Array(labels.int32s), labelSmoothing: labelSmoothing, divisor: divisor)
  }

  public func loss(_ model: TransformerModel, _ batch: Batch, labelSmoothing: Double = 0, divisor: Double? = nil) throws -> Tensor {
    model.context.begin()
    return try model.crossEntropy(batch, Array(batch.requiredLabels().int32s), labelSmoothing: labelSmoothing, divisor: divisor)
  }

  public func answers(_ logits: Tensor) -> [Answer] { logits.largestColumns.map { .token(Int32($0)) } }

  public func references(_ batch: Batch, of data: EncodedDataset) throws -> [Answer] {
    try batch.requiredLabels().int32s.map { .token($0) }
  }
}

/// What a field for metrics of texts means in the data of a type of language task.
let writtenMetricsSummary =
  "metrics of texts that the model writes for an evaluation, beside perplexity: \"rougeL\", \"sacrebleu\", ...; computed where trainer.fit has 'generation'"

/// A language task's metrics: perplexity, and those of texts that a model writes. Throws for one that compares no texts, or comes twice.
func languageMetrics(and written: [String]) throws -> [String] {
  for (place, name) in written.enumerated() {
    let metric = try MetricCatalogue.metric(named: name)
    guard metric.readsTexts else {
      throw EngineError(.argument, "metrics: '\(name)' compares no texts", hint: name == "perplexity" ? "leave it out: it is always there" : nil)
    }
    guard !written[..<place].contains(name) else { throw EngineError(.argument, "metrics: '\(name)' is given twice") }
  }
  return ["perplexity"] + written
}

extension PretrainedModel {
  /// A language model of a type. Throws what `requireFit` does.
  public func languageModel(_ type: any LanguageTaskType.Type, seed: UInt64) throws -> TransformerModel {
    try requireFit(type)
    return try make(.language, headSeed: seed)
  }

  /// Throws where the family's tokens see what a type of language model hides from them, or do not see what it shows.
  public func requireFit(_ type: any LanguageTaskType.Type) throws {
    let fitting = try TaskTypeCatalogue.languageTypes(of: architecture, config)
    guard fitting.contains(where: { $0 == type }) else {
      throw EngineError(
        .argument, "\(type.name): in \(name) (\(architecture.modelType)) \(try LanguageKind(of: architecture, config).summary)",
        hint: fitting.isEmpty ? nil : "call \(fitting.map { "base:\($0.name)()" }.joined(separator: " or "))")
    }
  }
}

/// What the tokens of a language model see of each other.
public enum LanguageKind: Sendable {
  case masked, causal, sequenceToSequence

  init(of family: any ModelFamily.Type, _ config: HuggingFaceConfig) throws {
    let isCausal = try family.body(config).layer.isCausal
    self = try family.encoder(config) != nil ? .sequenceToSequence : isCausal ? .causal : .masked
  }

  /// The end of a sentence about a model.
  var summary: String {
    switch self {
    case .masked: "a token sees what stands behind it too"
    case .causal: "a token sees only what stands before it"
    case .sequenceToSequence: "a decoder writes what follows from the text that an encoder reads"
    }
  }
}

/// What `prepare` may use beside the data.
public struct Preparation {
  /// The random draws of this batch.
  public var draw: RandomSource
  public var tokenizer: Tokenizer
  /// Share of tokens that masked language modelling asks for.
  public var mlmProbability: Double

  public init(_ draw: RandomSource, _ tokenizer: Tokenizer, mlmProbability: Double) {
    (self.draw, self.tokenizer, self.mlmProbability) = (draw, tokenizer, mlmProbability)
  }
}

/// What a model says, or should say.
public enum Answer: Equatable, Sendable {
  /// A class, by its place among the task's labels.
  case label(Int)
  case score(Double)
  case token(Int32)

  /// As metrics take it.
  public var number: Double {
    switch self {
    case .label(let index): Double(index)
    case .score(let score): score
    case .token(let id): Double(id)
    }
  }
}

extension Batch {
  /// The labels. Throws where a batch has none.
  public func requiredLabels() throws -> Tensor {
    guard let labels else { throw EngineError(.argument, "the batch has no labels") }
    return labels
  }
}

extension Tensor {
  /// The column of the largest value in each row.
  var largestColumns: [Int] {
    let (values, width) = (floats, columns)
    return (0..<rows).map { row in
      var best = 0
      for column in 0..<width where values[row * width + column] > values[row * width + best] { best = column }
      return best
    }
  }
}
