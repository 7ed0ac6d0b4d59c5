import ArgumentParser
import Diagnostics
import Engine
import Reports

/// `perigee report`
struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Write a page about a run, or about several.",
    discussion: """
      One HTML file with everything in it: stages and what goes on from what, learning curves, tables and figures of the script \
      (report.table, report.plot), sweeps with means, spreads and paired tests over seeds, parameters, training arguments, machine and \
      commands. It loads nothing and can be sent to somebody. Several runs are compared. A run that works, failed or was killed is \
      shown as far as it came.

        perigee report outputs/mnli_to_rte-20260131-120000
        perigee report outputs/lora-* --out lora.html
      """)

  @Argument(help: ArgumentHelp("Run directories, at least one.", valueName: "run"), completion: .directory)
  var runs: [String]

  @Option(help: ArgumentHelp("Where to write. A report that is there is replaced.", valueName: "file"), completion: .file(extensions: ["html"]))
  var out = "report.html"

  func run() throws {
    try Reports.Report(runs, version: EngineSetup.version).write(to: out)
    print(out)
  }
}
