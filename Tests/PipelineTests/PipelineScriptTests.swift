import Adapters
import Files
import Foundation
import TestSupport
import Testing

@testable import Bindings

/// Every pipeline in the repository runs, with a few updates of everything.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct PipelineScriptTests {
  /// A pipeline, the settings that make it short, the methods that it needs, and what its report holds.
  struct Script: Sendable, CustomTestStringConvertible {
    var name: String
    var settings: [String]
    var methods: [String] = []
    /// Words of the printed tables.
    var words: [String]
    var testDescription: String { name }

    var missing: [String] { methods.filter { name in !AdapterCatalogue.methods.contains { $0.name == name } } }

    static let short = ["steps=3", "pretrain_steps=3", "train_limit=64", "dev_limit=16"]

    /// Experiments with texts that a model writes.
    static let text = short + ["layers=1", "test_limit=2", "max_new_tokens=4", "num_beams=2"]

    static let all = [
      Script(
        name: "delora_tables", settings: short + ["ranks=4,8", "seeds=1,2"], methods: ["delora"],
        words: ["rte, by rank (Table 2)", "diagonal", "rte, best rank (Table 1)", "rte over MNLI's LoRA (Table 3)", "classifier + delora"]),
      Script(
        name: "delora_random_matrices", settings: ["n=6", "fractions=0.5,1", "steps=200"],
        words: ["relative error of A Sigma B", "optimum", "expected"]),
      Script(
        name: "delta_lora_glue", settings: short + ["ratios=0,1", "start_steps=0,1", "start_step=1"], methods: ["delta_lora"],
        words: ["rte (Table 4)", "rte, cosine with the base weight", "rte, by lambda", "rte, by K"]),
      Script(
        name: "lora_mini_tables", settings: short + ["ranks=4", "widths=8x16"], methods: ["lora_mini"],
        words: ["rte, LoRA-Mini (Tables 1 and 2)", "D+A", "rte, grid of the appendix", "8x16"]),
      Script(
        name: "lora_mini_translation", settings: text + ["lora_ranks=2", "ranks=4", "width=8", "grid=4:8x8,4:8x16"],
        words: ["(Tables 3 and 4)", "lora_mini r=4 8x8", "sacrebleu", "LoRA-Mini by rank and widths", "lora_mini r=4 8x16"]),
      Script(name: "adalora_vs_lora", settings: short + ["budgets=2/4"], methods: ["adalora"], words: ["rte, at equal budget", "adalora"]),
      Script(name: "compare_methods", settings: short, words: ["rte, all methods", "classifier", "vera", "delora r=32"]),
      Script(
        name: "mnli_to_rte",
        settings: ["pretrain_steps=3", "epochs=1", "rte_epochs=1", "mnli_limit=64", "rte_limit=64", "mnli_dev_limit=16"],
        words: ["rte-classifier", "rte-delora"]),
      Script(
        name: "delta_lora_text", settings: text + ["tasks=e2e,webnlg,xsum", "methods=lora,delta_lora"],
        words: ["E2E (Table 1)", "rouge_l", "WebNLG (Table 2)", "bleu_u", "ter_a", "delta_lora", "XSum (Table 3)", "rougeLsum"]),
      Script(
        name: "delta_lora_ablations", settings: text + ["ratios=2", "start_steps=1"],
        words: ["(Table 5)", "lora, 3 x rate", "(Table 7)", "start_step", "e2e, cosine with the base weight", "c_attn.weight values"]),
      Script(name: "data_to_text", settings: ["steps=3", "adapter_steps=3", "layers=1", "max_new_tokens=4"], words: ["held out", "perplexity"]),
    ]
  }

  @Test(arguments: Script.all.filter(\.missing.isEmpty))
  func runs(_ script: Script) throws {
    try withTemporaryFolder { folder in
      let settings = script.settings.flatMap { ["--set", $0] }
      let path = packageRoot + "/pipelines/\(script.name).lua"
      let arguments = ["run", path, "--precision", "fp32", "--out", "run", "--quiet"] + settings
      let outcome = try perigee(arguments, in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
      for word in script.words { #expect(outcome.output.contains(word), "\(outcome.output)") }
      let results = try JSONValue(file: folder + "/run/results.json")
      let tables = results["tables"]?.arrayValue
      #expect(tables?.isEmpty == false)
      // The same again trains nothing.
      let again = try perigee(arguments.map { $0 == "run" && $0 != arguments[0] ? "again" : $0 }, in: folder)
      #expect(again.code == 0 && !again.error.contains("runs again"))
      #expect(numbers(again.output) == numbers(outcome.output))
    }
  }

  /// Those whose methods are not there yet.
  @Test(
    .enabled(
      if: Script.all.allSatisfy { $0.missing.isEmpty },
      "not there: \(Script.all.flatMap { $0.missing }.joined(separator: ", "))"))
  func everyMethodIsThere() {}

  @Test func everyPipelineIsTested() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: packageRoot + "/pipelines").filter { $0.hasSuffix(".lua") }
    #expect(Set(files) == Set(Script.all.map { $0.name + ".lua" }))
  }

  @Test func pipelinesAreShort() throws {
    for name in Script.all.map(\.name) where name != "mnli_to_rte" && name != "data_to_text" {
      let text = try String(contentsOfFile: packageRoot + "/pipelines/\(name).lua", encoding: .utf8)
      #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count <= 61, "\(name)")
    }
  }

  private func numbers(_ text: String) -> [Substring] {
    // Seconds are those of the first run, too: a stored result is the same in everything.
    text.split(whereSeparator: \.isWhitespace)
  }
}

