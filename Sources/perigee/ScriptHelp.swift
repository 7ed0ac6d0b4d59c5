import ArgumentParser
import Commands

/// `perigee run SCRIPT --help`: the script's parameters. Without a script, the parser shows the command's own help.
enum ScriptHelp {
  private static let flags: Set<String> = ["--help", "-h", "-help"]

  /// The text to show; nil where the arguments ask for something else.
  static func text(for arguments: [String]) throws -> String? {
    let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
    guard let name = arguments.first, arguments[..<end].contains(where: flags.contains) else { return nil }
    let others = arguments[..<end].filter { !flags.contains($0) } + arguments[end...]
    guard let command = try? Perigee.parseAsRoot(others) as? any ScriptCommand, command.script.isGiven else { return nil }
    let help = try Runner.parameterHelp(command.options.runOptions(command.script))
    return help + "\n'perigee \(name) --help' has the options of the command itself."
  }
}
