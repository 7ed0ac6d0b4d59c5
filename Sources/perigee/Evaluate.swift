import ArgumentParser
import Diagnostics
import Engine
import Metrics

/// `perigee evaluate`
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Compare what a trained model says about the rows of a file with their labels.",
    discussion: """
      Prints all metrics that fit, with 95 % confidence intervals from corpora drawn from the rows; of classes also precision, recall and F1 of \
      each, and the confusion matrix.

        perigee evaluate outputs/reviews test.csv --text review --label stars
        perigee evaluate outputs/mnli-to-rte/stages/rte-delora RTE/dev.tsv --text sentence1 --text sentence2 --label label --json

      Labels are the names of the model's classes; where these have none, their numbers from 0. For a model that writes text, give \
      'perigee predict' the file, and 'perigee score' what it wrote.
      """)

  @OptionGroup var question: FileQuestionOptions

  @Option(help: ArgumentHelp("Column with what is right.", valueName: "column"))
  var label: String = "label"

  @Option(help: ArgumentHelp("Corpora that are drawn for the intervals; 0: no intervals.", valueName: "count"))
  var bootstrap = 1000

  @Flag(help: "Print JSON, with all digits.")
  var json = false

  func validate() throws { try check("--bootstrap", bootstrap, in: 0...1_000_000) }

  func run() throws {
    var command = EvaluateCommand()
    (command.question, command.labelColumn) = (question.prepared(), label)
    command.bootstrap = bootstrap == 0 ? nil : BootstrapOptions(resamples: max(2, bootstrap), seed: UInt64(question.seed))
    let result = try command.run()
    print(json ? result.json : result.text)
  }
}
