import ArgumentParser
import Diagnostics
import Engine
import Generation

/// `perigee predict`
struct Predict: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict",
    abstract: "Ask a trained model about the rows of a file.",
    discussion: """
      Writes every row as it stands in the file, in its order, with more columns behind it: 'prediction'; for classes also 'score', the \
      prediction's probability, and 'probabilities', those of all classes. A model that writes text puts it into 'prediction'.

        perigee predict outputs/reviews new.csv --text review > answers.csv
        perigee predict outputs/mnli-to-rte/stages/rte dev.tsv --text sentence1 --text sentence2 --out answers.tsv
        perigee predict models/roberta-base --adapter peft-folder sentences.txt
        perigee predict outputs/e2e new.jsonl --text mr --set num_beams=5

      Files are .tsv, .csv and .jsonl, or .txt with a text a line, which is answered in JSON. Fields of .tsv files have no quotes: a tab \
      or line end in an answer is written as \\t or \\n. With --out, a command that was cut off goes on where it was when it is given again.
      """)

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

  @Option(help: ArgumentHelp("Write to this file, not to standard output.", valueName: "file"), completion: .file())
  var out: String?

  @Flag(help: "Replace the file of --out.")
  var overwrite = false

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Give an option of generation a value; may be repeated. max_new_tokens is \(GenerationOptions.commandMaxNewTokens) unless it or max_length is given.",
      valueName: "name=value"))
  var settings: [String] = []

  @Option(parsing: .unconditional, help: ArgumentHelp("Tokens of a row at most, for a model that classifies.", valueName: "count"))
  var maxLength = 128

  @Option(parsing: .unconditional, help: ArgumentHelp("Seed of what is random: the run's, if it had one.", valueName: "number"))
  var seed = 42

  @Option(help: ArgumentHelp("Arithmetic of products with frozen weights.", valueName: "type"))
  var precision = PrecisionChoice.auto

  @Option(parsing: .unconditional, help: ArgumentHelp("Threads to compute with. (default: one per core)", valueName: "count"))
  var threads: Int?

  @OptionGroup var limits: MemoryOption

  func validate() throws {
    try check("--threads", threads, in: 1...1024)
    try check("--seed", seed, in: 0...Int.max)
    try check("--max-length", maxLength, in: 2...1_000_000)
  }

  func run() throws {
    EngineSetup.configure(threads: threads, memory: limits.memory?.bytes, precision: precision)
    var command = PredictCommand()
    (command.model, command.adapters, command.path, command.format) = (model, adapter, file, format)
    (command.columns, command.output, command.overwrites) = (text, out, overwrite)
    (command.settings, command.maxLength, command.seed) = (settings, maxLength, seed)
    StandardError.write(try command.run() + "\n")
  }
}
