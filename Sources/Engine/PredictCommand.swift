import Datasets
import Diagnostics
import Files
import Foundation
import Generation
import Pipelines
import TensorCore
import Training

/// What `perigee predict` was asked for.
public struct PredictCommand {
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
  /// Where the rows go; nil: to standard output.
  public var output: String?
  /// Whether `output` may be replaced.
  public var overwrites = false
  /// `name=value` for options of generation.
  public var settings: [String] = []
  /// Tokens of a row at most, where the model classifies.
  public var maxLength = 128
  public var seed = 42

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
    let name = path == "-" ? "standard input" : path
    let content = path == "-" ? try readStandardInput(most: 1 << 30) : try readText(path)
    let file = try RecordFile(content, path: name, format: tableFormat(name), columns: columns)
    let generation = settings.isEmpty ? nil : try GenerationOptions(settings: settings)
    let session = Session(
      mode: .run, settings: [], runDirectory: nil, store: StageStore(), progress: Progress(style: .detect()), seed: seed, print: { _ in })
    let trained = try session.trainedModel(model, adapters: adapters)
    Interrupt.protectWork()
    let prediction = try FilePrediction(trained, file, path: name, generation: generation, maxLength: maxLength, seed: seed)
    return try write(prediction, trained, content)
  }

  private func write(_ prediction: FilePrediction, _ trained: TrainableModel, _ content: String) throws -> String {
    let start = ContinuousClock.now
    var first = 0
    if let output {
      let key: JSONValue = [
        "engine": .string(EngineSetup.version), "model": try trained.identity(), "content": .string(Digest(of: content).hex),
        "columns": .array(columns.map { .string($0) }), "format": format.map { .string($0) } ?? .null,
        "settings": .array(settings.map { .string($0) }), "max_length": .int(maxLength), "seed": .int(seed),
        "precision": .string(Precision.current.rawValue),
      ]
      let partial = try PartialFile(output, key: Digest(of: key).hex)
      first = partial.count
      try prediction.run(from: first) { try partial.append($0, count: $1) }
      try partial.finish()
    } else {
      try prediction.run { text, _ in Swift.print(text, terminator: "") }
    }
    let seconds = start.duration(to: .now) / .seconds(1)
    let done = prediction.count - first
    let before = first > 0 ? " (\(first) were there already)" : ""
    return String(format: "%d rows in %.2f s, %.1f rows/s", done, seconds, Double(done) / max(seconds, 1e-9)) + before
  }

  private func tableFormat(_ name: String) throws -> TableFormat? {
    switch format {
    case "text"?: nil
    case let format?: try TableFormat(named: format, in: "predict")
    case nil where path == "-" || FilePath.fileExtension(of: path) == "txt": nil
    case nil: try TableFormat(path: name)
    }
  }
}
