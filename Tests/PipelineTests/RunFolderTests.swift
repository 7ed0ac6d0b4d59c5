import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@testable import Pipelines

@Suite struct RunFolderTests {
  @Test func readsARunWhileItWorksAndAfter() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/run"
      do {
        let run = try RunDirectory.create(out: path)
        try run.prepare(RunScript(path: "a/t.lua", text: ""), Invocation())
        try run.declare(["r": 4, "max_grad_norm": .double(.infinity)])
        try run.begin()
        let log = try run.metrics()
        for step in 1...2 {
          log.append(["stage": "a", "step": .int(step), "epoch": 1.0, "tokens": 9, "loss": .double(1 / Double(step)), "grad_norm": .null])
        }
        log.append(["stage": "a", "step": 2, "eval_loss": 0.5])
        log.append(["stage": "b", "step": 1, "loss": 3])
        log.append(["note": "no stage"])
        try log.flush()
        let works = try RunFolder(path + "/")
        #expect((works.path, works.name, works.status, works.stages.count) == (path, "run", .running, 0))
        // To look is not to lock: the run can be found in use all the same, and the lock is free once it has gone.
        #expect(throws: EngineError.self) { try RunDirectory.resume(path) }
        try run.writeResults([
          "tables": [["title": "T"]], "stages": [["stage": "a", "key": "ab", "metrics": ["eval_loss": 0.5, "eval_x": .double(.nan)]]],
        ])
        try run.end(.finished)
      }
      try Data(readFile(path + "/metrics.jsonl") + Array("{\"stage\": \"b\", \"st".utf8)).write(to: URL(fileURLWithPath: path + "/metrics.jsonl"))
      let run = try RunFolder(path)
      #expect((run.status, run.command.script, run.parameters) == (.finished, "t.lua", ["r": 4, "max_grad_norm": .double(.infinity)]))
      #expect(run.tables == [["title": "T"]])
      let stage = try #require(run.stages.first)
      #expect((stage.name, stage.key, stage.metrics.map(\.name)) == ("a", "ab", ["eval_loss", "eval_x"]))
      #expect(run.key(of: "a") == nil)
      let curves = RunFolder.curves(try run.metricRows())
      #expect(curves.map { "\($0.stage) \($0.name)" } == ["a loss", "a eval_loss", "b loss"])
      #expect(curves[0].points.map(\.step) == [1, 2] && curves[0].points.map(\.value) == [1, 0.5])
    }
  }

  /// Nobody notes the end of a process that is killed: it shows in the lock that nobody holds.
  @Test func seesThatARunWasKilled() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/run"
      do {
        let run = try RunDirectory.create(out: path)
        try run.prepare(RunScript(path: "t.lua", text: ""), Invocation())
        try run.begin()
      }
      let run = try RunFolder(path)
      #expect((run.invocation.status, run.status) == (.running, .interrupted))
      #expect(try run.metricRows().isEmpty && run.stages.isEmpty && run.output() == "")
    }
  }

  @Test func saysWhatIsNoRun() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/x")
      for (name, message) in [("x", "is not a run directory: it has no command.json"), ("none", "no such folder")] {
        #expect { try RunFolder("\(folder)/\(name)") } throws: { "\($0)" == "\(folder)/\(name): \(message)" }
      }
    }
  }
}
