import ArgumentParser
import Diagnostics
import Files
import Foundation
import Pipelines
import Runs

/// `perigee runs`
struct RunsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs",
    abstract: "List, compare, mark and remove runs.",
    discussion: """
      Runs are found in the folders in which runs were started on this machine, in 'outputs' of the working folder, and in those of --in. \
      What is shown comes from the run directories themselves; an index in $XDG_DATA_HOME/perigee (default ~/.local/share/perigee) makes \
      it fast, and can be deleted at any time.

        perigee runs --filter status=finished --filter 'accuracy>0.8' --sort -accuracy
        perigee runs compare outputs/mnli_to_rte-20261130-120000 mnli_to_rte-20261130-140000
        perigee runs tag outputs/mnli_to_rte-20261130-120000 paper
      """,
    subcommands: [List.self, Show.self, Compare.self, Tag.self, Note.self, Remove.self, Reindex.self], defaultSubcommand: List.self)

  /// Where runs are looked for.
  struct Places: ParsableArguments {
    @Option(name: .customLong("in"), help: ArgumentHelp("Look in this folder too; may be repeated.", valueName: "folder"), completion: .directory)
    var folders: [String] = []

    func index() -> RunIndex {
      let index = RunIndex { StandardError.write("warning: \($0)\n") }
      // Where runs were started is the user's to read, also in /dev/shm.
      ReadPolicy.current = ReadPolicy(named: ["."] + CommandLine.arguments.dropFirst() + index.holders())
      return index
    }
    func runs() throws -> [RunSummary] { try index().runs(in: folders) }
    /// Where names of runs are looked up.
    func selection() -> RunSelection { RunSelection { try runs() } }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "List runs, the newest first.",
      discussion: """
        Names are those of the run (name, script, status, start, seconds, seed, precision, version, tags, note), of parameters, and of metrics: \
        'accuracy' is that of the last stage that has one, 'rte.accuracy' that of the stage 'rte'. A run that lacks the name does not match.
        """)

    @Option(help: ArgumentHelp("Condition such as 'accuracy>0.8', 'tags=paper', 'note~draft' (contains); may be repeated.", valueName: "condition"))
    var filter: [String] = []

    @Option(parsing: .unconditional, help: ArgumentHelp("Order by this name; with '-' in front, the largest first.", valueName: "name"))
    var sort: String?

    @Flag(help: "Print everything about the runs as JSON.") var json = false

    @OptionGroup var places: Places

    func run() throws {
      let query = try RunQuery(filters: filter, sort: sort)
      let found = try query.apply(places.runs())
      if json { return print(JSONValue.array(found.map(\.json)).encoded(.file)) }
      print(found.isEmpty ? "no runs" : RunReport.list(found, names: query.names), terminator: found.isEmpty ? "\n" : "")
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Show one run: parameters, stages, training arguments, curves.")

    @Argument(help: ArgumentHelp("Run directory, or the name of a run.", valueName: "run"), completion: .directory) var name: String

    @OptionGroup var places: Places

    func run() throws {
      var selection = places.selection()
      print(try RunReport(unicode: ProgressStyle.detect(descriptor: 1).unicode).show(selection.run(name)), terminator: "")
    }
  }

  struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "compare", abstract: "Compare runs: parameters and training arguments that differ, metrics, learning curves.")

    @Argument(help: ArgumentHelp("Run directories, or names of runs.", valueName: "run"), completion: .directory) var names: [String]

    @Option(
      help: ArgumentHelp("Draw this curve, such as eval_accuracy or rte.loss; may be repeated. (default: losses)", valueName: "name"))
    var curve: [String] = []

    @OptionGroup var places: Places

    func validate() throws { if names.count < 2 { throw ValidationError("Expected two runs at least") } }

    func run() throws {
      var selection = places.selection()
      let runs = try names.map { try selection.run($0) }
      print(try RunReport(unicode: true).compare(runs, curves: curve), terminator: "")
    }
  }

  struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "tag", abstract: "Give a run words to find it by.")

    @Argument(help: ArgumentHelp("Run directory, or the name of a run.", valueName: "run"), completion: .directory) var name: String
    @Argument(help: "The words.") var tags: [String]
    @Flag(help: "Take the words away.") var remove = false
    @OptionGroup var places: Places

    func run() throws {
      try change(name, places) { notes in
        notes.tags = notes.tags.filter { !tags.contains($0) } + (remove ? [] : tags)
      }
    }
  }

  struct Note: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "note", abstract: "Write down what is worth remembering of a run.")

    @Argument(help: ArgumentHelp("Run directory, or the name of a run.", valueName: "run"), completion: .directory) var name: String
    @Argument(help: "The text, in place of the run's; '' takes it away.") var text: String
    @OptionGroup var places: Places

    func run() throws { try change(name, places) { $0.note = text.isEmpty ? nil : text } }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "rm", abstract: "Remove run directories.",
      discussion: "Results of stages stay in the cache (see 'perigee cache'). A run that is at work, and what is no run directory, is refused.")

    @Argument(help: ArgumentHelp("Run directories, or names of runs.", valueName: "run"), completion: .directory) var names: [String]
    @Flag(help: "Remove them without asking.") var yes = false
    @OptionGroup var places: Places

    func run() throws {
      var selection = places.selection()
      var seen: Set<String> = []
      let runs = try names.map { try selection.run($0) }.filter { seen.insert(realPath($0.path) ?? $0.path).inserted }
      let count = try RunSelection.remove(runs) { try isConfirmed($0, yes) }
      print("\(count) removed")
    }
  }

  struct Reindex: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "reindex", abstract: "Look for runs below folders, and remember where they are.")

    @Argument(help: "The folders.", completion: .directory) var folders: [String]

    func run() throws { print("\(try Places().index().reindex(folders)) runs") }
  }
}

/// Changes a run's notes.
private func change(_ name: String, _ places: RunsCommand.Places, _ body: (inout RunNotes) -> Void) throws {
  var selection = places.selection()
  let run = try selection.run(name)
  var notes = try RunNotes(run: run.path)
  body(&notes)
  try notes.write(to: run.path)
}

/// Asks on the terminal; `yes` answers.
func isConfirmed(_ question: String, _ yes: Bool) throws -> Bool {
  if yes { return true }
  guard isatty(0) == 1 else { throw EngineError(.argument, "nobody is there to ask: \(question)", hint: "give --yes to do it without asking") }
  StandardError.write(question + " [y/N] ")
  return ["y", "yes"].contains((readLine() ?? "").lowercased())
}
