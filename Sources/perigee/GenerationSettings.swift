import ArgumentParser
import Generation

/// `--set` of commands in which a model writes.
struct GenerationSettings: ParsableArguments {
  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Give an option of generation a value; may be repeated. max_new_tokens is \(GenerationOptions.commandMaxNewTokens) unless it or max_length is given.",
      valueName: "name=value"))
  var settings: [String] = []
}
