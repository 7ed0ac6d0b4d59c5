import ArgumentParser
import Engine

/// `perigee export`
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write what was trained in the form of another program.",
    discussion: """
      Forms of --to:
      \(ExportCommand.targets.map { "  " + $0 }.joined(separator: "\n"))

        perigee export outputs/reviews --to peft --out reviews-peft
        perigee export outputs/mnli-to-rte --stage rte --to merged --out rte
        perigee export outputs/e2e --to gguf --out e2e-gguf

      Several adapters that act together are written as their sum. What a form cannot hold is an error that says why.
      """)

  @Argument(
    help: ArgumentHelp(
      "Run directory, or a folder in its stages, for what was trained there; or model folder or hub name.", valueName: "model-or-run"),
    completion: .directory)
  var model: String

  @Option(help: ArgumentHelp("The form.", valueName: "form"), completion: .list(["peft", "merged", "lora", "gguf"]))
  var to: String

  @Option(help: ArgumentHelp("The folder to write.", valueName: "dir"), completion: .directory)
  var out: String

  @Option(help: ArgumentHelp("A stage of the run. (default: the only one that was trained)", valueName: "name"))
  var stage: String?

  @Option(help: ArgumentHelp("Folder of an adapter to load onto the model; may be repeated.", valueName: "dir"), completion: .directory)
  var adapter: [String] = []

  @Flag(help: "Merge the adapters first, where the form could hold them apart.")
  var merge = false

  @Flag(help: "Replace the folder of --out.")
  var overwrite = false

  @OptionGroup var limits: MemoryOption

  func run() throws {
    EngineSetup.configure(threads: nil, memory: limits.memory?.bytes, precision: .fp32)
    var command = ExportCommand()
    (command.model, command.target, command.output, command.stage) = (model, to, out, stage)
    (command.adapters, command.merges, command.overwrites) = (adapter, merge, overwrite)
    print(try command.run())
  }
}
