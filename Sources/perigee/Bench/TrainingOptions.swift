import ArgumentParser
import Benchmarks
import Engine

/// What is trained, for `bench layer` and `bench step`.
struct TrainingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Model folder, hub name, or builtin:tiny; a config.json, or a folder with nothing else, gives random weights.",
      valueName: "model"),
    completion: .directory)
  var model = BenchmarkModel.randomRoBERTaBase

  @Option(
    help: ArgumentHelp("lora, delora, classifier, full; none: no backward pass.", valueName: "name"))
  var adapter = "lora"

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Give one of the adapter's options a value; may be repeated.", valueName: "name=value"))
  var settings: [String] = []

  @Option(help: ArgumentHelp("The same as --set target_modules=names.", valueName: "names"))
  var targets: String?

  @Option(
    help: ArgumentHelp(
      "Arithmetic of products with frozen weights. auto: bf16 on CPUs that are fast at it, else fp32.",
      valueName: "type"))
  var precision: PrecisionChoice = .auto

  @Option(parsing: .unconditional, help: ArgumentHelp("Sequences in a batch.", valueName: "count"))
  var batch = 32

  @Option(parsing: .unconditional, help: ArgumentHelp("Tokens of a synthetic sequence.", valueName: "count"))
  var length = 128

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Dropout in the model, instead of its configuration's, from 0 to below 1.", valueName: "p"))
  var dropout: Double?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Seed of everything random.", valueName: "number"))
  var seed = 42

  func validate() throws {
    try check("--batch", batch, in: 1...1_000_000)
    try check("--length", length, in: 1...65_536)
    if let dropout, !(dropout >= 0 && dropout < 1) {
      throw ValidationError("--dropout \(dropout): expected a number from 0 to below 1")
    }
    guard seed >= 0 else { throw ValidationError("--seed \(seed): expected a number of at least 0") }
  }

  /// The adapter's settings, targets included.
  var allSettings: [String] { settings + (targets.map { ["target_modules=" + $0] } ?? []) }
}
