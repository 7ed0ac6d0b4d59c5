import ArgumentParser
import Diagnostics
import Engine

/// `perigee embed`
struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Turn the texts of a file into vectors.",
    discussion: """
      Writes every row as it stands in the file, in its order, with the column 'embedding' behind it: a list of numbers. A file of --out \
      that ends in .safetensors gets the vectors alone, as one tensor 'embeddings' with a row for each text.

        perigee embed models/all-MiniLM-L6-v2 sentences.txt > vectors.jsonl
        perigee embed outputs/reviews reviews.csv --text review --pooling mean --normalize --out vectors.safetensors

      The head of a model that classifies or writes has no part in it; of a model with an encoder, the encoder's states are taken. Files are \
      those of 'perigee predict'.
      """)

  @OptionGroup var question: FileQuestionOptions

  @OptionGroup var output: AnswerFileOptions

  @Option(
    help: ArgumentHelp(
      "mean: over a text's tokens; cls: the first token's state; lasttoken: the last one's. (default: what the model's folder says, else mean)",
      valueName: "name"))
  var pooling: String?

  @Flag(
    inversion: .prefixedNo, help: "Divide each vector by its length. (default: what the model's folder says, else not)")
  var normalize: Bool?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Which layer's states; 0: the embeddings; negative ones count from the end.", valueName: "number"))
  var layer = -1

  func run() throws {
    var command = EmbedCommand()
    (command.question, command.output) = (question.prepared(), output.file)
    (command.pooling, command.normalize, command.layer) = (pooling, normalize, layer)
    StandardError.write(try command.run() + "\n")
  }
}
