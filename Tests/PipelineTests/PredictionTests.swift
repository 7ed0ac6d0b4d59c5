import Files
import TestSupport
import Testing

/// `trainer.predict`: texts that a model writes for an evaluation set, kept as a stage's result.
@Suite(.engine) struct PredictionTests {
  /// Texts are those of `model:generate`, metrics those of an evaluation; an equal stage is taken from the store, another is not.
  @Test func textsAreAStagesResult() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      func run(_ options: String, metrics: String = "{ 'rougeL', 'ter' }") throws -> (lines: [String], host: (notes: [String], folder: String)) {
        try ScriptHost.with(in: folder) { host, _ in
          let lines = try host.printed(
            WritingTask.script(folder, metrics: metrics) + """
              local model = stage('train', function() return trainer.fit(options(make(), { generation = {}, eval_strategy = 'no' })) end).model
              local out = stage('texts', function() return trainer.predict { model = model, task = task, \(options) } end)
              print(out.reused, out, #out.texts)
              print(table.concat(out.texts, '|') == table.concat(model:generate(\(WritingTask.prompts), { max_new_tokens = 8 }), '|'))
              local found = trainer.evaluate { model = model, task = task, max_length = 32, generation = { max_new_tokens = 8 } }
              print(out.metrics.eval_rougeL == found.eval_rougeL, out.metrics.eval_ter == found.eval_ter, out.metrics.eval_loss)
              print(table.concat(out.prompts, '|') == table.concat(\(WritingTask.prompts), '|'), table.concat(out.references[2], '|'))
              """)
          return (lines, (host.notes, host.runFolder))
        }
      }
      let first = try run("generation = { max_new_tokens = 8 }, max_length = 32")
      #expect(first.lines[0].hasPrefix("false\tPredictions(texts: rougeL 0.") && first.lines[0].hasSuffix("; 6 texts)\t6"), "\(first)")
      #expect(Array(first.lines[1...]) == ["true", "true\ttrue\tnil", "true\t The cat is blue.| This cat is blue."], "\(first)")
      let file = try readText(first.host.folder + "/stages/texts/predictions.jsonl").split(separator: "\n")
      #expect(file.count == 6 && file[1].contains("\"number\":1") && file[1].contains("\"prompt\":\"blue, cat\""), "\(file)")
      let row = try readText(first.host.folder + "/metrics.jsonl").split(separator: "\n").last
      #expect(row?.contains("\"stage\":\"texts\"") == true && row?.contains("eval_rougeL") == true, "\(row ?? "")")
      let again = try run("generation = { max_new_tokens = 8, batch_size = 1 }, max_length = 32, seed = 9, save_seconds = 1")
      #expect(again.lines[0] == first.lines[0].replacing("false", with: "true", maxReplacements: 1) && again.lines[1...] == first.lines[1...])
      for (options, metrics, reason) in [
        ("generation = { max_new_tokens = 8, num_beams = 2 }, max_length = 32", "{ 'rougeL', 'ter' }", "generation.num_beams was 1, is 2"),
        ("generation = { max_new_tokens = 8 }, max_length = 31", "{ 'rougeL', 'ter' }", "max_length was 32, is 31"),
        ("generation = { max_new_tokens = 8 }, max_length = 32", "{ 'rougeL' }", "metrics"),
      ] {
        let other = try run(options, metrics: metrics)
        #expect(other.lines[0].hasPrefix("false"), "\(options): \(other.lines)")
        #expect(other.host.notes.contains { $0.contains("texts runs again: ") && $0.contains(reason) }, "\(other.host.notes)")
      }
    }
  }

  /// Sampled texts, with a function that draws, too, are those of an unbroken run wherever a run was cut off.
  @Test func whatWasCutOffGoesOn() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      let script =
        WritingTask.script(folder) + """
          local calls = 0
          local out = trainer.predict { model = make(), task = task, save_seconds = 1000, max_length = 32,
            generation = { max_new_tokens = 8, do_sample = true, temperature = 2, batch_size = 1 },
            logits_processor = function(tokens, scores)
              calls = calls + 1
              if stopping() and calls == 20 then error('stop') end
              scores:add_(math.random())
              scores:set(math.random(), math.random(0, #scores - 1))
            end }
          print(table.concat(out.texts, '|'))
          print(calls)
          """
      let stopped = try ScriptHost.with(in: folder, stopping: true) { host, _ in try host.failure(script) }
      #expect(stopped?.contains("stop") == true)
      let (resumed, notes) = try ScriptHost.with(in: folder) { host, _ in (try host.printed(script), host.notes) }
      #expect(notes.contains { $0.contains("predict: 6 texts, resumed at 2") }, "\(notes)")
      try removeStore(folder)
      let whole = try ScriptHost.with(in: folder) { host, _ in try host.printed(script) }
      #expect(resumed[0] == whole[0])
      #expect(Set(whole[0].split(separator: "|")).count > 3)
      #expect(Int(resumed[1]) ?? 99 < Int(whole[1]) ?? 0, "\(resumed) \(whole)")
      // Nor do texts depend on what is written beside them.
      try removeStore(folder)
      let together = try ScriptHost.with(in: folder) { host, _ in try host.printed(script.replacing("batch_size = 1", with: "batch_size = 5")) }
      #expect(together[0] == whole[0])
    }
  }

  private func removeStore(_ folder: String) throws { removeTree(folder + "/store") }

  /// A check writes nothing, and says what would be written.
  @Test func aCheckPlansTheTexts() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      try ScriptHost.with(mode: .check, in: folder) { host, _ in
        let lines = try host.printed(
          WritingTask.script(folder) + """
            local out = stage('texts', function() return trainer.predict { model = make(), task = task, max_length = 32 } end)
            print(#out.texts, out.texts[1], out.metrics.eval_ter ~= out.metrics.eval_ter, out.prompts[1])
            """)
        #expect(lines == ["6\t\ttrue\tred, dog"])
        #expect(host.session.plan.map(\.stage) == ["texts"] && host.session.plan[0].examples == 6 && host.session.plan[0].steps == nil)
      }
    }
  }

  @Test(arguments: [
    ("{ model = model, task = task, set = 'tets' }", "trainer.predict: task causal_lm has no evaluation set 'tets'"),
    ("{ model = model }", "missing field 'task'"),
    ("{ model = model, task = task, test_dataset = 'x' }", "unknown field 'test_dataset'; use 'set'"),
    ("{ model = model, task = task, num_beams = 2 }", "use 'generation': generation = { num_beams = ... }"),
    ("{ model = model, task = task, generation = { max_length = 40 } }", "more do not fit into the model's 32 positions"),
    ("{ model = classifier, task = task }", "the model"),
  ])
  func mistakesAreTold(_ options: String, _ message: String) throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        let failure = try host.failure(
          WritingTask.script(folder) + """
            local model, classifier = make(), base:classifier { num_labels = 2 }
            trainer.predict \(options)
            """)
        #expect(failure?.contains(message) == true, "\(failure ?? "none")")
      }
    }
  }

  /// A process that is killed, or ends after Ctrl-C in a function of the script, loses no finished text.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built")) func aSignalLosesNoFinishedText() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      let script =
        WritingTask.script(folder) + """
          local out = stage('texts', function()
            return trainer.predict { model = make(), task = task, save_seconds = 0, max_length = 32,
              generation = { max_new_tokens = 4, do_sample = true, temperature = 2, batch_size = 1 },
              logits_processor = function() local start = os.clock() while os.clock() - start < 0.04 do end end }
          end)
          print(table.concat(out.texts, '|'))
          """
      try AtomicFile.write(script, to: folder + "/t.lua")
      let outcome = try bash(
        [
          "-c",
          """
          P=$1; O='--threads 1 --precision fp32'
          stop() {
            for i in $(seq 2000); do
              grep -qs "count[^0-9]*[$2]" .cache/perigee/stages-3/*/predictions.jsonl.partial.json && break; kill -0 $pid || break; sleep 0.01
            done
            kill -$1 $pid; wait $pid; echo "code $?"
          }
          $P run t.lua $O --out r >log 2>&1 & pid=$!; stop KILL 1-5
          $P run --resume r $O >log2 2>&1 & pid=$!; stop INT 3-5
          $P run --resume r $O; PERIGEE_CACHE=other $P run t.lua $O --out whole --quiet
          """, "bash", #require(perigeeExecutable),
        ], in: folder)
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.count == 4 && lines[..<2] == ["code 137", "code 130"] && lines[2] == lines[3] && lines[2].contains("|"), "\(outcome)")
      #expect(outcome.error.contains("texts: 6 texts, resumed at "), "\(outcome.error)")
      #expect(try readText(folder + "/r/stages/texts/predictions.jsonl") == readText(folder + "/whole/stages/texts/predictions.jsonl"))
    }
  }
}
