import ArgumentParser
import Commands
import Files

/// `perigee repl`
struct Repl: ScriptCommand {
  static let configuration = CommandConfiguration(
    commandName: "repl",
    abstract: "Type Lua and see what it gives.",
    discussion: """
      Runs the script, if one is given, and then every line that is typed. Variables stay, 'local' or not, and models stay loaded; an \
      expression shows its value. Lines may go on: a statement runs when it is complete. Ctrl-C ends what runs, and Ctrl-D all.

      With a pipe or a file as standard input there is no prompt, and the first error ends it with exit code 1:

        echo 'models.load("builtin:tiny")' | perigee repl

      Where something was trained, a run directory is left, in whose code folder the script has what was typed and ran. Lines of \
      earlier sessions are in $XDG_STATE_HOME/perigee/repl_history (default ~/.local/state).
      """)

  @OptionGroup var script: ScriptArgument

  @Option(help: ArgumentHelp("Run directory. (default: outputs/repl-<date>-<time>)", valueName: "dir"), completion: .directory)
  var out: String?

  @OptionGroup var options: ScriptOptions

  func run() throws {
    var choices = try options.runOptions(script)
    choices.out = out
    let showsTraceback = options.traceback || ErrorReport.isTracebackWanted()
    try Runner.converse(choices) { _ = ErrorReport.show($0, showsTraceback: showsTraceback) }
  }
}
