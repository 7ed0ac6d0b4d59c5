import ArgumentParser
import Bindings

/// `perigee params`
struct Params: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "params",
    abstract: "Count a model's trainable parameters with an adapter.",
    discussion: """
      Reads only config.json, no weights.

        perigee params models/roberta-base --adapter lora --set r=8 --set target_modules=query,value
        perigee params models/roberta-base --adapter lua/adapters/vera.lua
      """)

  @Argument(
    help: ArgumentHelp(
      "Folder with a config.json, that file, or a hub name in the local cache.", valueName: "model"),
    completion: .directory)
  var model: String

  @Option(help: ArgumentHelp("The adapter, such as lora or delora, or a Lua file that defines one.", valueName: "name"))
  var adapter: String

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Give one of the adapter's options a value; may be repeated.", valueName: "name=value"))
  var settings: [String] = []

  func run() throws {
    let counts = try Runner.parameterCounts(model: model, adapter: adapter, settings: settings)
    print(counts.hasSuffix("\n") ? String(counts.dropLast()) : counts)
  }
}