/// `lua/sweep.lua`, `lua/experiment.lua` and the recipes.
@Suite(.engine) struct SweepScriptTests {
  @Test func meanAndSpread() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        """
        local sweep = require 'sweep'
        print(sweep.mean { 1, 2, 3, 6 }, sweep.spread { 1, 2, 3, 6 } - math.sqrt(14 / 3), sweep.spread { 5 })
        local points, names = sweep.points({ b = { 1, 2 }, a = { 'x', 'y' } })
        for _, p in ipairs(points) do print(p.a, p.b) end
        print(table.concat(names, ' '))
        print(#sweep.points({}))
        for _, p in ipairs((sweep.points({ b = { 1, 2 }, a = { 'x', 'y' } }, { 'b', 'a' }))) do print(p.a, p.b) end
        """)
      #expect(lines == ["3.0\t0.0\tnil", "x\t1", "x\t2", "y\t1", "y\t2", "a b", "1", "x\t1", "y\t1", "x\t2", "y\t2"])
    }
  }

  @Test func everyPointAndSeedIsAStage() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "max_steps = 1") + """
          local sweep = require 'sweep'
          local rows = sweep.run {
            name = 'lora', grid = { r = { 2, 4 } }, seeds = { 1, 2 }, metric = 'loss',
            run = function(point, seed)
              local model = base:classifier { task = task, seed = seed }:add_adapter(adapters.lora { r = point.r, seed = seed })
              local o = options(model)
              o.seed = seed
              return trainer.fit(o)
            end,
          }
          for _, row in ipairs(rows) do
            local a, b = row.results[1], row.results[2]
            print(a.stage, b.stage, row.n, row.trainable == a.trainable, a.metrics.eval_loss ~= b.metrics.eval_loss,
              row.peak_tensor_mb == math.max(a.peak_tensor_mb, b.peak_tensor_mb) and math.type(row.peak_tensor_mb))
            print(math.abs(row.loss - (a.metrics.eval_loss + b.metrics.eval_loss) / 2) < 1e-12,
              math.abs(row.spread - math.abs(a.metrics.eval_loss - b.metrics.eval_loss) / math.sqrt(2)) < 1e-12)
          end
          sweep.report(rows, { title = 'T' })
          print(sweep.best(rows).loss == math.min(rows[1].loss, rows[2].loss) and rows[1].loss ~= rows[2].loss)
          """)
      #expect(lines[0] == "lora r=2 seed=1\tlora r=2 seed=2\t2\ttrue\ttrue\tinteger" && lines[1] == "true\ttrue")
      #expect(lines[2] == "lora r=4 seed=1\tlora r=4 seed=2\t2\ttrue\ttrue\tinteger" && lines[3] == "true\ttrue")
      #expect(lines[4] == "T" && lines[5].split(separator: " ") == ["r", "trainable", "loss", "spread", "n", "seconds", "peak_tensor_mb"])
      #expect(lines.last == "true")
    }
  }

  /// The least of a loss, the highest of an accuracy; of a script's own metric what the script says.
  @Test(arguments: [
    ("metric = 'loss'", "1"), ("metric = 'accuracy'", "3"), ("metric = 'mse'", "1"), ("metric = 'perplexity'", "1"),
    ("metric = 'loss_mm'", "1"), ("metric = 'combined'", "3"), ("metric = 'kappa', greater_is_better = true", "3"),
    ("metric = 'kappa', greater_is_better = false", "1"),
    ("metric = 'kappa'", "t.lua:4: sweep.best: whether more of 'kappa' is better is not known; give sweep.run greater_is_better = true or false"),
  ])
  func bestFollowsTheMetric(rows: String, expected: String) throws {
    try ScriptHost.with { host, _ in
      let script = """
        local sweep = require 'sweep'
        local rows = { \(rows) }
        for i, value in ipairs { 0.1, 0.2, 0/0, 0.3 } do rows[i] = { [rows.metric] = value, place = #rows + (value == value and 1 or 0) } end
        local best = sweep.best(rows)
        print(best[rows.metric] == 0.1 and 1 or best[rows.metric] == 0.3 and 3 or 'neither')
        """
      let outcome = expected.count == 1 ? try host.printed(script).first : try host.failure(script)
      #expect(outcome == expected)
      let known = try host.printed("print(metrics.greater_is_better('eval_f1'), metrics.greater_is_better('kappa'))")
      #expect(known == ["true\tnil"])
    }
  }

  @Test func summaryKeepsSmallNumbers() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        """
        local rows = { title = 'T', metric = 'loss', { method = 'lora', loss = 1.5e-5, spread = 2e-6, trainable = 8, seconds = 1.0 } }
        require('sweep').summary({ rows }, 'method')
        """)
      #expect(lines[3].split(separator: " ") == ["lora", "8", "1.5e-05", "±", "2e-06", "1.0"], "\(lines)")
    }
  }

  /// Of many trainings, only the models that the script keeps stay in memory.
  @Test func droppedModelsAreFreed() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "max_steps = 1") + """
          local live = {}
          for _, keep_models in ipairs { false, true } do
            local rows = require('sweep').run {
              name = tostring(keep_models), grid = { learning_rate = { 1e-3, 2e-3, 3e-3, 4e-3 } }, metric = 'loss', keep_models = keep_models,
              run = function(point)
                collectgarbage()
                live[#live + 1] = tensor.memory().live
                local o = options(base:classifier { task = task }:add_adapter(adapters.full {}))
                o.learning_rate = point.learning_rate
                return trainer.fit(o)
              end,
            }
          end
          local size = 4 * base:classifier { task = task }.total
          print(live[4] - live[2] < size, live[8] - live[6] >= 2 * size)
          """)
      #expect(lines == ["true\ttrue"])
    }
  }

  static let mistakes: [(script: String, message: String)] = [
    ("sweep.run { nmae = 'x' }", "t.lua:2: sweep.run: unknown field 'nmae'; did you mean 'name'?"),
    ("sweep.points({ r = {} })", "t.lua:2: sweep: grid has no values for 'r'"),
    ("sweep.points({ r = { 1 } }, { 'q' })", "t.lua:2: sweep: grid has no values for 'q'"),
  ]

  @Test(arguments: mistakes.indices)
  func mistakesHaveAPlace(_ index: Int) throws {
    try ScriptHost.with { host, _ in
      let text = try host.failure("local sweep = require 'sweep'\n" + Self.mistakes[index].script)
      #expect(text == Self.mistakes[index].message)
    }
  }

  /// The recipes say what the papers' tables say, and the trainer takes them.
  @Test func recipesAreThePapers() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        """
        local count = 0
        for _, name in ipairs { 'lora', 'delora', 'delta_lora', 'adalora', 'lora_mini' } do
          local recipe = require('recipes.' .. name)
          for task, values in pairs(recipe.tasks) do
            assert(values.learning_rate > 0 and values.num_train_epochs > 0, name .. task)
            count = count + 1
          end
        end
        print(count)
        local lora, delta, ada = require 'recipes.lora', require 'recipes.delta_lora', require 'recipes.adalora'
        print(lora.tasks.cola.per_device_train_batch_size, lora.tasks.qnli.num_train_epochs, lora.tasks.rte.learning_rate)
        print(delta.tasks.mrpc.adapter.start_step, delta.tasks.rte.max_length, delta.tasks.qqp.learning_rate)
        print(ada.tasks.cola.adapter.orth_reg_weight, ada.tasks.stsb.learning_rate, ada.tasks.mnli.adapter.tfinal)
        local text = require 'recipes.delta_lora_text'
        print(text.tasks.webnlg.adapter.update_ratio, text.tasks.xsum.warmup_steps, text.generation.e2e.length_penalty, text.generation.xsum.num_beams)
        """)
      #expect(lines == ["36", "64\t25\t0.0005", "10\t512\t0.0004", "0.5\t0.0022\t50000", "5\t3000\t0.8\t8"])
    }
  }
}
