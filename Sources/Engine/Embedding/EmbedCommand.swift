import Checkpoints
import Diagnostics
import Files
import NN
import Training

/// What `perigee embed` was asked for.
public struct EmbedCommand {
  public var question = FileQuestion()
  /// Where the rows go; a file that ends in `.safetensors` gets the vectors alone.
  public var output = AnswerFile()
  /// "mean", "cls" or "lasttoken"; nil: see `EmbeddingOptions`.
  public var pooling: String?
  /// Whether vectors are divided by their length; nil: see `EmbeddingOptions`.
  public var normalize: Bool?
  /// Which layer's states.
  public var layer = -1

  public init() {}

  /// Writes the file's rows with the vectors of their texts, and returns a line about the speed.
  public func run() throws -> String {
    try output.check()
    let options = try options()
    let content = try question.content()
    let file = try question.file(content)
    guard file.columns.count == 1 else {
      throw EngineError(
        .argument, "\(question.name): the columns \(file.columns.joined(separator: " and ")) are a pair, but a vector is of one text",
        hint: "name its column with --text")
    }
    let trained = try question.trained(needsHead: false)
    let embedder = try Embedder(trained, options)
    if let path = output.path, FilePath.fileExtension(of: path) == "safetensors" {
      let start = ContinuousClock.now
      let result = try embedder.embeddings(of: file.records.map { $0.values[0] })
      try SafetensorsFile.write(tensors: [("embeddings", result.vectors)], to: path)
      return AnswerFile.speed(rows: file.records.count, since: start)
    }
    let settings = EmbeddingOptions.fields.map { $0.read(options).json }
    return try output.write(FilePrediction(embedder, file, path: question.name), to: question, of: trained, content, settings: settings)
  }

  private func options() throws -> EmbeddingOptions {
    var options = EmbeddingOptions()
    if let pooling { try EmbeddingOptions.fields.first { $0.name == "pooling" }?.set(text: pooling, in: &options) }
    (options.normalize, options.layer, options.maxLength) = (normalize, layer, question.maxLength)
    return options
  }
}
