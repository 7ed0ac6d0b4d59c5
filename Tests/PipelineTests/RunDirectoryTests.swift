import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Files
@testable import Pipelines

@Suite struct RunDirectoryTests {
  private static let start = Date(timeIntervalSince1970: 1_000_000_000)

  private func invocation(seed: Int = 42) -> Invocation {
    var invocation = Invocation()
    invocation.argv = ["perigee", "run"]
    invocation.version = "0.1.0"
    invocation.seed = seed
    invocation.threads = 2
    invocation.host = HostFacts.current()
    return invocation
  }

  private func create(
    _ out: String?, script: String = "mnli_to_rte.lua", text: String = "print(1)\n", parameters: JSONObject? = ["r": 8], seed: Int = 42,
    overwrite: Bool = false, outputs: String = "/none"
  ) throws -> RunDirectory {
    let run = try RunDirectory.create(out: out, overwrite: overwrite, outputs: outputs)
    try run.prepare(RunScript(path: "pipelines/" + script, text: text), invocation(seed: seed), now: Self.start)
    if let parameters { try run.declare(parameters) }
    return run
  }

  @Test func holdsWhatReproducesARun() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a/run"
      do {
        let run = try create(path + "/", parameters: ["r": 4, "max_grad_norm": .double(.infinity)])
        run.record("before it begins")
        #expect(try AtomicFolder.names(in: folder) == [])
        let sources = [("lua/recipes.lua", "return {}"), ("x/recipes.lua", "return 1"), ("lua/mnli_to_rte.lua", "return 2")]
        try run.begin(sources: sources.map { RunScript(path: $0, text: $1) })
        run.record("and after")
        try run.metrics().append(["step": 1, "loss": .double(.nan)])
        try run.metrics().flush()
        try run.writeResults([["stage": "a"]])
        #expect(run.stageFolder("a b=1") == path + "/stages/a_b=1")
        #expect(run.stageFolder("../../a b").hasPrefix(path + "/stages/_.._.._a_b-"))
        let long = String(repeating: "x", count: 80)
        let alike = ["lr/1", "lr:1", "lr,1", long + " seed=1", long + " seed=2", long, ""]
        #expect(Set(alike.map(run.stageFolder)).count == alike.count)
        #expect { try create(path) } throws: {
          "\($0)" == "\(path): another run is using this folder (process \(getpid()))"
        }
        #expect(throws: EngineError.self) { try RunDirectory.resume(path) }
        try run.end(.failed, exitCode: 1, error: "t.lua:1: no", now: Self.start.addingTimeInterval(2.5))
      }
      let run = try RunDirectory.resume(path)
      #expect(try run.storedParameters() == ["r": 4, "max_grad_norm": .double(.infinity)])
      let last = try #require(run.earlier?.invocations.last)
      #expect((last.seed, last.status, last.exitCode, last.error) == (42, .failed, 1, "t.lua:1: no"))
      #expect((last.start, last.end, last.duration) == ("2001-09-09T01:46:40Z", "2001-09-09T01:46:42Z", 2.5))
      #expect(last.host.logicalCPUs > 0)
      #expect(try readText(run.codeFolder + "/mnli_to_rte.lua") == "print(1)\n")
      #expect(try readText(run.codeFolder + "/recipes.lua") == "return {}")
      #expect(try readText(run.codeFolder + "/2-recipes.lua") == "return 1")
      #expect(try readText(run.codeFolder + "/2-mnli_to_rte.lua") == "return 2")
      #expect(try readText(path + "/output.txt") == "before it begins\nand after\n")
      try run.prepare(RunScript(path: "mnli_to_rte.lua", text: "print(1)\n"), invocation(), now: Self.start.addingTimeInterval(60))
      try run.begin()
      #expect(try run.metrics().rows() == [["step": 1, "loss": .null]])
      #expect(try readText(path + "/output.txt") == "before it begins\nand after\n---- 2001-09-09T01:47:40Z: perigee run\n")
    }
  }

  @Test func reusesOnlyNewEmptyOrRunFolders() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/empty")
      try create(folder + "/empty").begin()
      try createFolder(folder + "/full")
      try AtomicFile.write("mine", to: folder + "/full/thesis.txt")
      let cases = [
        (
          folder + "/full",
          "--out \(folder)/full: is not empty and not a run directory; choose a new "
            + "folder; nothing in it was touched"
        ),
        (
          folder + "/full/thesis.txt",
          "--out \(folder)/full/thesis.txt: is a file, expected a folder"
        ),
        ("", "--out: expected a folder, given ''"),
      ]
      for (out, message) in cases {
        for overwrite in [false, true] { #expect { try create(out, overwrite: overwrite) } throws: { "\($0)" == message } }
      }
      #expect(try AtomicFolder.names(in: folder + "/full") == ["thesis.txt"])
      #expect(throws: EngineError.self) { try create(folder + "/full/thesis.txt/x").begin() }
      do {
        let run = try create(folder + "/run")
        try run.metrics().append(["step": 1])
        try run.writeResults([])
      }
      #expect { try create(folder + "/run", script: "other.lua") } throws: {
        "\($0)" == "--out \(folder)/run: holds a run of mnli_to_rte.lua; choose another --out, or replace it with --overwrite; "
          + "nothing in it was touched"
      }
      // What did not finish makes place, and its end was never noted.
      let again = try create(folder + "/run", parameters: ["r": 9])
      #expect(try again.metrics().rows().isEmpty)
      #expect(try again.storedParameters() == ["r": 9])
      #expect(try RunCommand(jsonFile: folder + "/run/command.json").invocations.map(\.status) == [.interrupted, .running])
      for (path, message) in [("/none", "no such folder"), ("/full", "is not a run directory")] {
        #expect { try RunDirectory.resume(folder + path) } throws: {
          "\($0)".hasPrefix("--resume \(folder)\(path): \(message)")
        }
      }
    }
  }

  /// A run that finished is touched by no other, and by an equal one only where that finishes, too.
  @Test func keepsAFinishedRun() throws {
    try withTemporaryFolder { folder in
      let (path, store) = (folder + "/run", StageStore(root: folder + "/cache"))
      func stage(_ inputs: JSONValue) throws -> StoredStage {
        switch try store.open(StageKey(name: "a", inputs: inputs)) {
        case .finished(let stored): return stored
        case .begun(let work): return try work.finish { try AtomicFile.write("\(inputs)", to: $0 + "/x") }
        }
      }
      do {
        let run = try create(path)
        try run.metrics().append(["stage": "a", "step": 1])
        try run.metrics().append(["mine": 1], unlessRepeated: true)
        try run.writeResults([1])
        try run.publish(stage(1))
        try run.end(.finished)
      }
      let before = try Self.content(path)
      func refuses(_ differences: String, _ body: () throws -> Void) throws {
        #expect(
          performing: body,
          throws: {
            "\($0)" == "--out \(path): holds a finished run that differs: \(differences); choose another --out, or replace it with "
              + "--overwrite; nothing in it was touched"
          })
        #expect(try Self.content(path) == before)
      }
      try refuses("r = 8 there, 9 here") { _ = try create(path, parameters: ["r": 9]) }
      try refuses("r = 8 there, none here; s = none there, 1 here") { _ = try create(path, parameters: ["s": 1]) }
      try refuses("seed = 42 there, 7 here") { _ = try create(path, seed: 7) }
      try refuses("the script is another from line 2 on") { _ = try create(path, text: "print(1)\nprint(2)") }
      try refuses("stage 'a' would be another: value was 1, is 2") { try create(path).checkStage(StageKey(name: "a", inputs: 2)) }
      try refuses("r = 8 there, 9 here") {
        // A script that catches the error gets it again.
        let run = try create(path, parameters: nil)
        try? run.declare(["r": 9])
        try run.begin()
      }
      do {
        // The same again, cut off.
        let run = try create(path)
        try run.checkStage(StageKey(name: "a", inputs: 1))
        try run.writeResults([2])
        try run.metrics().append(["mine": 1], unlessRepeated: true)
        try run.metrics().append(["mine": 2], unlessRepeated: true)
        try run.end(.interrupted, exitCode: 130, error: "interrupted")
      }
      let after = try Self.content(path).filter { !["command.json", "output.txt", ".metrics.jsonl.new"].contains($0.key) }
      #expect(after == before.filter { !["command.json", "output.txt"].contains($0.key) })
      do {
        let run = try create(path)
        try run.writeResults([2])
        try run.metrics().append(["mine": 1], unlessRepeated: true)
        try run.metrics().append(["mine": 2], unlessRepeated: true)
        try run.end(.finished)
      }
      #expect(try readText(path + "/results.json") == "[2]\n")
      #expect(try readText(path + "/metrics.jsonl") == "{\"stage\":\"a\",\"step\":1}\n{\"mine\":1}\n{\"mine\":2}\n")
      #expect(try RunCommand(jsonFile: path + "/command.json").invocations.map(\.status) == [.finished, .interrupted, .finished])
      do {
        let run = try create(path, parameters: ["r": 9], overwrite: true)
        #expect(try RunCommand(jsonFile: path + "/command.json").invocations.count == 3)
        try run.begin()
        #expect { try create(path) } throws: { "\($0)".contains("another run is using this folder") }
      }
      #expect(try AtomicFolder.names(in: path) == [".lock", "code", "command.json", "metrics.jsonl", "output.txt", "params.json"])
      #expect(try RunCommand(jsonFile: path + "/command.json").invocations.map(\.status) == [.running])
      #expect(try AtomicFolder.names(in: folder) == ["cache", "run"])
    }
  }

  /// The bytes of all files but the lock.
  private static func content(_ folder: String) throws -> [String: Data] {
    var content: [String: Data] = [:]
    let files = FileManager.default.enumerator(atPath: folder)
    while let name = files?.nextObject() as? String {
      if name != ".lock", let data = try? readFile(folder + "/" + name) { content[name] = data }
    }
    return content
  }

  @Test func outputIsBounded() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/output.txt"
      let output = RunOutput(limit: 1 << 20)
      let line = String(repeating: "x", count: (1 << 19) - 1)
      output.append(line)
      output.open(path, separator: "----")
      for _ in 0..<3 { output.append(line) }
      let text = try readText(path)
      #expect(text == line + "\n" + line + "\n(1 MiB: no more is kept of what the run printed)\n")
      let full: @Sendable (Int32, UnsafeRawPointer, Int) -> Int = { descriptor, bytes, count in
        if count > 5 { return write(descriptor, bytes, 4) }
        errno = ENOSPC
        return -1
      }
      let other = RunOutput()
      other.open(folder + "/other.txt", separator: "")
      other.append("kept")
      FileWriter.withSystemWrite(full) { other.append("lost line") }
      other.append("lost, too")
      let kept = try readText(folder + "/other.txt")
      #expect(kept == "kept\n")
      #expect(other.failure.map { "\($0)" } == "\(folder)/other.txt: cannot be written: No space left on device")
      #expect(symlink(path, folder + "/link.txt") == 0)
      let linked = RunOutput()
      linked.open(folder + "/link.txt", separator: "")
      #expect(linked.failure != nil)
    }
  }

  @Test func namesFoldersByScriptAndTime() throws {
    try withTemporaryFolder { folder in
      let runs = try (0..<2).map { _ in try create(nil, outputs: folder + "/outputs") }
      #expect(try AtomicFolder.names(in: folder) == [])
      for run in runs { try run.begin() }
      let name = (runs[0].path as NSString).lastPathComponent
      #expect(runs[0].path == folder + "/outputs/" + name)
      #expect(name.wholeMatch(of: /mnli_to_rte-2001090[89]-\d{6}/) != nil)
      #expect(runs[1].path == runs[0].path + "-2")
    }
  }

  @Test func publishesAStageWhole() throws {
    try withTemporaryFolder { folder in
      let store = StageStore(root: folder + "/cache")
      let run = try create(folder + "/run")
      for (r, file) in [(1, "old"), (2, "new")] {
        guard case .begun(let work) = try store.open(StageKey(name: "a b=1", inputs: .int(r))) else {
          return
        }
        let stage = try work.finish {
          try createFolder($0 + "/sub")
          try AtomicFile.write("x", to: $0 + "/sub/" + file)
        }
        try run.publish(stage)
      }
      #expect(try AtomicFolder.names(in: folder + "/run/stages/a_b=1") == ["manifest.json", "sub"])
      #expect(try AtomicFolder.names(in: folder + "/run/stages/a_b=1/sub") == ["new"])
    }
  }

  @Test(arguments: [
    "{\"step\": 3", "{\"step\": 3}", "{\"st\u{0}ep\": 3}\n", "[]\n",
    "\u{0}\u{0}\u{0}\n{\"step\":4}\n",
  ])
  func cutsATornLine(tail: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/m.jsonl"
      try AtomicFile.write("{\"step\":1}\n{\"step\":2}\n" + tail, to: path)
      let log = try MetricsLog(path)
      log.append(["step": 3])
      #expect(try log.rows().map { $0["step"] } == [1, 2, 3])
      try log.keepRows { $0["step"]?.intValue ?? 0 <= 1 }
      log.append(["step": 2])
      try log.flush()
      #expect(try readText(path) == "{\"step\":1}\n{\"step\":2}\n")
    }
  }

  @Test func reportsAFullDiskAndKeepsItsRows() throws {
    try withTemporaryFolder { folder in
      let log = try MetricsLog(folder + "/m.jsonl")
      log.append(["step": 1])
      try log.flush()
      log.append(["step": 2])
      let full: @Sendable (Int32, UnsafeRawPointer, Int) -> Int = { descriptor, bytes, count in
        if count > 5 { return write(descriptor, bytes, 4) }
        errno = ENOSPC
        return -1
      }
      #expect { try FileWriter.withSystemWrite(full) { try log.flush() } } throws: {
        "\($0)".hasSuffix("No space left on device; free some space, then resume the run")
      }
      #expect(try readText(log.path) == "{\"step\":1}\n")
      #expect(try log.rows().map { $0["step"] } == [1, 2])
      #expect(throws: EngineError.self) { try MetricsLog(folder + "/none/m.jsonl") }
      #expect(throws: EngineError.self) { try MetricsLog("/dev/full") }
    }
  }

  /// A stage that goes on after a step has its own rows, and the script's, up to that step; others keep theirs.
  @Test func forgetsRowsOfStepsThatAreRepeated() throws {
    func trained(_ step: Int) -> JSONObject { ["stage": "a", "step": .int(step), "epoch": 1, "grad_norm": 0.5] }
    func scripted(_ step: Int, _ stage: String = "a") -> JSONObject { ["stage": .string(stage), "step": .int(step), "mine": 1] }
    try withTemporaryFolder { folder in
      let log = try MetricsLog(folder + "/m.jsonl")
      for row in [trained(1), scripted(1), trained(2), scripted(2), scripted(3), scripted(3, "b")] { log.append(row) }
      try log.stageBegan("a", rows: [trained(1), trained(2)], step: 2, settings: nil)
      #expect(try log.rows() == [trained(1), scripted(1), trained(2), scripted(2), scripted(3, "b")])
      try log.stageBegan("a", rows: [trained(1)], step: 1, settings: nil)
      #expect(try log.rows() == [scripted(1), scripted(3, "b"), trained(1)])
      // Found finished in another run's folder.
      try log.stageBegan("c", rows: [["stage": "c", "step": 9, "epoch": 1, "eval_loss": 2]], step: .max, settings: nil)
      #expect(try log.rows().count == 4)
    }
  }
}
