import Files
import Foundation
import Pipelines
import TestSupport
import Testing

@testable import Reports

@Suite struct PageTests {
  /// A run directory as `perigee run` writes one.
  private func write(
    _ path: String, parameters: JSONObject = [:], stages: [JSONObject] = [], tables: [JSONValue] = [], figures: [JSONValue] = [],
    rows: [JSONObject] = [], output: [String] = [], seed: Int = 42, end: RunStatus? = .finished, error: String? = nil
  ) throws {
    let run = try RunDirectory.create(out: path)
    var invocation = Invocation()
    (invocation.argv, invocation.version, invocation.seed) = (["perigee", "run", "t.lua"], "0.2.0", seed)
    try run.prepare(RunScript(path: "t.lua", text: "--"), invocation)
    try run.declare(parameters)
    try run.begin()
    let log = try run.metrics()
    for row in rows { log.append(row) }
    try log.flush()
    for line in output { run.record(line) }
    if end != nil || !stages.isEmpty {
      try run.writeResults(["tables": .array(tables), "stages": .array(stages.map { .object($0) }), "figures": .array(figures)])
    }
    if let end { try run.end(end, exitCode: end == .finished ? 0 : 1, error: error) }
  }

  private func stage(_ name: String, key: String? = nil, accuracy: Double, loss: Double = 0.5, after: [String] = []) -> JSONObject {
    [
      "stage": .string(name), "key": .string(key ?? name), "trainable": 1234, "total": 5000, "steps": 30, "tokens": 900, "seconds": 1.5,
      "metrics": ["eval_accuracy": .double(accuracy), "eval_loss": .double(loss)], "lineage": .array(after.map { .string($0) }),
    ]
  }

  /// Well-formed, and nothing in it makes a reader's program ask anybody for anything.
  @discardableResult private func checked(_ page: String) throws -> [PageElement] {
    let all = try elements(of: page)
    for word in ["http", "//", "url(", "@import", "src=", "<script", "<link", "<img", "<iframe", "onload"] {
      #expect(!page.lowercased().contains(word), "\(word)")
    }
    #expect(Set(all.map(\.name)).isDisjoint(with: ["script", "link", "img", "image", "use", "iframe", "object", "embed", "base", "form", "a"]))
    #expect(page.utf8.count < 2_000_000)
    return all
  }

