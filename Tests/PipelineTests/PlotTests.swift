import Files
import Pipelines
import TestSupport
import Testing

@Suite struct PlotTests {
  private let rows = """
    local rows = { { r = 4, acc = 0.5, by = "a" }, { r = 8, acc = 0.75, by = "b", more = function() end } }
    rows.names = { "what sweep.run notes" }
    """

  @Test func keepsFiguresAsData() throws {
    try ScriptHost.with { host, _ in
      _ = try host.printed(rows + #"report.plot { line = rows, x = "r", y = "acc", by = "by", x_scale = "log", title = "T" }"#)
      _ = try host.printed(rows + #"report.plot { heatmap = rows, x = "r", y = "by", value = "acc" }"#)
      let figures = try RunFolder(host.runFolder).figures
      #expect(
        figures.first == [
          "kind": "line", "title": "T", "x": "r", "y": "acc", "by": "by", "x_scale": "log", "y_scale": "linear",
          "rows": [["r": 4, "acc": 0.5, "by": "a"], ["r": 8, "acc": 0.75, "by": "b"]],
        ])
      #expect(figures.count == 2 && figures[1]["kind"] == "heatmap")
    }
  }

  /// A script that runs again adds its figures anew, and not once more.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built")) func aRunHasEachFigureOnce() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(rows + #"report.plot { bar = rows, x = "by", y = "acc", title = "<bars>" }"#, to: folder + "/t.lua")
      for _ in 1...2 { #expect(try perigee(["run", "t.lua", "--out", "run"], in: folder).code == 0) }
      #expect(try RunFolder(folder + "/run").figures.count == 1)
      let outcome = try perigee(["report", "run"], in: folder)
      #expect(outcome.code == 0 && outcome.output == "report.html\n")
      #expect(try readText(folder + "/report.html").contains("&lt;bars&gt;"))
      try AtomicFile.write("mine", to: folder + "/own.html")
      let refused = try perigee(["report", "run", "--out", "own.html"], in: folder)
      #expect(refused.code == 1 && refused.error.contains("own.html: is there, and is no report"))
      #expect(try perigee(["report", "run/code"], in: folder).error.contains("run/code: is not a run directory"))
    }
  }

  @Test(arguments: [
    (#"{ line = rows, x = "rank", y = "acc" }"#, "report.plot: no row has a column 'rank'"),
    (#"{ x = "r", y = "acc" }"#, "report.plot: expected rows in one of line, bar, heatmap, scatter, got none"),
    (#"{ line = rows, bar = rows, x = "r", y = "acc" }"#, "got several"),
    (#"{ line = rows, y = "acc" }"#, "report.plot: missing field 'x'"),
    (#"{ lines = rows, x = "r", y = "acc" }"#, "report.plot: unknown field 'lines'; did you mean 'line'?"),
    (#"{ line = rows, x = "by", y = "acc" }"#, "report.plot: row 1: 'by' must be a number, got \"a\"; a bar chart takes names for x"),
    (#"{ line = { 1 }, x = "r", y = "acc" }"#, "report.plot: 'line[1]' must be a result of trainer.fit, or a table, got 1"),
    (#"{ line = rows, x = "r", y = "more" }"#, "row 2 of report.plot"),
    (#"{ line = rows, x = "r", y = "acc", x_scale = "ln" }"#, "report.plot: 'x_scale' must be one of 'linear', 'log', got 'ln'"),
  ])
  func saysWhatIsWrong(options: String, message: String) throws {
    try ScriptHost.with { host, _ in
      let failure = try host.failure(rows + "\nreport.plot " + options)
      #expect(failure?.contains(message) ?? false, "\(failure ?? "none")")
      #expect(failure?.hasPrefix("t.lua:3:") ?? false)
      #expect(try RunFolder(host.runFolder).figures.isEmpty)
    }
  }

  /// A check finds the mistakes and has no numbers.
  @Test func aCheckAddsNothing() throws {
    try ScriptHost.with(mode: .check) { host, _ in
      let none = try host.failure(rows + "\nrows[1].acc = 0/0\n" + #"report.plot { line = rows, x = "r", y = "acc", spread = "spread" }"#)
      #expect(none == nil)
      let failure = try host.failure(rows + "\n" + #"report.plot { line = rows, x = "r", y = "accuracy" }"#)
      #expect(failure?.contains("no row has") ?? false)
    }
  }
}
