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
  /// Tokens of a row at most, where the model classifies.
  public var maxLength = 128
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
      case nil where path == "-" || FilePath.fileExtension(of: path) == "txt": nil
      case nil: try TableFormat(path: name)
      }
    return try RecordFile(content, path: name, format: format, columns: columns, more: more)
  }

  /// The model. From here on, Ctrl-C ends the work between two batches.
  func trained() throws -> TrainableModel {
    let model = try Session(asking: seed).trainedModel(model, adapters: adapters)
    Interrupt.protectWork()
    return model
  }
}

/// What `perigee predict` was asked for.
public struct PredictCommand {
  public var question = FileQuestion()
  /// Where the rows go; nil: to standard output.
  public var output: String?
  /// Whether `output` may be replaced.
  public var overwrites = false
  /// `name=value` for options of generation.
  public var settings: [String] = []

  public init() {}

  /// Writes the file's rows with the answers, and returns a line about the speed.
  ///
  /// Rows that are written to `output` are kept where the command is cut off: the same command goes on behind them.
  public func run() throws -> String {
    if let output {
      try FilePath.require(output)
      guard overwrites || !fileExists(output) else {
        throw EngineError(.file, "\(output): the file exists", hint: "choose another name, or give --overwrite")
      }
    }
    let content = try question.content()
    let file = try question.file(content)
    let generation = settings.isEmpty ? nil : try GenerationOptions(settings: settings)
    let trained = try question.trained()
    let prediction = try FilePrediction(
      trained, file, path: question.name, generation: generation, maxLength: question.maxLength, seed: question.seed)
    return try write(prediction, trained, content)
  }

  private func write(_ prediction: FilePrediction, _ trained: TrainableModel, _ content: String) throws -> String {
    let start = ContinuousClock.now
    var first = 0
    if let output {
      let key: JSONValue = [
        "engine": .string(EngineSetup.version), "model": try trained.identity(), "content": .string(Digest(of: content).hex),
        "columns": .array(question.columns.map { .string($0) }), "format": question.format.map { .string($0) } ?? .null,
        "settings": .array(settings.map { .string($0) }), "max_length": .int(question.maxLength), "seed": .int(question.seed),
        "precision": .string(Precision.current.rawValue),
      ]
      let partial = try PartialFile(output, key: Digest(of: key).hex)
      first = partial.count
      try prediction.run(from: first) { try partial.append($0, count: $1) }
      try partial.finish()
    } else {
      try prediction.run { text, _ in Swift.print(text, terminator: "") }
    }
    let seconds = start.duration(to: .now).seconds
    let done = prediction.count - first
    let before = first > 0 ? " (\(first) were there already)" : ""
    return String(format: "%d rows in %.2f s, %.1f rows/s", done, seconds, Double(done) / max(seconds, 1e-9)) + before
  }
}
