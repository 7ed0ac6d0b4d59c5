import Datasets
import Diagnostics
import TensorCore
import Tokenizers
import TransformerModels

/// Sequence-to-sequence language modelling: an encoder reads a text, and a decoder writes another. The loss is cross-entropy over
/// all tokens of that target, those that the tokenizer puts around a text included; the decoder reads them one place later, behind
/// the model's start token.
///
/// logits: [target tokens, V]; labels: int32 [target tokens].
public struct Seq2SeqLM: LanguageTaskType {
  public static let name = "seq2seq_lm"
  public static let peftType: String? = "SEQ_2_SEQ_LM"
  public static let ownArguments = ["max_target_length"]
  public static let kind = LanguageKind.sequenceToSequence
  public static let modelSummary =
    "A model whose decoder writes what follows from the encoder's text; every parameter trains, or none until an adapter says so where weights are in 4 bits."
  public static let dataSummary = "Sequence-to-sequence language modelling: of texts, and what should be written for them."

  public init() {}

  public var summary: String { "texts written for other texts" }

  public static func read(_ options: Seq2SeqLMData) throws -> TaskDefinition {
    var task = TextTask(
      train: options.trainFile, validation: options.validationFile,
      columns: .completion(prompt: options.inputColumn, completion: options.targetColumn))
    task.format = try options.format.map { try TableFormat(named: $0, in: Seq2SeqLMData.recordName) }
    task.limit = RowLimit(train: options.maxTrainSamples, evaluation: options.maxEvalSamples, seed: UInt64(options.sampleSeed))
    task.prefix = options.sourcePrefix
    return try task.read(name: name, metrics: languageMetrics(and: options.metrics))
  }

  /// Of too many tokens, those at the end of a text go.
  public func encodeTarget(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int) throws -> Encoding? {
    guard case .texts(let texts) = example.target, let text = texts.first else {
      throw EngineError(.data, "the example has no target text")
    }
    return try tokenizer.encode(text, maxLength: maxLength)
  }

  public func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws {
    guard let targets = batch.targets, !targets.ids.isEmpty else {
      throw EngineError(.data, "\(data.places(batch.examples)): no token to learn: the targets are empty")
    }
    batch.labels = try Tensor(targets.ids, [targets.ids.count])
  }
}

/// Options of `tasks.seq2seq_lm`.
public struct Seq2SeqLMData: Record {
  public var trainFile = ""
  public var validationFile: String?
  public var format: String?
  public var inputColumn = ""
  public var targetColumn = ""
  public var sourcePrefix = ""
  public var metrics: [String] = []
  public var maxTrainSamples: Int?
  public var maxEvalSamples: Int?
  public var sampleSeed = 1

  public init() {}

  public static let recordName = "seq2seq_lm options"
  public static let fields: [Field<Self>] = [
    .value("train_file", \.trainFile, "a table (.jsonl, .tsv, .csv) with the columns named here", required: true),
    .value("validation_file", \.validationFile, "what to evaluate on, in the same form"),
    .value("format", \.format, "of the tables: \"tsv\", \"csv\" or \"jsonl\"; default: by the file's ending"),
    .value("input_column", \.inputColumn, "column with the texts that the encoder reads", required: true),
    .value("target_column", \.targetColumn, "column with what the decoder should write", required: true),
    .value("source_prefix", \.sourcePrefix, "put in front of each input: T5's \"translate English to Romanian: \""),
    .value("metrics", \.metrics, writtenMetricsSummary),
    .int("max_train_samples", \.maxTrainSamples, "take so many training rows of a seeded shuffle", in: 1...),
    .int("max_eval_samples", \.maxEvalSamples, "take so many rows of the validation file", in: 1...),
    .int("sample_seed", \.sampleSeed, "seeds the choice of rows", in: 0...),
  ]

  public static let foreignNames: [String: ForeignName] = [
    "text_column": .isCalled("input_column"), "source_column": .isCalled("input_column"), "prompt_column": .isCalled("input_column"),
    "summary_column": .isCalled("target_column"), "completion_column": .isCalled("target_column"), "prefix": .isCalled("source_prefix"),
    "max_source_length": .isLeftOut("max_length of trainer.fit limits inputs"),
    "max_target_length": .isLeftOut("that is an option of trainer.fit"),
  ]
}
