import Files
import Foundation
import TestSupport
import Testing

/// What callbacks do is part of what a stored result is found by.
@Suite(.engine) struct CallbackKeyTests {
  /// Prints steps and whether the result was taken from the store.
  private func run(_ before: String, _ settings: String, in folder: String) throws -> (lines: [String], notes: [String]) {
    try ScriptHost.with(in: folder) { host, _ in
      let script =
        before + "\n" + TinyTask.script(folder, "eval_strategy = 'no', max_steps = 4, " + settings)
        + "local r = trainer.fit(options(make()))\nprint(r.steps, r.reused)"
      return (try host.printed(script), host.notes)
    }
  }

  @Test func aCapturedValueChangesTheResult() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let stop = "on_step = function(t) if t.step == at then t:stop() end end"
      #expect(try run("local at = 1", stop, in: folder).lines == ["1\tfalse"])
      #expect(try run("local at = 3", stop, in: folder).lines == ["3\tfalse"])
      #expect(try run("local at = 1", stop, in: folder).lines == ["1\ttrue"])
    }
  }

  @Test func anotherCallbackChangesTheResult() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      #expect(try run("", "on_step = function(t) t:stop() end", in: folder).lines == ["1\tfalse"])
      #expect(try run("", "on_step = function(t) t.learning_rate = 0 end", in: folder).lines == ["4\tfalse"])
      #expect(try run("", "on_evaluate = function(t) t:stop() end", in: folder).lines == ["4\tfalse"])
      #expect(try run("", "on_epoch = function(t) t:stop() end", in: folder).lines == ["4\tfalse"])
    }
  }

  @Test func commentsAndLinesChangeNothing() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      #expect(try run("local at = 1", "on_step = function(t) if t.step == at then t:stop() end end", in: folder).lines == ["1\tfalse"])
      let moved = "on_step = function(trainer) -- moved\n\n if trainer.step == when then\n trainer:stop() --[[ here ]] end end"
      #expect(try run("-- a comment\n\nlocal unused = 7\nlocal when = 1", moved, in: folder).lines == ["1\ttrue"])
    }
  }

  /// Why it runs again is said by the names of what differs, and only where it ran before.
  @Test func aStageSaysWhyItRunsAgain() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      func reasons(_ before: String, _ settings: String) throws -> [String] {
        try run(before, settings, in: folder).notes.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter { $0.contains("runs again") }
      }
      let stop = "on_step = function(t) if t.step == at then t:stop() end end"
      #expect(try reasons("local at = 1", stop) == [])
      #expect(try reasons("local at = 1", stop) == [])
      #expect(try reasons("local at = 2", stop) == ["fit runs again: functions.on_step.captured has changed"])
      #expect(
        try reasons("local at = 2", "warmup_steps = 2, seed = 7, " + stop)
          == ["fit runs again: arguments.seed was 42, is 7; arguments.warmup_steps was 0, is 2"])
      #expect(try reasons("local at = 2", "") == ["fit runs again: functions is gone"])
      // Another script's training of another model for another task did not run before.
      var config = try #require(JSONValue(file: folder + "/config.json").objectValue)
      config["hidden_dropout_prob"] = .double(0.3)
      try AtomicFile.write(.object(config), to: folder + "/config.json")
      try AtomicFile.write("text\tlabel\ngood film\tyes\nbad plot\tno\n", to: folder + "/train.tsv")
      #expect(try reasons("", "") == [])
    }
  }

  /// Keys are short: what is long in them enters by its digest.
  @Test func manifestsAreSmall() throws {
    try ScriptHost.with { host, folder in
      _ = try host.printed(
        """
        local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 8, max_eval_samples = 4 })
        local model = models.load('builtin:tiny'):classifier { task = task }:add_adapter(adapters.lora {})
        trainer.fit { model = model, task = task, max_steps = 1 }
        """)
      let files = try #require(FileManager.default.subpaths(atPath: folder + "/store")).filter { $0.hasSuffix(".json") }
      let keys = files.filter { $0.hasSuffix("manifest.json") || $0.hasPrefix("names-3/") }
      #expect(keys.count == 2)
      for key in keys { #expect(try readText(folder + "/store/" + key).utf8.count < 8_000, "\(key)") }
    }
  }
}
