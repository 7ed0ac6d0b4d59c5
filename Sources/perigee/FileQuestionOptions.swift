import ArgumentParser
import Engine

/// What commands have in common that ask a trained model about the rows of a file.
struct FileQuestionOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "Run directory, or a folder in its stages, for what was trained there; or model folder or hub name.", valueName: "model-or-run"),
    completion: .directory)
  var model: String

  @Argument(help: ArgumentHelp("The rows; '-' reads them from standard input.", valueName: "file"), completion: .file())
  var file: String

  @Option(help: ArgumentHelp("Folder of an adapter to load onto the model; may be repeated.", valueName: "dir"), completion: .directory)
  var adapter: [String] = []

  @Option(
    help: ArgumentHelp(
      "Column with the text; given twice, columns of a pair. (default: text, sentence, or the pairs of GLUE)", valueName: "column"))
  var text: [String] = []

  @Option(help: ArgumentHelp("tsv, csv, jsonl or text. (default: by the file's ending; text for standard input)", valueName: "format"))
  var format: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Tokens of a row at most; longer ones are cut. (default: 128 for a model that classifies; for embed what the model's folder says, else what the model takes)",
      valueName: "count"))
  var maxLength: Int?

  @Option(parsing: .unconditional, help: ArgumentHelp("Seed of what is random: the run's, if it had one.", valueName: "number"))
  var seed = 42

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    try check("--seed", seed, in: 0...Int.max)
    if let maxLength { try check("--max-length", maxLength, in: 2...1_000_000) }
  }

  /// The same in the words of the engine, which is set up for it.
  func prepared() -> FileQuestion {
    compute.configure()
    var question = FileQuestion()
    (question.model, question.adapters, question.path, question.format) = (model, adapter, file, format)
    (question.columns, question.maxLength, question.seed) = (text, maxLength, seed)
    return question
  }
}

/// Where a command writes the rows of a file.
struct AnswerFileOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Write to this file, not to standard output.", valueName: "file"), completion: .file())
  var out: String?

  @Flag(help: "Replace the file of --out.")
  var overwrite = false

  /// The same in the words of the engine.
  var file: AnswerFile {
    var file = AnswerFile()
    (file.path, file.overwrites) = (out, overwrite)
    return file
  }
}
