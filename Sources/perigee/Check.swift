import ArgumentParser
import Commands

/// `perigee check`
struct Check: ScriptCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Do everything but the training, and print the plan.",
    discussion: """
      Resolves files and parameters, builds the models, and prints the parameters, and for every stage whether its \
      result is stored already (yes, no, in part: it goes on from a saved state; unknown: it begins with what a stage \
      leaves that is still to be trained), its trainable and total parameters, tokens, texts that are cut, and \
      estimated memory. Writes nothing.

      'perigee check SCRIPT --help' shows the script's parameters alone.
      """)

  @OptionGroup var script: ScriptArgument

  @OptionGroup var options: ScriptOptions

  func validate() throws { try script.require() }

  func run() throws {
    try Runner.check(options.runOptions(script))
  }
}
