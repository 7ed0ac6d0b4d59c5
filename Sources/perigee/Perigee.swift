import ArgumentParser
import Commands
import Diagnostics
import Engine

/// The command without a subcommand: prints its help.
struct Perigee: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perigee",
    abstract: "Fine-tunes transformers on the CPU, as a Lua script says.",
    discussion: """
      A pipeline is a Lua script that builds models, adapts them and trains them in named stages. \
      Finished stages are kept and used again; a run that was cut off goes on with --resume.

        perigee run pipelines/mnli_to_rte.lua --set r=16
        perigee check pipelines/mnli_to_rte.lua --set model=models/roberta-base
        perigee params models/roberta-base --adapter lora --set r=8

      Results go to standard output, progress to standard error. Exit codes: 0 done, 1 a mistake in \
      the options, the script or the files, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP \
      (each saves and stops; a second one stops at once).

      Environment: PERIGEE_CACHE (results of finished stages; default ~/.cache/perigee), \
      PERIGEE_LEASE_SECONDS (how long a silent process of another machine keeps its stage; default 60), \
      PERIGEE_HANG_SECONDS (how long a silent process of a joint training is waited for; default 20, 0: for ever), \
      PERIGEE_TRACEBACK=1 (as --traceback), HF_HOME (models by hub name), NO_COLOR, COLUMNS, CI.

      'perigee help trainer.fit' explains what scripts can call: a module, a function, Model:predict.
      """,
    version: "perigee \(EngineSetup.version)",
    subcommands: [
      Init.self, Run.self, Check.self, Repl.self, Params.self,
      Predict.self, Embed.self, Evaluate.self, Generate.self, Serve.self, Export.self, Score.self,
      Report.self, RunsCommand.self, Cache.self,
      Test.self, TestAdapter.self, Bench.self, DoctorCommand.self, Stubs.self,
    ])

  static let commandNames = configuration.subcommands.compactMap { $0.configuration.commandName }

  /// Catches what is no command, with a better hint than "unexpected argument".
  static func checkCommandName(_ arguments: [String]) throws {
    guard let name = arguments.first, !name.hasPrefix("-") else { return }
    let names = commandNames + ["help"]
    if name == Bench.configuration.commandName { return try checkBenchmarkName(arguments.dropFirst().first) }
    guard !names.contains(name) else { return }
    if name.hasSuffix(".lua") {
      throw EngineError(.argument, "no command '\(name)'", hint: "did you mean 'perigee run \(name)'?")
    }
    throw EngineError(
      .argument, "no command '\(name)'", hint: otherNames[name].map { "did you mean 'perigee \($0)'?" } ?? suggestion(for: name, among: names))
  }

  /// What other tools call their commands.
  private static let otherNames = [
    "train": "run", "fit": "run", "finetune": "run", "start": "run", "exec": "run", "validate": "check", "plan": "check",
    "dry-run": "check",
    "version": "--version", "infer": "generate", "complete": "generate", "embeddings": "embed", "encode": "embed", "convert": "export",
    "merge": "export", "save": "export", "count": "params",
    "parameters": "params",
  ]

  /// Catches `--set name value`, whose value would be called unexpected.
  static func checkSettings(_ arguments: [String]) throws {
    for (place, option) in arguments.enumerated() where option == "--set" {
      let rest = arguments[(place + 1)...].prefix(2)
      guard let setting = rest.first, !setting.contains("="), !setting.hasPrefix("-") else { continue }
      let value = rest.count == 2 && !(rest.last ?? "").hasPrefix("--") ? rest.last ?? "" : "VALUE"
      throw EngineError(.argument, "--set \(setting): expected name=value", hint: "write --set \(setting)=\(value)")
    }
  }

  /// A message of the parser about an option that is not there, without a suggestion that is not near, and with what a script's
  /// own parameters are given by.
  static func explained(_ message: String, command: String?) -> String {
    guard let match = message.wholeMatch(of: #/Unknown option '(--?([^']*))'(?:\. Did you mean '--?([^']*)'\?)?/#) else { return message }
    let name = String(match.output.2)
    if let near = match.output.3, nearestName(to: name, among: [String(near)]) != nil { return message }
    let isScript = [Run.configuration.commandName, Check.configuration.commandName, Repl.configuration.commandName].contains(command)
    return "Unknown option '\(match.output.1)'" + (isScript ? "; parameters of the script are given as --set \(name)=VALUE" : "")
  }

  /// The name of a part of Lua that `help` is asked about; nil for commands and options.
  static func luaHelpName(_ arguments: [String]) -> String? {
    guard arguments.count == 2, arguments[0] == "help", !arguments[1].hasPrefix("-"), !commandNames.contains(arguments[1]) else { return nil }
    return arguments[1]
  }

  /// What `help` says about a name of Lua; with the nearest command or name where there is none.
  static func luaHelp(_ name: String) throws -> String {
    do {
      return try Runner.help(name)
    } catch let error as EngineError {
      guard let command = nearestName(to: name, among: commandNames), error.hint?.hasPrefix("did you mean") != true else { throw error }
      throw EngineError(error.kind, error.message, hint: "did you mean 'perigee help \(command)'?")
    }
  }

  private static func checkBenchmarkName(_ name: String?) throws {
    guard let name, !name.hasPrefix("-"), !Bench.commandNames.contains(name) else { return }
    throw EngineError(.argument, "no benchmark '\(name)'", hint: suggestion(for: name, among: Bench.commandNames))
  }
}
