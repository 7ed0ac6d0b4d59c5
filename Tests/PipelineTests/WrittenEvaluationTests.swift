import Diagnostics
import Files
import Generation
import LuaHost
import Tasks
import TestSupport
import Testing
import Training

/// Evaluations in which the model writes: `generation` of `trainer.fit` and `trainer.evaluate`.
@Suite(.engine) struct WrittenEvaluationTests {
  /// The metrics are those of what `model:generate` writes, against all texts that the set has for a prompt; the loss is what it always was.
  @Test(arguments: WritingTask.Family.allCases) func metricsCompareWhatTheModelWrites(_ family: WritingTask.Family) throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      let lines = try ScriptHost.with(in: folder) { host, _ in
        try host.printed(
          WritingTask.script(folder, family: family) + """
            local model = trainer.fit(options(make(), { max_steps = 40 })).model
            local texts = model:generate(\(WritingTask.prompts), { max_new_tokens = 8, num_beams = 2 })
            local found = trainer.evaluate(options(model, { generation = { max_new_tokens = 8, num_beams = 2, batch_size = 4 } }))
            local plain = trainer.evaluate { model = model, task = task, max_length = 32 }
            print(found.eval_rougeL == metrics.rougeL(texts, \(WritingTask.references)).score,
              found.eval_ter == metrics.ter(texts, \(WritingTask.references)).score, found.eval_rougeL > 0.2)
            print(found.eval_loss == plain.eval_loss, found.eval_perplexity == plain.eval_perplexity, plain.eval_rougeL, found.eval_combined)
            print(table.concat(texts, '|'))
            """)
      }
      #expect(lines.prefix(2) == ["true\ttrue\ttrue", "true\ttrue\tnil\tnil"], "\(lines)")
    }
  }

  /// Metrics have the options that the task gives them, in evaluations and in stages of texts, whose keys depend on them.
  @Test func metricsHaveTheTasksOptions() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      func run(_ options: String) throws -> (lines: [String], notes: [String]) {
        try ScriptHost.with(in: folder) { host, _ in
          let lines = try host.printed(
            WritingTask.script(folder, metrics: "{ 'chrf', 'meteor' }, metric_options = { \(options) }") + """
              local model = make()
              local out = trainer.predict { model = model, task = task, max_length = 32, generation = { max_new_tokens = 8 } }
              local found = trainer.evaluate(options(model))
              local own = trainer.evaluate(options(model, { task = task:filter(function() return true end) }))
              local function scores(options) return metrics.chrf(out.texts, out.references, options.chrf).score,
                metrics.meteor(out.texts, out.references, options.meteor).score end
              local chrf, meteor = scores { \(options) }
              print(out.metrics.eval_chrf == chrf, out.metrics.eval_meteor == meteor, found.eval_chrf == chrf, own.eval_meteor == meteor)
              print(chrf, meteor, out.reused)
              """)
          return (lines, host.notes)
        }
      }
      let plain = try run("")
      let first = try run("chrf = { char_order = 2 }, meteor = { tokenize = 'none', synonyms = false }")
      #expect(plain.lines[0] == "true\ttrue\ttrue\ttrue" && first.lines[0] == plain.lines[0], "\(plain) \(first)")
      let parts = try [plain, first].map { try #require($0.lines.last).split(separator: "\t") }
      #expect(parts[0][0] != parts[1][0] && parts[1][2] == "false", "\(parts)")
      #expect(first.notes.contains { $0.contains("predict runs again: ") && $0.contains("metric_options") }, "\(first.notes)")
      // A default that is given changes nothing.
      #expect(try run("chrf = { char_order = 6 }, meteor = {}").lines[1].hasSuffix("true"))
    }
  }

  /// A script's own metrics see the texts, their references and their tokens; a check calls them with what the set has.
  @Test(arguments: [WritingTask.Family.gpt2, .t5]) func aScriptsMetricsSeeTheTexts(_ family: WritingTask.Family) throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      let script =
        WritingTask.script(folder, metrics: "{}", family: family) + """
          local model, seen = make(), {}
          local function own(texts, references, tokens)
            seen.texts, seen.references, seen.tokens = texts, references, tokens
            return { words = #texts + #tokens[1] / 100, rougeL = 0.5 }
          end
          local result = trainer.fit(options(model, { max_steps = 2, compute_metrics = own, metric_for_best_model = 'words' }))

          """
      let lines = try ScriptHost.with(in: folder) { host, _ in
        try host.printed(
          script + """
            local written = model:generate(\(WritingTask.prompts), { max_new_tokens = 8, return_dict_in_generate = true })
            local same = true
            for i, item in ipairs(written) do
              same = same and seen.texts[i] == item.text:match('^%s*(.-)%s*$') and table.concat(seen.tokens[i], ' ') == table.concat(item.tokens, ' ')
            end
            print(same, #seen.texts, table.concat(seen.references[2], '|'), result.metrics.eval_words == 6 + #written[1].tokens / 100, result.metrics.eval_rougeL)
            """)
      }
      #expect(lines == ["true\t6\tThe cat is blue.|This cat is blue.\ttrue\t0.5"])
      try ScriptHost.with(mode: .check) { host, _ in
        let lines = try host.printed(
          script.replacing("seed = 3", with: "seed = 4") + "print(result.metrics.eval_words ~= result.metrics.eval_words, seen.texts[2])")
        #expect(lines == ["true\tThe cat is blue."])
      }
    }
  }

  /// Ctrl-C while an evaluation writes saves the training, which goes on with that evaluation and ends as an unbroken one; both halves of a
  /// model with an encoder go on with their bits. Every text is told.
  @Test(arguments: [WritingTask.Family.bart, .t5]) func anInterruptedEvaluationIsDoneAgain(_ family: WritingTask.Family) throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      let script =
        WritingTask.script(folder, family: family).replacing("d_model = 16", with: "d_model = 16, dropout_rate = 0.1, dropout = 0.1") + """
          local model = make():add_adapter(adapters.lora { r = 2, target_modules = 'all-linear' })
          local calls, first = 0, nil
          local result = trainer.fit(options(model, { max_steps = 6, eval_strategy = 'steps', eval_steps = 3, save_seconds = 1e9, logging_steps = 1,
            on_step = function(t) first = first or t.step end,
            logits_processor = function()
              calls = calls + 1
              if stopping() and calls == 3 then interrupt() end
            end }))
          print(result.reused, result.metrics.eval_rougeL, result.metrics.eval_loss, result.steps, result.tokens)
          for _, p in ipairs(model:parameters()) do print(p.name, string.format('%a', model:parameter(p.name):double():square():sum():item())) end
          print(first)
          """
      func run(stopping: Bool) throws -> (lines: [String], rows: [Substring]) {
        defer { Interrupt.reset() }
        return try ScriptHost.with(in: folder, stopping: stopping, interval: 0) { host, _ in
          try host.state.register(Function("interrupt", "Ctrl-C.") { Interrupt.request() })
          if stopping {
            #expect(throws: (any Error).self) { try host.printed(script) }
            return ([], [])
          }
          let lines = try host.printed(script)
          for done in 1...6 { #expect(host.notes.contains { $0.hasPrefix("fit  3/6") && $0.contains("  \(done)/6 texts") }, "\(host.notes)") }
          return (lines, try readText(host.runFolder + "/metrics.jsonl").split(separator: "\n"))
        }
      }
      _ = try run(stopping: true)
      let resumed = try run(stopping: false)
      removeTree(folder + "/store")
      let whole = try run(stopping: false)
      #expect(resumed.lines.dropLast() == whole.lines.dropLast() && whole.lines.count > 20)
      #expect([resumed.lines.last, whole.lines.last] == ["4", "1"])
      #expect(resumed.rows.suffix(4) == whole.rows.suffix(4), "\(resumed.rows) \(whole.rows)")
    }
  }

  /// What a model's files say about the search, and the options do not, is told wherever texts are written.
  @Test func searchesOfFilesAreTold() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        _ = try host.printed(
          WritingTask.script(folder).replacing("n_layer = 2", with: "n_layer = 1, num_beams = 3") + """
            trainer.evaluate(options(make()))
            trainer.fit(options(make(), { max_steps = 1 }))
            trainer.predict { model = make(), task = task, max_length = 32, generation = { max_new_tokens = 2 } }
            """)
        let told = host.notes.filter { $0.contains("also says num_beams = 3: of such a file, its tokens alone count") }
        #expect(told.count == 3, "\(host.notes)")
      }
    }
  }

  /// Targets are cut to a limit of their own, which a task without an encoder does not have.
  @Test func targetsHaveALimitOfTheirOwn() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        let lines = try host.printed(
          WritingTask.script(folder, family: .t5) + """
            local model = make()
            local function loss(limit)
              return trainer.evaluate { model = model, task = task, max_length = 32, max_target_length = limit }.eval_loss
            end
            print(loss(nil) == loss(32), loss(nil) == loss(3))
            trainer.fit { model = model, task = task, max_length = 32, max_steps = 1, max_target_length = 3 }
            """)
        #expect(lines == ["true\tfalse"])
        #expect(host.notes.contains { $0.contains("longer than max_length = 32 or max_target_length = 3 tokens and are cut") }, "\(host.notes)")
        let failure = try host.failure(
          WritingTask.script(folder) + "trainer.fit { model = make(), task = task, max_length = 32, max_target_length = 8 }")
        #expect(failure?.contains("max_target_length: task 'causal_lm' has no targets of their own") == true, "\(failure ?? "none")")
      }
    }
  }

  /// The best weights are those of the best texts, whichever way the metric counts; a stage's key has what the texts depend on.
  @Test func aMetricOfTextsChoosesTheBestWeights() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      func run(_ metric: String, generation: String = "max_new_tokens = 8", more: String = "") throws -> (lines: [String], notes: [String]) {
        try ScriptHost.with(in: folder) { host, _ in
          let lines = try host.printed(
            WritingTask.script(folder) + """
              local seen = {}
              local result = trainer.fit(options(make(), { eval_strategy = 'steps', eval_steps = 6, learning_rate = 1e-1, max_grad_norm = 0, load_best_model_at_end = true,
                metric_for_best_model = '\(metric)', generation = { \(generation) }, \(more) }))
              print(result.best_step or result.steps, result.metrics.eval_\(metric), result.reused)
              """)
          return (lines, host.notes)
        }
      }
      for (metric, isBetter) in [("rougeL", (>) as (Double, Double) -> Bool), ("ter", (<))] {
        let first = try run(metric)
        let values = first.notes.compactMap { $0.firstMatch(of: try! Regex("step (\\d+) of 30: .*\(metric) ([0-9.]+)")) }
          .map { (Int($0[1].substring ?? "") ?? 0, Double($0[2].substring ?? "") ?? .nan) }
        #expect(values.count == 5, "\(first.notes)")
        #expect(Set(values.map(\.1)).count > 2, "\(values)")
        let best = try #require(values.reduce(nil as (Int, Double)?) { best, new in best.map { isBetter(new.1, $0.1) ? new : $0 } ?? new })
        #expect(first.lines[0].split(separator: "\t").first == "\(best.0)", "\(first.lines) of \(values)")
      }
      let same = try run("rougeL", generation: "batch_size = 1, max_new_tokens = 8")
      #expect(same.lines[0].hasSuffix("true"), "\(same)")
      let other = try run("rougeL", generation: "max_new_tokens = 8, num_beams = 2")
      #expect(other.lines[0].hasSuffix("false"), "\(other)")
      #expect(other.notes.contains { $0.contains("fit runs again: arguments.generation.num_beams was 1, is 2") }, "\(other.notes)")
    }
  }

  /// Of the options of generation, the batch size alone says nothing about the texts.
  @Test func aKeyHasAllOptionsButTheBatchSize() throws {
    func key(_ set: (inout GenerationOptions) throws -> Void) throws -> ConfigValue? {
      var arguments = TrainingArguments()
      var options = GenerationOptions()
      try set(&options)
      arguments.generation = options
      return arguments.keyValues(for: CausalLM(), isScripted: false)["generation"]
    }
    let others = [
      "do_sample": "true", "use_cache": "false", "beam_search": "lora", "early_stopping": "never", "stop_strings": "x", "top_p": "0.5",
      "min_p": "0.5",
    ]
    let plain = try key { _ in }
    for field in GenerationOptions.fields {
      let changed = try key { try field.set(text: others[field.name] ?? "7", in: &$0) }
      #expect((changed?.json != plain?.json) == (field.name != "batch_size"), "\(field.name)")
    }
    #expect(TrainingArguments().keyValues(for: CausalLM(), isScripted: false)["generation"] == nil)
    var arguments = TrainingArguments()
    func limit() -> ConfigValue? { arguments.keyValues(for: Seq2SeqLM(), isScripted: false)["max_target_length"] }
    arguments.maxTargetLength = 8
    #expect(limit()?.json == 8)
    arguments.maxTargetLength = arguments.maxLength
    #expect(limit() == nil)
  }

  /// Whatever cannot work is told before the first step.
  @Test(arguments: [
    ("options(model, { predict_with_generate = true })", "unknown field 'predict_with_generate'; use 'generation': a table of"),
    ("options(model, { generation_num_beams = 4 })", "use 'generation': generation = { num_beams = ... }"),
    ("options(model, { generation = { num_beam = 4 } })", "'generation': generation options: unknown field 'num_beam'; did you mean 'num_beams'?"),
    ("options(model, { generation = { num_beams = 2, do_sample = true } })", "a beam search draws nothing"),
    (
      "options(model, { generation = { do_sample = true, num_return_sequences = 2 } })",
      "generation: num_return_sequences is 2, but one text for each prompt is compared"
    ),
    ("options(model, { generation = { max_new_tokens = 60 } })", "60 more do not fit into the model's 32 positions"),
    ("options(model, { task = lines })", "generation: task 'causal_lm' has no metric that compares texts; give the task some"),
    ("options(model, { task = texts })", "train.jsonl: its examples are texts without prompts"),
    (
      "{ model = model, task = task, max_length = 32, metric_for_best_model = 'ter' }",
      "it compares texts, and no text is written; give generation too"
    ),
    ("options(model, { metric_for_best_model = 'rougeLL' })", "task 'causal_lm' has no such metric; did you mean 'rougeL'?"),
    (
      "options(model, { task = tasks.causal_lm { train_file = 'x.jsonl', text_column = 'a', metrics = { 'f1' } } })",
      "metrics: 'f1' compares no texts"
    ),
    (
      "options(model, { task = tasks.causal_lm { train_file = 'x.jsonl', text_column = 'a', metrics = { 'bleu' } } })",
      "no metric 'bleu'; take sacrebleu (WMT)"
    ),
    (
      "options(model, { task = tasks.e2e { folder = 'builtin:data_to_text', metric_options = { meteor = { tokenise = 'coco' } } } })",
      "e2e options: 'metric_options.meteor': meteor options: unknown field 'tokenise'; did you mean 'tokenize'?"
    ),
    (
      "options(model, { task = tasks.webnlg { folder = 'builtin:data_to_text', metric_options = { pyters = {} } } })",
      "webnlg options: 'metric_options.pyters': no metric 'pyters'; did you mean 'pyter'?"
    ),
    (
      "options(model, { task = tasks.webnlg { folder = 'builtin:data_to_text', metric_options = { ter = {} } } })",
      "metric_options: task 'webnlg' has no metric 'ter'; expected one of meteor, multi_bleu_detok, pyter"
    ),
    (
      "options(model, { task = tasks.xsum { folder = 'builtin:summary', metric_options = { rouge1 = 'no' } } })",
      "xsum options: 'metric_options.rouge1' must be a table of options, got 'no'"
    ),
    (
      "options(model, { task = tasks.xsum { folder = 'builtin:summary', metric_options = { perplexity = {} } } })",
      "metric 'perplexity' does not compare texts"
    ),
  ])
  func mistakesAreTold(_ options: String, _ message: String) throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        let failure = try host.failure(
          WritingTask.script(folder) + """
            local lines = tasks.causal_lm { train_file = '\(folder)/train.jsonl', prompt_column = 'facts', completion_column = 'text' }
            local texts = tasks.causal_lm { train_file = '\(folder)/train.jsonl', validation_file = '\(folder)/train.jsonl', text_column = 'text',
              metrics = { 'ter' } }
            local model = make()
            trainer.fit(\(options))
            """)
        #expect(failure?.contains(message) == true, "\(failure ?? "none")")
      }
    }
  }
}
