import ArgumentParser
import Commands
import Diagnostics
import Engine
import Files

/// `perigee run`
struct Run: ScriptCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a pipeline.",
    discussion: """
      'perigee run SCRIPT --help' shows the script's parameters.

      Stages whose inputs were seen before are loaded instead of trained again. The run directory \
      gets the script, the parameters, output.txt, metrics.jsonl, results.json and, per stage, the \
      trained files. It appears with the first training or result: a script that fails before leaves none.

      A finished run is never replaced by one with another script, other parameters, seed, precision or \
      version, unless --overwrite says so; the same command again reuses what is there. A run that did \
      not finish goes on with --resume, also with other --set values, or with --out again. In the file of a \
      batch job, '--out DIR --resume auto' starts the run, and goes on with it when the job comes back.

        perigee run pipelines/mnli_to_rte.lua --set r=4,8,16 --set learning_rate=1e-3,5e-3 --multirun --out runs/r
        srun perigee run sweep.lua --shard auto --out runs/sweep --resume auto
      """)

  private static let auto = "auto"

  @OptionGroup var script: ScriptArgument

  @Option(
    help: ArgumentHelp(
      "Run directory. (default: outputs/<script>-<date>-<time>)", valueName: "dir"),
    completion: .directory)
  var out: String?

  @Option(
    help: ArgumentHelp(
      "Go on with the run in this directory, by default with its own copy of the script; 'auto': with that in --out, if there is one, else start it.",
      valueName: "dir"),
    completion: .directory)
  var resume: String?

  @Flag(
    help: ArgumentHelp(
      "Run every combination of the values in --set a=1,2,3: each in a directory of its own, in the folder that --out names, and a table of "
        + "them at the end. A value with a comma is put in quotes, --set \"a='x,y',z\", a list in brackets."))
  var multirun = false

  @Option(
    help: ArgumentHelp(
      "Share out the points of the script's sweep.run with other processes over the same cache: 3/12 is the third of twelve, which takes its own "
        + "part of the points first and then what is left; 'auto' takes both from a Slurm array. The run directory is a folder in that of --out.",
      valueName: "number/count"))
  var shard: String?

  @Flag(help: "Replace the run that --out or --resume holds, also one that finished.")
  var overwrite = false

  @Flag(
    inversion: .prefixedNo,
    help: "Write event files for TensorBoard: into the run directory, or where TENSORBOARD_LOGGING_DIR says.")
  var tensorboard = true

  @OptionGroup var options: ScriptOptions

  func validate() throws {
    if shard != nil, multirun {
      throw ValidationError("--shard and --multirun exclude each other: --shard shares out the points of a script's sweep.run")
    }
    if multirun, resume != nil, resume != Self.auto {
      throw ValidationError("--multirun and --resume exclude each other: name the folder of the runs with --out, and they go on")
    }
    if multirun || resume == nil { try script.require() }
    if resume == Self.auto {
      if out == nil {
        throw ValidationError("--resume auto: which directory? Name it with --out (a directory called auto is ./auto)")
      }
    } else if out != nil, resume != nil {
      throw ValidationError("--out and --resume exclude each other: --resume names the directory")
    }
  }

  func run() throws {
    var choices = try options.runOptions(script)
    choices.out = out
    choices.resume = resume == Self.auto ? nil : resume
    choices.goesOn = resume == Self.auto
    choices.overwrite = overwrite
    choices.writesTensorBoard = tensorboard
    choices.shard = try shard.map { try Shard($0) }
    if let out, let shard = choices.shard { choices.out = FilePath.join(out, shard.folderName) }
    guard multirun else { return try runTogether(choices) }
    try MPIProcessGroup.requireAlone("--multirun")
    choices.settings.removeLast(options.settings.count)
    try Runner.multirun(choices, settings: options.settings)
  }

  /// Runs the script with the processes that a launcher has started together with this one; with `--shard` each is on its own.
  private func runTogether(_ options: RunOptions) throws {
    var options = options
    if options.shard == nil { options.group = try MPIProcessGroup.launched() }
    defer { (options.group as? MPIProcessGroup)?.close() }
    do { try Runner.run(options) } catch  where options.group.rank > 0 {
      // The first process tells.
      throw ExitCode(isInterruption(error) ? Interrupt.exitCode : ErrorReport.failure)
    }
  }
}
