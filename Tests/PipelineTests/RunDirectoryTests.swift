import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Files
@testable import Pipelines

@Suite struct RunDirectoryTests {
  private func create(
    _ out: String?, script: String = "mnli_to_rte.lua", parameters: JSONObject = ["r": 8], outputs: String = "/none"
  ) throws -> RunDirectory {
    try RunDirectory.create(
      out: out, scriptPath: "pipelines/" + script, scriptText: "print(1)\n",
      parameters: parameters, command: ["argv": ["perigee", "run"], "seed": 42, "threads": 2],
      outputs: outputs, now: Date(timeIntervalSince1970: 1_000_000_000))
  }

  @Test func holdsWhatReproducesARun() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a/run"
      do {
        let run = try create(path + "/", parameters: ["r": 4, "max_grad_norm": .double(.infinity)])
        try run.addSource("return {}", at: "lib/recipes.lua")
        run.metrics.append(["step": 1, "loss": .double(.nan)])
        try run.metrics.flush()
        try run.writeResults([["stage": "a"]])
        #expect(throws: EngineError.self) { try run.addSource("", at: "../x.lua") }
        #expect(throws: EngineError.self) { try run.addSource("", at: "/x.lua") }
        #expect(run.stageFolder("a b=1") == path + "/stages/a_b=1")
        #expect(run.stageFolder("../../a b").hasPrefix(path + "/stages/_.._.._a_b-"))
        let long = String(repeating: "x", count: 80)
        let alike = ["lr/1", "lr:1", "lr,1", long + " seed=1", long + " seed=2", long, ""]
        #expect(Set(alike.map(run.stageFolder)).count == alike.count)
        #expect { try create(path) } throws: {
          "\($0)" == "\(path): another run is using this folder (process \(getpid()))"
        }
        #expect(throws: EngineError.self) { try RunDirectory.resume(path) }
      }
      let run = try RunDirectory.resume(path)
      #expect(try run.parameters() == ["r": 4, "max_grad_norm": .double(.infinity)])
      #expect(try run.command()["seed"] == 42)
      #expect(try run.command()["host"]?["logical_cpus"]?.intValue ?? 0 > 0)
      #expect(try readText(run.scriptPath()) == "print(1)\n")
      #expect(try readText(path + "/code/lib/recipes.lua") == "return {}")
      #expect(try run.metrics.rows() == [["step": 1, "loss": .null]])
    }
  }

  @Test func reusesOnlyNewEmptyOrRunFolders() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/empty")
      _ = try create(folder + "/empty")
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
      for (out, message) in cases { #expect { try create(out) } throws: { "\($0)" == message } }
      #expect(try AtomicFolder.names(in: folder + "/full") == ["thesis.txt"])
      #expect(throws: EngineError.self) { try create(folder + "/full/thesis.txt/x") }
      do {
        let run = try create(folder + "/run")
        run.metrics.append(["step": 1])
        try run.writeResults([])
      }
      #expect { try create(folder + "/run", script: "other.lua") } throws: {
        "\($0)" == "--out \(folder)/run: holds a run of mnli_to_rte.lua; choose a new folder; nothing in it was touched"
      }
      let again = try create(folder + "/run", parameters: ["r": 9])
      #expect(try again.metrics.rows().isEmpty)
      #expect(try again.parameters() == ["r": 9])
      for (path, message) in [("/none", "no such folder"), ("/full", "is not a run directory")] {
        #expect { try RunDirectory.resume(folder + path) } throws: {
          "\($0)".hasPrefix("--resume \(folder)\(path): \(message)")
        }
      }
    }
  }

  @Test func namesFoldersByScriptAndTime() throws {
    try withTemporaryFolder { folder in
      let first = try create(nil, outputs: folder + "/outputs")
      let second = try create(nil, outputs: folder + "/outputs")
      let name = (first.path as NSString).lastPathComponent
      #expect(first.path == folder + "/outputs/" + name)
      #expect(name.wholeMatch(of: /mnli_to_rte-2001090[89]-\d{6}/) != nil)
      #expect(second.path == first.path + "-2")
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
}
