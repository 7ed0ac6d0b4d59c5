import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@testable import Pipelines
@testable import Runs

@Suite struct RunIndexTests {
  /// A run directory of a run that finished, or was killed.
  @discardableResult
  private func makeRun(
    _ path: String, r: Int = 4, accuracy: Double = 0.5, start: Double = 0, isFinished: Bool = true, script: String = "t.lua"
  ) throws -> String {
    let run = try RunDirectory.create(out: path)
    var invocation = Invocation()
    (invocation.version, invocation.seed) = ("0.1.0", r)
    try run.prepare(RunScript(path: "a/" + script, text: ""), invocation, now: Date(timeIntervalSince1970: 1e9 + start))
    try run.declare(["r": .int(r), "method": "lora", "lr": .double(1e-3)])
    try run.begin()
    let log = try run.metrics()
    for step in 1...4 { log.append(["stage": "s", "step": .int(step), "loss": .double(Double(r) / Double(step))]) }
    try run.writeResults([
      "tables": [],
      "stages": [["stage": "s", "key": .string("key\(r)"), "metrics": ["eval_accuracy": .double(accuracy), "eval_loss": 1], "steps": 4]],
    ])
    if isFinished { try run.end(.finished, now: Date(timeIntervalSince1970: 1e9 + start + 60)) }
    return try #require(realPath(path))
  }

  private func index(_ folder: String, _ warnings: UnsafeMutablePointer<[String]>? = nil) -> RunIndex {
    // As a home folder that is behind a link.
    symlink(folder, folder + "/home")
    return RunIndex(folder: folder + "/home/index", outputs: folder + "/outputs") { warnings?.pointee.append($0) }
  }

  private func names(_ runs: [RunSummary]) -> [String] { runs.map(\.name) }

  @Test func answersFromTheIndexAreThoseOfTheFolders() throws {
    try withTemporaryFolder { folder in
      let paths = try (1...3).map { try makeRun("\(folder)/runs/r\($0)", r: $0, accuracy: Double($0) / 4) }
      for path in paths { index(folder).register(path) }
      var warnings: [String] = []
      func answer() throws -> String { JSONValue.array(try index(folder, &warnings).runs(in: []).map(\.json)).encoded(.file) }
      let first = try answer()
      #expect(first.contains("\"eval_accuracy\": 0.75"))
      let database = folder + "/index/runs.db"
      // Deleted, no database, cut off, of another version: the same answers from the folders, and an index again.
      let good = try readFile(database)
      let damages: [(String) throws -> Void] = [
        { removeTree($0) }, { try AtomicFile.write("no database at all, whatever its name says", to: $0) },
        { try AtomicFile.write(Data(good.prefix(good.count / 2)), to: $0) }, { try Database($0, patience: 100).run("PRAGMA user_version = 99") },
        { try Database($0, patience: 100).run("UPDATE runs SET facts = 'x'") },
      ]
      for (number, damage) in damages.enumerated() {
        try damage(database)
        #expect(try answer() == first, "\(number)")
        #expect(try Database(database, patience: 100).run("SELECT count(*) FROM runs") == [["3"]])
      }
      // What changes in a folder shows, also where no run said so.
      try RunNotes.with(tags: ["paper"], note: "best").write(to: paths[1])
      #expect(try index(folder).runs(in: []).map(\.tags) == [[], ["paper"], []])
      removeTree(paths[0])
      #expect(try names(index(folder).runs(in: [])) == ["r2", "r3"])
      #expect(try Database(database, patience: 100).run("SELECT path FROM runs").count == 2)
      #expect(warnings.isEmpty, "\(warnings)")
      // A damaged run directory is told, and hides no other.
      try AtomicFile.write("{", to: paths[2] + "/command.json")
      #expect(try names(index(folder, &warnings).runs(in: [])) == ["r2"])
      #expect(warnings.count == 1 && warnings[0].hasPrefix(paths[2]))
    }
  }

