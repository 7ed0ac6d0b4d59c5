import ArgumentParser
import Diagnostics
import Files
import Foundation
import Pipelines
import Runs

/// `perigee cache`
struct Cache: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "List and prune the stored results of stages.",
    discussion: """
      Stages are kept in PERIGEE_CACHE (default ~/.cache/perigee), so that an equal one is not run again. A run directory has files of its \
      own: it stays whole when the results of its stages are removed here.

        perigee cache
        perigee cache prune --older-than 30 --unused --dry-run
        perigee cache prune --max-size 5G
      """,
    subcommands: [List.self, Prune.self], defaultSubcommand: List.self)

  static func open() throws -> StageCache {
    func warn(_ line: String) { StandardError.write("warning: \(line)\n") }
    return StageCache(StageStore(warn: warn), runs: try RunsCommand.Places().index().runs(in: []))
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "List stored stages, the largest first: size, last use, and the runs that used them.")

    @Flag(help: "Print it as JSON.") var json = false

    func run() throws {
      let cache = try Cache.open()
      print(json ? cache.json.encoded(.file) + "\n" : cache.text(), terminator: "")
    }
  }

  struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "prune", abstract: "Remove stored stages for which all given conditions hold.",
      discussion: "What a running pipeline works at, or has loaded, is kept.")

    @Option(parsing: .unconditional, help: ArgumentHelp("Not used for so many days.", valueName: "days")) var olderThan: Double?

    @Option(
      help: ArgumentHelp("Until all stages take at most this, such as 5G, beginning with those not used for longest.", valueName: "size"))
    var maxSize: ByteCount?

    @Flag(help: "Used by no run that 'perigee runs' lists.") var unused = false

    @Flag(help: "Say what would be removed, and remove nothing.") var dryRun = false

    @Flag(help: "Remove without asking.") var yes = false

    func validate() throws {
      if olderThan == nil, maxSize == nil, !unused { throw ValidationError("Expected --older-than, --max-size or --unused") }
      if let olderThan, !(olderThan >= 0) { throw ValidationError("--older-than \(olderThan): expected a number of at least 0") }
    }

    func run() throws {
      let cache = try Cache.open()
      var rule = StageCache.Rule()
      (rule.olderThan, rule.mostBytes, rule.unused) = (olderThan, maxSize?.bytes, unused)
      let chosen = cache.chosen(by: rule)
      for entry in chosen { print("\(entry.stage.key.name)  \(entry.stage.key.digest.hex)  \(byteCount(entry.size))") }
      let sum = "\(StageCache.stages(chosen.count)), \(byteCount(chosen.reduce(0) { $0 + $1.size }))"
      if dryRun || chosen.isEmpty { return print("\(sum), would be removed") }
      guard try isConfirmed("remove \(sum)?", yes) else { return print("0 stages removed") }
      let removed = try cache.remove(chosen) { print("in use, kept: \($0.stage.key.name)  \($0.stage.key.digest.hex)") }
      print("\(StageCache.stages(removed.count)) removed, \(byteCount(removed.bytes))")
    }
  }
}

/// A number of bytes, such as 5G.
struct ByteCount: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    guard let bytes = parsedByteCount(argument) else { return nil }
    self.bytes = bytes
  }
}
