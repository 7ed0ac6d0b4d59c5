import ArgumentParser
import Commands
import Engine
import Files
import Pipelines

extension PrecisionChoice: ExpressibleByArgument {}

/// A command that executes a script.
protocol ScriptCommand: ParsableCommand {
  var script: ScriptArgument { get }
  var options: ScriptOptions { get }
}

/// The script that a command executes.
struct ScriptArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp("The Lua file; '-' reads the script from standard input.", valueName: "script.lua"), completion: .file(extensions: ["lua"]))
  var path: String?

  @Option(
    name: .customShort("e"), parsing: .unconditional, help: ArgumentHelp("The script itself, in place of a file.", valueName: "code"))
  var code: String?

  /// Whether one is given.
  var isGiven: Bool { path ?? "" != "" || code != nil }

  func validate() throws {
    if path != nil, code != nil { throw ValidationError("A file and -e exclude each other") }
  }

  /// Throws where there is none.
  func require() throws { if !isGiven { throw ValidationError("Missing expected argument '<script.lua>'") } }

  /// A script that is in no file; reads standard input.
  func text() throws -> RunScript? {
    if let code { return RunScript(path: "command_line.lua", text: code, title: "(command line)") }
    return path == "-" ? RunScript(path: "stdin.lua", text: try readStandardInput(), title: "(stdin)") : nil
  }
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
  func runOptions(_ script: ScriptArgument) throws -> RunOptions {
    var options = RunOptions()
    options.script = script.path ?? ""
    if let text = try script.text() { options.text = text }
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
