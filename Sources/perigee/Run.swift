import ArgumentParser
import Bindings

/// `perigee run`
struct Run: ScriptCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a pipeline.",
    discussion: """
      Stages whose inputs were seen before are loaded instead of trained again. The run directory \
      gets the script, the parameters, metrics.jsonl, results.json and, per stage, the trained files.
      """)

  @Argument(
    help: ArgumentHelp(
      "The Lua file. With --resume: by default the copy in the run directory.",
      valueName: "script.lua"),
    completion: .file(extensions: ["lua"]))
  var script: String?

  @Option(
    help: ArgumentHelp(
      "Run directory. (default: outputs/<script>-<date>-<time>)", valueName: "dir"),
    completion: .directory)
  var out: String?

  @Option(
    help: ArgumentHelp("Go on with the run in this directory.", valueName: "dir"),
    completion: .directory)
  var resume: String?

  @OptionGroup var options: ScriptOptions

  func validate() throws {
    if script ?? "" == "", resume == nil {
      throw ValidationError("Missing expected argument '<script.lua>'")
    }
    if out != nil, resume != nil {
      throw ValidationError("--out and --resume exclude each other: --resume names the directory")
    }
  }

  func run() throws {
    var choices = options.runOptions(script: script ?? "")
    choices.out = out
    choices.resume = resume
    try Runner.run(choices)
  }
}
