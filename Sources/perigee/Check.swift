import ArgumentParser
import Bindings

/// `perigee check`
struct Check: ScriptCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Do everything but the training, and print the plan.",
    discussion: """
      Resolves files and parameters, builds the models, and prints for every stage its trainable \
      and total parameters, tokens and estimated memory. Writes nothing.
      """)

  @Argument(
    help: ArgumentHelp("The Lua file.", valueName: "script.lua"),
    completion: .file(extensions: ["lua"]))
  var script: String

  @OptionGroup var options: ScriptOptions

  func run() throws {
    try Runner.check(options.runOptions(script: script))
  }
}
