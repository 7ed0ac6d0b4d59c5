import Diagnostics
import Files

/// A data set of inputs and the texts that may be written for them, read from its own files: `tasks.<name>` of scripts. One file, and
/// one line in `TextToTextCatalogue`.
public protocol TextToText: Record {
  static var name: String { get }
  /// One sentence for `tasks.<name>`.
  static var summary: String { get }
  /// What stands for its folder where there is no data.
  static var builtInName: String { get }
  /// Its files, from the folder.
  static func files(_ part: DataPart) -> [String]
  /// Which models it is usually for.
  static var usualType: WritingType { get }
  /// What a model with an encoder reads in front of an input.
  static var prefix: String { get }
  /// The metrics of texts that its papers report.
  static var metrics: [String] { get }
  /// Whether a file repeats an input for each of its texts, so that they are put together where they are references.
  static var repeatsInputs: Bool { get }

  var options: TextToTextOptions { get set }
  /// The examples of a file: an input, and its texts; none where it has no usable one, with the reason. Throws `EngineError` with the place.
  func examples(of path: String, _ part: DataPart) throws -> [Example]
  /// The built-in examples.
  func builtIn(_ part: DataPart) -> [Example]
}

extension TextToText {
  public static var recordName: String { "\(name) options" }
  public static var usualType: WritingType { .causalLM }
  public static var prefix: String { "" }
  public static var repeatsInputs: Bool { false }
  public static var foreignNames: [String: ForeignName] { TextToTextOptions.foreignNames }

  public func validate() throws(EngineError) {
    if options.separator != nil, type == .seq2seqLM {
      throw EngineError(.argument, "\(Self.recordName): separator is for task_type = \"causal_lm\": an encoder reads the input alone")
    }
  }

  /// Which models it is read for.
  public var type: WritingType { options.taskType ?? Self.usualType }

  /// Reads what trains, one example for each text, and what is evaluated, one example for each input with all its texts.
  public func read() throws -> TaskDefinition {
    let limit = RowLimit(train: options.maxTrainSamples, evaluation: options.maxEvalSamples, seed: UInt64(options.sampleSeed))
    try limit.validate()
    var skipped: [SkippedRows] = []
    let train = try examples(.train, options.trainFiles, &skipped).flatMap { example in
      example.references.map { Example(example.inputs, target: .texts([$0]), line: example.line) }
    }
    let part = options.evalSplit
    let evaluated = try examples(part, options.evalFiles, &skipped)
    func split(_ part: DataPart, _ examples: [Example], _ count: Int?) -> Split {
      Split(
        name: part.rawValue, path: "\(options.folder) \(part.rawValue)",
        examples: RowLimit.keep(count, of: examples, seed: limit.seed).map {
          type.example($0, prefix: options.sourcePrefix ?? Self.prefix, options.separator)
        })
    }
    return TaskDefinition(
      name: Self.name, labels: nil, metricNames: ["perplexity"] + Self.metrics, metricForBestModel: "perplexity",
      train: split(.train, train, limit.train),
      evaluation: [split(part, Self.repeatsInputs ? evaluated.grouped : evaluated, limit.evaluation)], skippedRows: skipped)
  }

  private func examples(_ part: DataPart, _ given: [String], _ skipped: inout [SkippedRows]) throws -> [Example] {
    let folder = options.folder
    if folder.hasPrefix("builtin:") {
      guard folder == Self.builtInName else {
        throw EngineError(.argument, "tasks.\(Self.name): \(folder): no such built-in data", hint: suggestion(for: folder, among: [Self.builtInName]))
      }
      guard given.isEmpty else {
        throw EngineError(.argument, "tasks.\(Self.name): \(folder) has no files", hint: "leave train_files and eval_files out")
      }
      return builtIn(part)
    }
    try FilePath.require(folder)
    guard fileExists(folder) else { throw EngineError(.file, "\(folder): no such folder", hint: "expected the folder of \(Self.name)") }
    var all: [Example] = []
    for name in given.isEmpty ? Self.files(part) : given {
      let path = FilePath.join(folder, name)
      let examples = try examples(of: path, part)
      let kept = examples.filter { !$0.references.isEmpty }
      guard !kept.isEmpty else { throw EngineError(.data, "\(path): no usable text in \(examples.count) examples") }
      if let first = examples.first(where: { $0.references.isEmpty }) {
        skipped.append(SkippedRows(path: path, reason: "no usable text", count: examples.count - kept.count, firstLine: first.line))
      }
      all += kept
    }
    return all
  }
}

/// A part of a data set.
public enum DataPart: String, FieldChoice {
  case train, validation, test
}

/// Which models a data set is read for, as `tasks.<name>` calls them.
public enum WritingType: String, FieldChoice {
  case causalLM = "causal_lm"
  case seq2seqLM = "seq2seq_lm"

  /// An example as these models read and write it. A decoder alone reads the end token behind the input, and continues with a space, as
  /// the GPT-2 of LoRA's authors does.
  func example(_ example: Example, prefix: String, _ separator: String?) -> Example {
    let isCausal = self == .causalLM
    return Example(
      [(isCausal ? "" : prefix) + example.text + (isCausal ? separator ?? "<|endoftext|>" : "")],
      target: .texts(isCausal ? example.references.map { " " + $0 } : example.references), line: example.line)
  }
}

/// What all data sets of texts for inputs have in common.
public struct TextToTextOptions: Record {
  public var folder = ""
  public var taskType: WritingType?
  public var evalSplit = DataPart.validation
  public var trainFiles: [String] = []
  public var evalFiles: [String] = []
  public var sourcePrefix: String?
  public var separator: String?
  public var maxTrainSamples: Int?
  public var maxEvalSamples: Int?
  public var sampleSeed = 1

  public init() {}

  public static let recordName = "options"
  public static let fields: [Field<Self>] = [
    .value("folder", \.folder, "folder with the data set's files, or its built-in stand-in", required: true),
    .value("task_type", \.taskType, "which models it is read for: \"causal_lm\" or \"seq2seq_lm\""),
    .value("eval_split", \.evalSplit, "what is evaluated: \"validation\" or \"test\""),
    .value("train_files", \.trainFiles, "files of the folder to train on; default: those of the data set"),
    .value("eval_files", \.evalFiles, "files of the folder to evaluate on; default: those of eval_split"),
    .value("source_prefix", \.sourcePrefix, "put in front of each input where an encoder reads it"),
    .value("separator", \.separator, "put behind each input where a decoder alone reads it; default: \"<|endoftext|>\""),
    .int("max_train_samples", \.maxTrainSamples, "take so many training texts of a seeded shuffle", in: 1...),
    .int("max_eval_samples", \.maxEvalSamples, "take so many inputs to evaluate on, with all their texts", in: 1...),
    .int("sample_seed", \.sampleSeed, "seeds the choice of examples", in: 0...),
  ]

  public static let foreignNames: [String: ForeignName] = [
    "train_file": .isCalled("train_files", reason: "a list"), "validation_file": .isCalled("eval_files", reason: "a list"),
    "test_file": .isCalled("eval_files", reason: "a list"), "split": .isCalled("eval_split"), "prefix": .isCalled("source_prefix"),
    "max_length": .isLeftOut("that is an option of trainer.fit"),
  ]
}

/// The data sets; scripts see this list.
public enum TextToTextCatalogue {
  public static let tasks: [any TextToText.Type] = [E2E.self, WebNLG.self, XSum.self, WMT16.self]
}
