import Files
import TestSupport
import Testing

@testable import Bindings

/// What is told of a training beside its numbers: on standard error, in the result, and again where it is reused.
@Suite(.engine) struct TrainingNoteTests {
  /// Trains on tables of the test's own. `labels`: those of the rows.
  private func notes(
    _ settings: String, dev: [String], train: [String] = ["yes", "no", "yes", "no", "yes", "no"], in folder: String, _ rest: String = ""
  ) throws
    -> (notes: [String], printed: [String])
  {
    try ScriptHost.with(in: folder) { host, folder in
      try TinyTask.write(to: folder)
      for (name, labels) in [("train", train), ("dev", dev)] {
        let rows = labels.enumerated().map { "\($1 == "yes" ? "good film" : "bad plot")\($0 % 2 == 0 ? " the music was fine" : "")\t\($1)" }
        try AtomicFile.write((["text\tlabel"] + rows).joined(separator: "\n") + "\n", to: folder + "/\(name).tsv")
      }
      let printed = try host.printed(TinyTask.script(folder, settings) + "local r = trainer.fit(options(make()))\n" + rest)
      return (host.notes.map { $0.replacing("\n", with: "") }, printed)
    }
  }

  private static let mixed = ["yes", "no", "no", "yes", "no", "yes"]

  @Test func evaluationsAndEarlyStopping() throws {
    try withTemporaryFolder { folder in
      let settings = """
        max_steps = 9, eval_strategy = 'steps', eval_steps = 2, learning_rate = 0, early_stopping_patience = 2, load_best_model_at_end = true
        """
      let report = "print(r.best_step, table.concat(r.endings, '|'), r.steps)"
      for _ in 1...2 {
        let (notes, printed) = try notes(settings, dev: Self.mixed, in: folder, report)
        #expect(printed == ["2\tstopped at step 6 of 9 after 2 evaluations without improvement|weights of step 2\t6"])
        let end = "; stopped at step 6 of 9 after 2 evaluations without improvement; weights of step 2"
        if notes.contains(where: { $0.contains("reused") }) {
          #expect(notes.contains { $0.hasPrefix("fit: reused (accuracy ") && $0.hasSuffix(end + ")") }, "\(notes)")
        } else {
          #expect(notes.filter { $0.hasPrefix("fit: step ") && $0.contains("of 9: accuracy ") && $0.contains(", loss ") }.count == 3, "\(notes)")
          #expect(notes.contains { $0.hasPrefix("fit: accuracy ") && $0.contains(end + " (") }, "\(notes)")
        }
      }
      #expect(try JSONValue(file: folder + "/run/results.json")["stages"]?[0]?["best_step"] == 2)
    }
  }