  /// Rows are read, and not the folders: a row that says otherwise is believed while its stamp is the folder's.
  @Test func readsNoFolderThatHasNotChanged() throws {
    try withTemporaryFolder { folder in
      let path = try makeRun(folder + "/runs/r")
      index(folder).register(path)
      try Database(folder + "/index/runs.db", patience: 100).run("UPDATE runs SET facts = replace(facts, '\"t.lua\"', '\"other.lua\"')")
      #expect(try index(folder).runs(in: []).first?.value("script") == "other.lua")
      touch(path + "/results.json")
      #expect(try index(folder).runs(in: []).first?.value("script") == "t.lua")
    }
  }

  @Test func aRunGoesOnWhateverBecomesOfTheIndex() throws {
    try withTemporaryFolder { folder in
      let path = try makeRun(folder + "/runs/r")
      var warnings: [String] = []
      // Another process holds the database; then there is a file where its folder should be.
      index(folder).register(path)
      let other = try Database(folder + "/index/runs.db", patience: 100)
      try other.run("BEGIN EXCLUSIVE")
      let blocked = index(folder, &warnings)
      blocked.patience = 20
      blocked.register(path)
      #expect(warnings.count == 1 && warnings[0].contains("locked"), "\(warnings)")
      #expect(try names(blocked.runs(in: [])) == ["r"])
      #expect(warnings.count == 2)
      try other.run("COMMIT")
      removeTree(folder + "/index")
      try AtomicFile.write("", to: folder + "/index")
      index(folder, &warnings).register(path)
      #expect(try names(index(folder, &warnings).runs(in: [folder + "/runs"])) == ["r"])
      #expect(warnings.count == 4)
    }
  }

  @Test func processesWriteAtTheSameTime() throws {
    try withTemporaryFolder { folder in
      let paths = try (0..<16).map { try makeRun("\(folder)/runs\($0 % 4)/r\($0)") }
      nonisolated(unsafe) var warnings: [String] = []
      DispatchQueue.concurrentPerform(iterations: paths.count) { number in
        RunIndex(folder: folder + "/index") { warnings.append($0) }.register(paths[number])
      }
      #expect(warnings.isEmpty, "\(warnings)")
      #expect(try Database(folder + "/index/runs.db", patience: 100).run("SELECT count(*) FROM runs") == [["16"]])
      #expect(try index(folder).runs(in: []).count == 16)
    }
  }

  @Test func findsRunsBelowFolders() throws {
    try withTemporaryFolder { folder in
      for name in ["a/r1", "a/deep/down/r2", "b/r3"] { try makeRun(folder + "/" + name) }
      #expect(try index(folder).runs(in: []).isEmpty)
      #expect(try names(index(folder).runs(in: [folder + "/b", folder + "/a/r1"])) == ["r1", "r3"])
      #expect(try index(folder).reindex([folder]) == 3)
      #expect(try names(index(folder).runs(in: [])).sorted() == ["r1", "r2", "r3"])
      #expect { try index(folder).runs(in: [folder + "/none"]) } throws: { "\($0)" == "--in \(folder)/none: no such folder" }
    }
  }

  @Test func filtersAndSorts() throws {
    try withTemporaryFolder { folder in
      for (r, accuracy) in [(2, 0.9), (16, 0.5), (8, 0.7)] { try makeRun("\(folder)/runs/r\(r)", r: r, accuracy: accuracy, start: Double(r)) }
      try makeRun(folder + "/runs/killed", r: 1, start: 99, isFinished: false, script: "other.lua")
      try RunNotes.with(tags: ["paper", "x"], note: "a draft").write(to: folder + "/runs/r8")
      let runs = try index(folder).runs(in: [folder + "/runs"])
      func found(_ filters: [String], _ sort: String? = nil) throws -> [String] { try names(RunQuery(filters: filters, sort: sort).apply(runs)) }
      #expect(try found([]) == ["killed", "r16", "r8", "r2"])
      // As numbers: as texts, 16 comes before 2.
      #expect(try found(["r>1"], "r") == ["r2", "r8", "r16"])
      #expect(try found(["r<=8", "status=finished"], "-accuracy") == ["r2", "r8"])
      #expect(try found(["accuracy >= 0.7"], "s.accuracy") == ["r8", "r2"])
      #expect(try found(["status=interrupted"]) == ["killed"] && found(["script!=t.lua"]) == ["killed"])
      #expect(try found(["tags=paper"]) == ["r8"] && found(["tags=pap"]) == [] && found(["note~draft"]) == ["r8"] && found(["note!=x"]) == ["r8"])
      #expect(try found([], "note").first == "r8")
      #expect { try found(["acuracy>1"]) } throws: { "\($0)" == "no run has a parameter, metric or property 'acuracy'; did you mean 'accuracy'?" }
      #expect { try found(["accuracy"]) } throws: { "\($0)".hasPrefix("--filter 'accuracy': expected a name, a sign and a value") }
      let list = RunReport.list(runs.filter { $0.name != "killed" }, names: ["r", "status"])
      #expect(list.hasPrefix("name  status    start                 r  result           tags\n"), "\(list)")
      #expect(list.contains("r8    finished  2001-09-09 01:46:48   8  accuracy 0.7000  paper, x\n"))
    }
  }

