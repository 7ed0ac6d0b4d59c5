import Datasets
import Diagnostics
import TensorCore
import Tokenizers
import TransformerModels

/// Causal language modelling: every token is named from those before it. The loss is cross-entropy over the tokens of the text; with
/// a prompt, over those of the completion alone. The token that ends a text counts too, where the tokenizer has one.
///
/// logits: [counted, V], of the tokens in front of those that count and of no other; labels: int32 [counted].
public struct CausalLM: LanguageTaskType {
  public static let name = "causal_lm"
  public static let peftType: String? = "CAUSAL_LM"
  public static let kind = LanguageKind.causal
  public static let encodingName = "causal_lm 1"
  public static let modelSummary =
    "A causal language model; every parameter trains, or none until an adapter says so where weights are in 4 bits."
  public static let dataSummary =
    "Causal language modelling: of texts, or of completions that follow prompts, in which case the completions alone count."

  public init() {}

  public var summary: String { "tokens that follow a text" }

  public static func read(_ options: CausalLMData) throws -> TaskDefinition {
    var task = TextTask(train: options.trainFile, validation: options.validationFile, columns: try options.columns())
    task.format = try options.tableFormat()
    task.limit = RowLimit(train: options.maxTrainSamples, evaluation: options.maxEvalSamples, seed: UInt64(options.sampleSeed))
    return try task.read(name: name, metrics: languageMetrics(and: options.metrics))
  }

  /// Prompt and completion are made into tokens apart, as they are when a model continues a prompt. Of too many tokens, those that
  /// begin the prompt go first, then those that end the completion.
  public func encode(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int) throws -> Encoding {
    var (start, prompt) = try tokenizer.encodePrompt(example.text)
    var text: [Int32] = []
    if case .texts(let texts) = example.target, let completion = texts.first {
      text = try tokenizer.encode(completion, addSpecialTokens: false).ids
    } else {
      swap(&prompt, &text)
    }
    if let end = tokenizer.eosTokenId { text.append(end) }
    guard maxLength > start.count else {
      throw EngineError(.argument, "max_length is \(maxLength), expected at least \(start.count + 1)")
    }
    let excess = max(0, start.count + prompt.count + text.count - maxLength)
    // The first token of the completion is named from the last one of the prompt.
    let fromPrompt = min(excess, max(0, prompt.count - (start.isEmpty ? 1 : 0)))
    prompt.removeFirst(fromPrompt)
    text.removeLast(excess - fromPrompt)
    let given = start + prompt
    return Encoding(
      ids: given + text, tokenTypeIds: [Int32](repeating: 0, count: given.count + text.count),
      specialTokensMask: [UInt8](repeating: 1, count: given.count) + [UInt8](repeating: 0, count: text.count), isTruncated: excess > 0)
  }

  public func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws {
    let isGiven = data.specialTokens(batch.examples)
    var (rows, labels): ([Int32], [Int32]) = ([], [])
    for (start, length) in zip(batch.offsets.starts, batch.offsets.lengths) {
      // Nothing stands before a sequence's first token.
      for i in Int(start)..<Int(start) + max(0, Int(length) - 1) where !isGiven[i + 1] {
        rows.append(Int32(i))
        labels.append(batch.ids[i + 1])
      }
    }
    guard !rows.isEmpty else {
      throw EngineError(
        .data, "\(data.places(batch.examples)): no token to learn: max_length leaves nothing of the completion, or the text has one token alone")
    }
    batch.rows = .some(rows)
    batch.labels = try Tensor(labels, [labels.count])
  }
}

/// Options of `tasks.causal_lm`.
public struct CausalLMData: Record {
  public var trainFile = ""
  public var validationFile: String?
  public var format: String?
  public var textColumn: String?
  public var promptColumn: String?
  public var completionColumn: String?
  public var metrics: [String] = []
  public var maxTrainSamples: Int?
  public var maxEvalSamples: Int?
  public var sampleSeed = 1

  public init() {}

  public static let recordName = "causal_lm options"
  public static let fields: [Field<Self>] = [
    .value(
      "train_file", \.trainFile,
      "a table (.jsonl, .tsv, .csv) with the columns named here; or, without columns, text with one example a line, or \"builtin:corpus\"",
      required: true),
    .value("validation_file", \.validationFile, "what to evaluate on, in the same form"),
    .value("format", \.format, "of tables: \"tsv\", \"csv\" or \"jsonl\"; default: by the file's ending"),
    .value("text_column", \.textColumn, "column of a table with whole texts"),
    .value("prompt_column", \.promptColumn, "column with what is given; it does not count in the loss"),
    .value(
      "completion_column", \.completionColumn,
      "column with what should follow; it is put behind the prompt as it is, so begin it with a space where words are parted"),
    .value("metrics", \.metrics, writtenMetricsSummary),
    .int("max_train_samples", \.maxTrainSamples, "take so many training rows of a seeded shuffle", in: 1...),
    .int("max_eval_samples", \.maxEvalSamples, "take so many rows of the validation file", in: 1...),
    .int("sample_seed", \.sampleSeed, "seeds the choice of rows", in: 0...),
  ]

  public static let foreignNames: [String: ForeignName] = [
    "dataset_text_field": .isCalled("text_column"), "prompt": .isCalled("prompt_column"), "completion": .isCalled("completion_column"),
    "block_size": .isLeftOut("max_length of trainer.fit limits an example"), "max_length": .isLeftOut("that is an option of trainer.fit"),
    "completion_only_loss": .isLeftOut("leave it out: with prompt_column and completion_column the completion alone counts"),
  ]

  func columns() throws -> TextTask.Columns {
    switch (textColumn, promptColumn, completionColumn) {
    case (nil, nil, nil):
      // Lines of a table are no texts.
      if let format = try tableFormat() ?? (try? TableFormat(path: trainFile)) {
        throw EngineError(
          .argument, "causal_lm options: \(trainFile) is a table (\(format.rawValue)): give text_column, or both prompt_column and completion_column")
      }
      return .lines(hasPairs: false)
    case (let text?, nil, nil): return .text(text)
    case (nil, let prompt?, let completion?): return .completion(prompt: prompt, completion: completion)
    default:
      throw EngineError(.argument, "causal_lm options: give text_column, or both prompt_column and completion_column")
    }
  }

  func tableFormat() throws -> TableFormat? { try format.map { try TableFormat(named: $0, in: Self.recordName) } }
}