  /// What only a training reads is named where an evaluation gets it; what an evaluation reads is not.
  @Test func evaluationNamesTheOptionsThatItLeavesAside() throws {
    try withTemporaryFolder { folder in
      func leftAside(_ settings: String) throws -> [String] {
        let rest = "local m = make()\nprint(trainer.evaluate { model = m, task = options(m).task, max_length = 16, \(settings) }.eval_loss)"
        return try notes("max_steps = 1", dev: Self.mixed, in: folder, rest).notes.filter { $0.hasPrefix("trainer.evaluate: ") }
      }
      let read = try leftAside("seed = 3, per_device_eval_batch_size = 2, label_smoothing_factor = 0.1, max_grad_norm = 1.0")
      #expect(read == [])
      #expect(
        try leftAside("learning_rate = 1e-3, on_step = print, warmup_steps = 2")
          == ["trainer.evaluate: on_step, learning_rate, warmup_steps: only trainer.fit and trainer.loop read them"])
      #expect(
        try leftAside("lr_scheduler_type = function() return 1 end")
          == ["trainer.evaluate: lr_scheduler_type: only trainer.fit and trainer.loop read it"])
    }
  }

  @Test func lastEvaluationIsToldOnce() throws {
    try withTemporaryFolder { folder in
      let (notes, printed) = try notes(
        "max_steps = 4, eval_strategy = 'steps', eval_steps = 2", dev: Self.mixed, in: folder, "print(r.best_step, #r.endings, #r.warnings)")
      #expect(notes.filter { $0.contains(" of 4: accuracy ") }.count == 1 && notes.contains { $0.hasPrefix("fit: accuracy ") })
      #expect(printed == ["nil\t0\t0"])
      let text = try ScriptHost.with(in: folder) { host, folder in
        try host.failure(TinyTask.script(folder, "max_steps = 1") + "print(trainer.fit(options(make())).accuracy)")
      }
      #expect(text?.hasSuffix("Result has no field or method 'accuracy'; it is result.metrics.eval_accuracy") == true, "\(text ?? "")")
    }
  }

  @Test func cutTextsAreCounted() throws {
    try withTemporaryFolder { folder in
      let first = try notes("max_length = 6, max_steps = 1", dev: Self.mixed, in: folder)
      #expect(
        first.notes.contains("fit: 3 of 6 training texts and 3 of 6 evaluation texts are longer than max_length = 6 tokens and are cut"),
        "\(first.notes)")
      let second = try notes("max_length = 8, max_steps = 1", dev: Self.mixed, in: folder)
      #expect(second.notes.allSatisfy { !$0.contains("are cut") }, "\(second.notes)")
    }
  }

  @Test func predictionsOfOneClass() throws {
    try withTemporaryFolder { folder in
      let dev = (0..<20).map { $0 % 3 == 0 ? "yes" : "no" }
      for _ in 1...2 {
        let (notes, printed) = try notes(
          "max_steps = 40, learning_rate = 1e-2", dev: dev, train: ["no", "no", "no", "no", "no", "no", "no", "yes"].map { $0 }, in: folder,
          "print(#r.warnings)")
        let text =
          "warning: all 20 predictions for 'dev' are 'no': the model does not tell the classes apart; another learning_rate or more steps may help"
        #expect(notes.filter { $0 == "fit: " + text }.count == 1 && printed == ["1"], "\(notes)")
      }
    }
  }

  @Test(arguments: [
    ("eval_steps = 5", "eval_steps = 5 has no meaning with eval_strategy = \"epoch\"; set eval_strategy to \"steps\", or leave eval_steps out"),
    (
      "eval_steps = 5, eval_strategy = 'no'",
      "eval_steps = 5 has no meaning with eval_strategy = \"no\"; set eval_strategy to \"steps\", or leave eval_steps out"
    ),
    (
      "early_stopping_threshold = 0.1",
      "early_stopping_threshold = 0.1 has no meaning without early_stopping_patience; set early_stopping_patience to the evaluations without improvement after which to stop"
    ),
  ])
  func settingsWithoutMeaning(settings: String, message: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let text = try #require(try host.failure(TinyTask.script(folder, settings) + "trainer.fit(options(make()))"))
      #expect(text.hasSuffix("trainer options: " + message), "\(text)")
    }
  }

  /// A report without columns shows what its rows have.
  @Test func reportsHaveColumns() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      try AtomicFile.write("text\tscore\nthe good film\t4.5\nthe bad plot\t1\nfine music\t3\n", to: folder + "/scores.tsv")
      let lines = try host.printed(
        TinyTask.script(folder, "max_steps = 1") + """
          report.table { trainer.fit(options(make())) }
          local scores = tasks.table { train_file = '\(folder)/scores.tsv', validation_files = { '\(folder)/scores.tsv' },
            text_column = 'text', label_column = 'score', problem_type = 'regression' }
          local model = base:classifier { task = scores }:add_adapter(adapters.lora { r = 2 })
          report.table { trainer.fit { model = model, task = scores, max_steps = 1, max_length = 16 } }
          local o = options(make())
          o.task = tasks.table { train_file = '\(folder)/train.tsv', text_column = 'text', label_column = 'label' }
          report.table { trainer.fit(o) }
          report.table { { b = 1, a = 2 }, { c = 3 } }
          """)
      let headers = lines.indices.filter { lines[$0].hasPrefix("---") || lines[$0].hasPrefix("-  -") }.map { lines[$0 - 1].split(separator: " ") }
      #expect(
        headers == [
          ["stage", "trainable", "accuracy", "seconds"], ["stage", "trainable", "combined", "pearson", "spearmanr", "seconds"],
          ["stage", "trainable", "seconds"], ["a", "b", "c"],
        ])
      #expect(host.notes.contains { $0.hasSuffix(": the task has no evaluation set: nothing is evaluated\n") }, "\(host.notes)")
      for (argument, message) in [
        ("columns = 'a', { a = 1 }", "report.table: columns must be a list of strings, got 'a'; write { \"stage\", \"accuracy\" }"),
        ("columns = { 1 }, { a = 1 }", "report.table: columns must be a list of strings, got 1 in it"),
        ("title = 3, { a = 1 }", "report.table: title must be a string, got 3"),
      ] {
        let text = try host.failure("report.table { \(argument) }")
        #expect(text == "t.lua:1: " + message)
      }
    }
  }

  /// The best evaluation may be that of a further set.
  @Test func furtherSetsHaveTheBestModel() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let script = TinyTask.script(folder, "max_steps = 2, metric_for_best_model = 'NAME'").replacing(
        "validation_files = {", with: "validation_files = { '\(folder)/train.tsv',")
      let lines = try host.printed(
        script.replacing("NAME", with: "accuracy_dev") + "print(trainer.fit(options(make())).metrics.eval_accuracy_dev ~= nil)")
      #expect(lines == ["true"])
      let text = try host.failure(script.replacing("NAME", with: "accuracy_test") + "trainer.fit(options(make()))")
      #expect(
        text?.hasSuffix("metric_for_best_model = 'accuracy_test': task 'train' has no such metric; did you mean 'accuracy_dev'?") == true,
        "\(text ?? "")")
    }
  }

  @Test func settingsThatSurprise() throws {
    try withTemporaryFolder { folder in
      let (notes, _) = try notes("max_steps = 2, eval_strategy = 'steps', eval_steps = 5, greater_is_better = false", dev: Self.mixed, in: folder)
      #expect(notes.contains("fit: eval_steps = 5 is more than the 2 updates: only the end is evaluated"), "\(notes)")
      #expect(notes.contains("fit: greater_is_better = false keeps the worst evaluation: of 'eval_accuracy' more is better"), "\(notes)")
    }
  }

  /// In the first update, LoRA's A has a gradient of 0, because B is 0.
  @Test(arguments: ["max_steps = 1", "max_steps = 2", "max_steps = 2, warmup_steps = 1"])
  func shortTrainingsDoNotWarn(settings: String) throws {
    try withTemporaryFolder { folder in
      let (notes, _) = try notes(settings, dev: Self.mixed, in: folder)
      #expect(notes.allSatisfy { !$0.contains("cannot move") }, "\(notes)")
    }
  }

  /// The memory of a training is its own, whatever else is in the process.
  @Test func memoryIsTheTrainingsOwn() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "max_steps = 2, eval_strategy = 'no'") + """
          local function fit(name, steps)
            local o = options(make())
            o.max_steps = steps
            return stage(name, function() return trainer.fit(o) end)
          end
          local first = fit('a', 2)
          local other = tensor.zeros { 64, 1024, 1024 }
          local second, reused = fit('b', 3), fit('a2', 2)
          print(math.abs(second.peak_tensor_mb - first.peak_tensor_mb) <= 2, second.peak_tensor_mb < 200, #other)
          """)
      #expect(lines == ["true\ttrue\t64"])
    }
  }
}
