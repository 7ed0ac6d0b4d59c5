import ArgumentParser
import Benchmarks
import Engine
import Generation

/// `perigee bench generate`
struct BenchGenerate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Writing with a language model: speed, memory, and time by kind of work.",
    discussion: """
      Continues prompts of random tokens, or the lines of a file. No token ends a text, so that all get \
      max_new_tokens (\(GenerationOptions.commandMaxNewTokens) unless it is given), which count once for each result and not for each \
      beam. A first prompt, continued by two tokens, warms up.
      """)

  @Option(
    help: ArgumentHelp(
      "Model folder, hub name, or builtin:tiny; a config.json, or a folder with nothing else, gives random weights.", valueName: "model"),
    completion: .directory)
  var model: String

  @Option(parsing: .unconditional, help: ArgumentHelp("Prompts that are continued.", valueName: "count"))
  var prompts = 1

  @Option(parsing: .unconditional, help: ArgumentHelp("Random tokens of a prompt.", valueName: "count"))
  var length = 32

  @Option(help: ArgumentHelp("File whose lines are prompts, instead of random tokens.", valueName: "file"), completion: .file())
  var texts: String?

  @OptionGroup var generation: GenerationSettings

  @Option(help: ArgumentHelp("Arithmetic of products with frozen weights.", valueName: "type"))
  var precision: PrecisionChoice = .auto

  @Option(parsing: .unconditional, help: ArgumentHelp("How often all prompts are continued.", valueName: "count"))
  var `repeat` = 1

  @Option(parsing: .unconditional, help: ArgumentHelp("Seed of everything random.", valueName: "number"))
  var seed = 42

  @OptionGroup var options: BenchOptions

  func validate() throws {
    try check("--prompts", prompts, in: 1...1_000_000)
    try check("--length", length, in: 1...65_536)
    try check("--repeat", `repeat`, in: 1...1000)
    try check("--seed", seed, in: 0...Int.max)
  }

  func run() throws {
    BenchmarkSetup.configure(threads: options.threads, memory: options.limits.memory?.bytes, precision: precision)
    var generate = GenerateBenchmark.Options()
    (generate.model, generate.prompts, generate.length, generate.texts) = (model, prompts, length, texts)
    (generate.generation, generate.repeats, generate.seed) = (try GenerationOptions(settings: generation.settings), `repeat`, seed)
    try options.show("generate") {
      try GenerateBenchmark.run(generate)
    }
  }
}
