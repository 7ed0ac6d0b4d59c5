import ArgumentParser
import Commands

/// `perigee test-adapter`
struct TestAdapter: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test-adapter",
    abstract: "Check the adapter methods that a Lua file defines.",
    discussion: """
      Runs what every adapter must pass on two tiny models, a RoBERTa that classifies and a Llama that writes, in fp32, for \
      each adapters.define in the file and the options' defaults: gradients against differences of the loss, merging, saving, resuming, and so on. "-" stands for a check \
      that says nothing about a method. Exit code 1 if one fails.

        perigee test-adapter lua/adapters/delora.lua
      """)

  @Argument(help: ArgumentHelp("The Lua file.", valueName: "file.lua"), completion: .file(extensions: ["lua"]))
  var script: String

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Give an option of the methods a value; may be repeated.", valueName: "name=value"))
  var settings: [String] = []

  func run() throws {
    guard try Runner.testAdapters(script, settings: settings) else { throw ExitCode(1) }
  }
}
