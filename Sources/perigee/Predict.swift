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

  @OptionGroup var question: FileQuestionOptions

  @OptionGroup var output: AnswerFileOptions

  @OptionGroup var generation: GenerationSettings

  func run() throws {
    var command = PredictCommand()
    (command.question, command.output, command.settings) = (question.prepared(), output.file, generation.settings)
    StandardError.write(try command.run() + "\n")
  }
}
