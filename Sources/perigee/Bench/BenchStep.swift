import ArgumentParser
import Benchmarks

/// `perigee bench step`
struct BenchStep: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step",
    abstract: "Whole training steps: speed, memory, and time by kind of work.",
    discussion: """
      Trains on random tokens, all sequences of one length, or on a GLUE task (--task, --data). The \
      first step warms up: its end is startup_s, counted from the start of the process, and it counts \
      in nothing else. The learning rate is constant, and gradients are not clipped. Models are \
      trained in memory only.
      """)

  @OptionGroup var training: TrainingOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Synthetic sequences in an epoch. (default: five batches)", valueName: "count"))
  var sequences: Int?

  @Flag(help: "Synthetic data: name every token from those before it, instead of classifying sequences.")
  var causalLm = false

  @Option(help: ArgumentHelp("Train on this GLUE task.", valueName: "name"))
  var task: String?

  @Option(help: ArgumentHelp("The task's folder.", valueName: "dir"), completion: .directory)
  var data: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Use only so many rows of the training file, from the first.", valueName: "count"))
  var limit: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Tokens of the task's examples; longer ones are truncated. (default: 128)", valueName: "count"))
  var maxLength: Int?

  @Option(
    help: ArgumentHelp("Folder of the tokenizer. (default: the model's)", valueName: "dir"), completion: .directory)
  var tokenizer: String?

  @Flag(help: "Sort examples by length within groups of batches.")
  var groupByLength = false

  @Option(parsing: .unconditional, help: ArgumentHelp("Passes over the data.", valueName: "number"))
  var epochs = 1.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Measured steps, instead of --epochs.", valueName: "count"))
  var steps: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How often as many steps are measured, one after another.", valueName: "count"))
  var `repeat` = 1

  @Option(parsing: .unconditional, help: ArgumentHelp("Step size of AdamW.", valueName: "number"))
  var learningRate = 5e-4

  @OptionGroup var options: BenchOptions

  func validate() throws {
    try check("--sequences", sequences, in: 1...10_000_000)
    try check("--limit", limit, in: 1...1_000_000_000)
    try check("--max-length", maxLength, in: 2...1_000_000)
    try check("--steps", steps, in: 1...1_000_000_000)
    try check("--repeat", `repeat`, in: 1...1000)
    guard epochs > 0, epochs <= 1e6 else {
      throw ValidationError("--epochs \(epochs): expected a number above 0, up to 1000000")
    }
    guard learningRate >= 0, learningRate.isFinite else {
      throw ValidationError("--learning-rate \(learningRate): expected a number of at least 0")
    }
  }

  func run() throws {
    BenchmarkSetup.configure(threads: options.threads, memory: options.limits.memory?.bytes, precision: training.precision)
    var step = StepBenchmark.Options()
    (step.model, step.adapter, step.settings) = (training.model, training.adapter, training.allSettings)
    (step.batch, step.length, step.dropout) = (training.batch, training.length, training.dropout)
    (step.sequences, step.task, step.data, step.limit) = (sequences, task, data, limit)
    (step.maxLength, step.tokenizer, step.isGroupedByLength) = (maxLength, tokenizer, groupByLength)
    step.isLanguage = causalLm
    (step.epochs, step.steps, step.repeats) = (epochs, steps, `repeat`)
    (step.learningRate, step.seed) = (learningRate, training.seed)
    try options.show("step") {
      try StepBenchmark.run(step)
    }
  }
}
