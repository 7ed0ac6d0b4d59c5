import Datasets
import Diagnostics
import Files
import Foundation
import Generation
import Pipelines
import TensorCore
import Training

/// A model, and the file whose rows it is asked about.
public struct FileQuestion {
  /// See `Session.trainedModel`.
  public var model = ""
  /// Folders of adapters that are loaded onto it.
  public var adapters: [String] = []
  /// The file with the texts; "-": standard input.
  public var path = "-"
  /// "tsv", "csv", "jsonl" or "text"; nil: by the file's ending.
  public var format: String?
  /// Columns of a text, or of a pair; empty: those that are usual.
  public var columns: [String] = []
  /// Tokens of a row at most; nil: see `classifierMaxLength`, and `EmbeddingOptions`.
  public var maxLength: Int?
  /// Tokens of a row at most, where a model classifies and nothing else is said.
  static let classifierMaxLength = 128
  public var seed = 42

  public init() {}

  /// The file's name, for messages.
  var name: String { path == "-" ? "standard input" : path }

  /// All of the file.
  func content() throws -> String { path == "-" ? try readStandardInput(most: 1 << 30) : try readText(path) }

  /// Its rows. `more`: columns behind those of the texts.
  func file(_ content: String, more: [String] = []) throws -> RecordFile {
    let format: TableFormat? =
      switch format {
      case "text"?: nil
      case let format?: try TableFormat(named: format, in: "--format")
      case nil where path == "-" || FilePath.fileExtension(of: path) == "txt": try Self.plainTexts(content, name)
      case nil: try TableFormat(path: name)
      }
    return try RecordFile(content, path: name, format: format, columns: columns, more: more)
  }

  /// No format of a table. Throws where the first text looks like a row of JSON: answers to its braces would be nonsense without a word.
  private static func plainTexts(_ content: String, _ name: String) throws -> TableFormat? {
    let first = content.utf8.prefix { $0 != UInt8(ascii: "\n") }
    guard first.first == UInt8(ascii: "{"), (try? JSONValue(parsing: String(first) ?? "", source: name))?.objectValue != nil else { return nil }
    throw EngineError(
      .argument, "\(name): the first line is a JSON object, and no option says whether it is a row or a text",
      hint: "give --format jsonl, or --format text")
  }

  /// The model. From here on, Ctrl-C ends the work between two batches.
  func trained(needsHead: Bool = true) throws -> TrainableModel {
    let model = try Session(asking: seed).trainedModel(model, adapters: adapters, needsHead: needsHead)
    Interrupt.protectWork()
    return model
  }
}

/// Where a command writes the rows of a file.
public struct AnswerFile {
  /// nil: standard output.
  public var path: String?
  /// Whether it may be replaced.
  public var overwrites = false

  public init() {}

  /// Throws where the file is there and may not be replaced.
  func check() throws {
    guard let path else { return }
    try FilePath.require(path)
    guard overwrites || !fileExists(path) else {
      throw EngineError(.file, "\(path): the file exists", hint: "choose another name, or give --overwrite")
    }
  }

  /// Writes the rows, and returns a line about the speed. Rows in a file are kept where the command is cut off: the same command goes on
  /// behind them.
  ///
  /// - Parameter settings: all that the answers depend on beside the question, the model and the file's content.
  func write(_ answers: FilePrediction, to question: FileQuestion, of trained: TrainableModel, _ content: String, settings: [JSONValue]) throws
    -> String
  {
    let start = ContinuousClock.now
    var first = 0
    if let path {
      let key: JSONValue = [
        "engine": .string(EngineSetup.version), "model": try trained.identity(), "content": .string(Digest(of: content).hex),
        "columns": .array(question.columns.map { .string($0) }), "format": question.format.map { .string($0) } ?? .null,
        "settings": .array(settings), "max_length": question.maxLength.map { .int($0) } ?? .null, "seed": .int(question.seed),
        "precision": .string(Precision.current.rawValue),
      ]
      let partial = try PartialFile(path, key: Digest(of: key).hex)
      first = partial.count
      try answers.run(from: first) { try partial.append($0, count: $1) }
      try partial.finish()
    } else {
      try answers.run { text, _ in Swift.print(text, terminator: "") }
    }
    return Self.speed(rows: answers.count - first, since: start) + (first > 0 ? " (\(first) were there already)" : "")
  }

  /// "5 rows in 0.10 s, 50.0 rows/s"
  static func speed(rows: Int, since start: ContinuousClock.Instant) -> String {
    let seconds = start.duration(to: .now).seconds
    return String(format: "%d rows in %.2f s, %.1f rows/s", rows, seconds, Double(rows) / max(seconds, 1e-9))
  }
}

/// What `perigee predict` was asked for.
public struct PredictCommand {
  public var question = FileQuestion()
  /// Where the rows go.
  public var output = AnswerFile()
  /// `name=value` for options of generation.
  public var settings: [String] = []

  public init() {}

  /// Writes the file's rows with the answers, and returns a line about the speed.
  public func run() throws -> String {
    try output.check()
    let content = try question.content()
    let file = try question.file(content)
    let generation = settings.isEmpty ? nil : try GenerationOptions(settings: settings)
    let trained = try question.trained()
    let progress = Pipelines.Progress(style: .detect())
    // What is shown would stand between the rows of standard output.
    let isShown = progress.isWatched && output.path != nil
    let prediction = try FilePrediction(
      trained, file, path: question.name, generation: generation, maxLength: question.maxLength ?? FileQuestion.classifierMaxLength,
      seed: question.seed
    ) { if isShown { progress.updatePart("rows", done: $0, of: $1, tokens: $2) } }
    return try output.write(prediction, to: question, of: trained, content, settings: settings.map { .string($0) })
  }
}