  @Test func showsARun() throws {
    try withTemporaryFolder { folder in
      let rows = (1...30).map {
        ["stage": "mnli", "step": .int($0), "epoch": 0.1, "loss": .double(1 / Double($0)), "learning_rate": 1e-3] as JSONObject
      }
      try write(
        folder + "/run", parameters: ["r": 8, "learning_rate": 0.001],
        stages: [stage("mnli", accuracy: 0.8), stage("rte", accuracy: 0.6, after: ["mnli"])],
        tables: [["title": "The table", "columns": ["stage", "accuracy"], "rows": [["stage": "mnli", "accuracy": 0.8]]]],
        figures: [["kind": "line", "x": "r", "y": "acc", "title": "The figure", "rows": [["r": 1, "acc": 0.5]]]], rows: rows,
        output: ["mnli runs again: arguments.learning_rate was 0.01, is 0.001", "rte: reused (accuracy 0.6000)"])
      let page = try Report([folder + "/run", folder + "/run/"], version: "0.2.0").page()
      let all = try checked(page)
      let text = try #require(all.first { $0.name == "body" }).text
      for words in [
        "finished", "The table", "The figure", "mnli: arguments.learning_rate was 0.01, is 0.001", "learning_rate", "accuracy 0.8000", "0.001",
        "perigee run t.lua", "from the store", "logical processors",
      ] { #expect(text.contains(words), "\(words)") }
      #expect(all.filter { $0.name == "path" && $0.attributes["class"] == "edge" }.count == 1)
      #expect(all.filter { $0.name == "path" && $0.attributes["class"] == "line" }.count == 3)
      // A page is replaced by a newer one, any other file is not.
      let file = folder + "/page.html"
      try Report([folder + "/run"], version: "0.2.0").write(to: file)
      try Report([folder + "/run"], version: "0.2.0").write(to: file)
      #expect(try readText(file) == Report([folder + "/run"], version: "0.2.0").page())
      try AtomicFile.write("<html>mine</html>", to: file)
      #expect(throws: (any Error).self) { try Report([folder + "/run"], version: "0.2.0").write(to: file) }
      #expect(try readText(file) == "<html>mine</html>")
    }
  }

  /// One that was killed has neither an end nor results.
  @Test func showsRunsThatDidNotFinish() throws {
    try withTemporaryFolder { folder in
      let rows =
        [["stage": "fit", "step": 10, "epoch": 0.1, "loss": 1.5], ["stage": "fit", "step": 20, "epoch": 0.2, "loss": 1.25]] as [JSONObject]
      try write(folder + "/killed", rows: rows, output: ["fit: 300 steps"], end: nil)
      try write(folder + "/begun", output: ["fit: 300 steps"], end: nil)
      try write(folder + "/failed", end: .failed, error: "t.lua:3: no <task>")
      let killed = try checked(Report([folder + "/killed"], version: "1").page())
      let text = try #require(killed.first { $0.name == "body" }).text
      #expect(text.contains("killed") && text.contains("not finished: 20 of 300") && text.contains("--resume \(folder)/killed"))
      #expect(killed.contains { $0.attributes["class"] == "open" })
      #expect(try Report([folder + "/begun"], version: "1").page().contains("not finished: 0 of 300"))
      #expect(try Report([folder + "/failed"], version: "1").page().contains("t.lua:3: no &lt;task&gt;"))
      let all = try checked(Report(["killed", "begun", "failed"].map { folder + "/" + $0 }, version: "1").page())
      #expect(all.filter { $0.name == "details" && $0.attributes["open"] != nil }.count == 3)
    }
  }

  @Test func showsHostileNamesAsTheyAre() throws {
    try withTemporaryFolder { folder in
      let hostile = "</title><script>alert(1)</script>\"'&\u{301}"
      let cell = JSONValue.string(hostile)
      try write(
        folder + "/run", parameters: [hostile: cell], stages: [stage(hostile, accuracy: 0.8), stage(hostile + " r=1 seed=1", accuracy: .nan)],
        tables: [["title": cell, "columns": [cell], "rows": [.object([hostile: cell])]]],
        figures: [
          ["kind": "bar", "x": cell, "y": "y", "by": cell, "title": cell, "x_label": cell, "rows": [.object([hostile: cell, "y": 1])]],
          ["kind": "heatmap", "x": cell, "y": cell, "value": "v", "rows": [.object([hostile: cell, "v": 1])]],
        ], rows: [["stage": cell, "step": 1, "loss": 1]], output: [hostile + " runs again: " + hostile], error: nil)
      let page = try Report([folder + "/run"], version: hostile).page()
      let all = try elements(of: page)
      #expect(!all.contains { $0.name == "script" } && !page.contains("<script"))
      #expect(all.filter { $0.name == "td" && $0.text == hostile }.count >= 2)
    }
  }

  /// A short stage beside a long one has a chart of its own, and a single number has none.
  @Test func showsShortStagesApart() throws {
    try withTemporaryFolder { folder in
      func rows(_ stage: String, _ steps: Int) -> [JSONObject] { (1...steps).map { ["stage": .string(stage), "step": .int($0), "loss": 1] } }
      try write(folder + "/run", rows: rows("a", 10) + rows("b", 60) + rows("c", 60) + [["stage": "a", "step": 10, "eval_loss": 2]])
      let captions = try elements(of: Report([folder + "/run"], version: "1").page()).filter { $0.name == "figcaption" }.map(\.text)
      #expect(captions == ["loss of a", "loss of b", "loss of c"])
      try write(folder + "/even", rows: rows("b", 60) + rows("c", 60))
      #expect(try elements(of: Report([folder + "/even"], version: "1").page()).filter { $0.name == "figcaption" }.map(\.text) == ["loss"])
    }
  }

  @Test func keepsLongRunsSmall() throws {
    try withTemporaryFolder { folder in
      let rows = (0..<6000).map { i -> JSONObject in
        ["stage": .string("stage \(i % 3)"), "step": .int(i), "loss": .double(sin(Double(i))), "learning_rate": .double(Double(i) / 7)]
      }
      try write(folder + "/run", rows: rows)
      let page = try Report([folder + "/run"], version: "1").page()
      try checked(page)
      #expect(page.utf8.count < 120_000)
    }
  }
}