  @Test func comparesAndShows() throws {
    try withTemporaryFolder { folder in
      let runs = try [2, 8].map { try RunFolder(makeRun("\(folder)/r\($0)", r: $0, accuracy: Double($0) / 10)) }
      let text = try RunReport(unicode: true).compare(runs, curves: [])
      #expect(text.contains("Parameters that differ\n      A  B\n----  -  -\nseed  2  8\nr     2  8\n"), "\(text)")
      #expect(text.contains("s.accuracy  0.2000  0.8000") && text.contains("Training arguments that differ: none"))
      let chart = """
        s.loss
        8.0000 |B

        """
      #expect(text.contains(chart) && text.contains("step 1") && text.contains("A"))
      #expect { try RunReport(unicode: true).compare(runs, curves: ["los"]) } throws: { "\($0)".hasPrefix("--curve los: no run has such a curve") }
      let shown = try RunReport(unicode: true).show(runs[0])
      for part in ["status     finished\n", "  lr      0.001\n", "accuracy", "█▃▁▁", "2.0000  0.5000"] {
        #expect(shown.contains(part), "\(part): \(shown)")
      }
    }
  }

  @Test func removesRunsAndNothingElse() throws {
    try withTemporaryFolder { folder in
      let path = try makeRun(folder + "/runs/r1")
      try AtomicFile.write("mine", to: folder + "/runs/mine.txt")
      var selection = RunSelection { try index(folder).runs(in: [folder + "/runs"]) }
      #expect { try selection.run(folder + "/runs") } throws: { "\($0)".hasSuffix("is not a run directory: it has no command.json") }
      #expect { try selection.run("r2") } throws: { "\($0)" == "r2: no such run directory, and no run of this name; did you mean 'r1'?" }
      #expect(try selection.run("r1").path == path)
      symlink(path, folder + "/runs/link")
      func refused(_ name: String, _ reason: String) throws {
        let run = try RunFolder(folder + "/runs/" + name)
        #expect { try RunSelection.remove([run]) { _ in true } } throws: { "\($0)".contains(reason) }
      }
      try refused("link", "is a link")
      try makeRun(folder + "/runs/r1/inner")
      try refused("r1", "holds another run, inner")
      removeTree(folder + "/runs/r1/inner")
      do {
        let works = try RunDirectory.resume(path)
        try refused("r1", "another run is using this folder")
        withExtendedLifetime(works) {}
      }
      let run = try selection.run("r1")
      var question = ""
      #expect(
        try RunSelection.remove([run]) {
          question = $0; return false
        } == 0 && fileExists(path))
      #expect(question.hasPrefix("remove \(path), "))
      #expect(try RunSelection.remove([run]) { _ in true } == 1)
      #expect(try AtomicFolder.names(in: folder + "/runs") == ["link", "mine.txt"])
    }
  }
}

extension RunNotes {
  fileprivate static func with(tags: [String], note: String) -> RunNotes {
    var notes = RunNotes()
    (notes.tags, notes.note) = (tags, note)
    return notes
  }
}
