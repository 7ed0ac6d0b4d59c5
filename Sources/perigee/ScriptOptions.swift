import ArgumentParser
import Bindings
import Engine
import Pipelines

extension PrecisionChoice: ExpressibleByArgument {}

/// A command that executes a script.
protocol ScriptCommand: ParsableCommand {
  var options: ScriptOptions { get }
  /// The script, if one is given.
  var scriptPath: String? { get }
}

/// What `run` and `check` have in common.
struct ScriptOptions: ParsableArguments {
  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Give one of the script's parameters a value; may be repeated.", valueName: "name=value"))
  var settings: [String] = []

  @Option(
    help: ArgumentHelp(
      "Take parameters from a JSON file, such as a run's params.json; --set comes after it. May be repeated.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var setFile: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Threads to compute with. (default: one per core)", valueName: "count"))
  var threads: Int?

  @OptionGroup var limits: MemoryOption

  @Option(
    help: ArgumentHelp(
      "Arithmetic of products with frozen weights. auto: bf16 on CPUs that are fast at it, else fp32.",
      valueName: "type"))
  var precision: PrecisionChoice = .auto

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Seed of everything random, where the script gives none. (default: 42)", valueName: "number"))
  var seed: Int?

  @Flag(help: "Show no progress.")
  var quiet = false

  @Flag(
    help: "Let the script read and write any file and start programs. Only for scripts you trust.")
  var allowIO = false

  @Flag(
    help: ArgumentHelp(
      "Let the script read nothing outside the working folder, the hub cache, the run directory, the cache, and paths that this "
        + "command names."))
  var strict = false

  @Flag(help: "After an error in the script, show the calls that led there.")
  var traceback = false

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): expected a number from 1 to 1024")
    }
    if strict, allowIO {
      throw ValidationError("--strict and --allow-io exclude each other")
    }
    if let seed, seed < 0 {
      throw ValidationError("--seed \(seed): expected a number of at least 0")
    }
  }

  /// The same choices in the words of the engine.
  func runOptions(script: String) throws -> RunOptions {
    var options = RunOptions()
    options.script = script
    options.settings = try setFile.flatMap { try ParameterSet.settings(file: $0) } + settings
    options.threads = threads
    options.memory = limits.memory?.bytes
    options.precision = precision
    options.seed = seed
    options.isQuiet = quiet
    options.allowIO = allowIO
    options.isStrict = strict
    return options
  }
}
