import Files
import TensorCore
import TestSupport
import Testing

@testable import Bindings

/// A stored result stands for the training that it came from, whatever callbacks did there.
@Suite(.engine) struct StoredResultTests {
  private static let report = """

    local function sums(model)
      for _, p in ipairs(model:parameters()) do
        print(p.name, p.trainable, string.format('%a', model:parameter(p.name):double():square():sum():item()))
      end
    end

    """

  /// What the first training's callback freezes or unfreezes after its first epoch, and the adapter.
  struct Row: Sendable, CustomTestStringConvertible {
    var adapter: String
    var change: String
    var testDescription: String { adapter + ", " + change }
  }

  static let rows = [
    Row(adapter: "adapters.classifier {}", change: "t:unfreeze('layer.1')"),
    Row(adapter: "adapters.lora { r = 4 }", change: "t:freeze('lora_A')"),
    Row(adapter: "adapters.full {}", change: "t:freeze('layer.0')"),
    Row(
      adapter: "adapters.adalora { init_r = 4, target_r = 2, tinit = 2, tfinal = 2, deltaT = 2, definition = 'paper' }",
      change: "t:freeze('classifier')"),
  ]

  /// Trains on after a stage that was trained, or taken from the store: each run's lines.
  @Test(arguments: rows, [Precision.fp32, .bf16])
  func trainingGoesOnTheSameAfterAStoredResult(_ row: Row, _ precision: Precision) throws {
    let before = Precision.current
    Precision.current = precision
    defer { Precision.current = before }
    try withTemporaryFolder { data in
      try TinyTask.write(to: data)
      func run(_ rate: String) throws -> [String] {
        let script =
          TinyTask.script(data, "warmup_steps = 0") + Self.report + """
            local model = base:classifier { task = task }:add_adapter(\(row.adapter))
            local o = options(model)
            o.on_epoch = function(t, epoch) if epoch == 1 then \(row.change) end end
            local one = trainer.fit(o)
            print(one.trainable, string.format('%a', one.metrics.eval_loss), string.format('%a', trainer.evaluate(options(model)).eval_loss))
            sums(model)
            o = options(model)
            o.learning_rate = \(rate)
            local two = trainer.fit(o)
            print(string.format('%a', two.metrics.eval_loss), two.key)
            sums(model)
            print(one.reused, two.reused)
            """
        return try ScriptHost.with(in: data) { host, _ in try host.printed(script) }
      }
      _ = try run("1e-3")
      let warm = try run("2e-3")
      #expect(warm.last == "true\tfalse")
      let again = try run("2e-3")
      #expect(again.last == "true\ttrue")
      try AtomicFolder.move(data + "/store", to: data + "/earlier")
      let fresh = try run("2e-3")
      #expect(fresh.last == "false\tfalse")
      #expect(warm.dropLast() == fresh.dropLast() && again.dropLast() == fresh.dropLast())
    }
  }

  /// The weights of the best evaluation are those of all that trained later, too: also of what a callback let train only then,
  /// and in a run that was cut off and went on.
  @Test(arguments: [false, true], ["t:unfreeze('layer.1')", "model:unfreeze('layer.1')"])
  func theBestWeightsAreWhole(isCut: Bool, change: String) throws {
    try withTemporaryFolder { data in
      try TinyTask.write(to: data)
      func run(stopping: Bool) throws -> String? {
        try ScriptHost.with(in: data, stopping: stopping) { host, _ in
          let script =
            TinyTask.script(data, "save_seconds = 0, load_best_model_at_end = true, metric_for_best_model = 'loss'") + """
              local model = base:classifier { task = task }:add_adapter(adapters.classifier {})
              local o = options(model)
              o.num_train_epochs, o.per_device_train_batch_size = 2, 8
              local losses = {}
              o.on_evaluate = function(t, metrics) losses[#losses + 1] = metrics.eval_loss end
              o.on_epoch = function(t, epoch) if epoch == 1 then \(change) t.learning_rate = 0.2 end end
              o.on_step = function(t) \(TinyTask.stop) end
              local result = trainer.fit(o)
              print(#losses < 2 or losses[2] > losses[1])
              print(string.format('%a', result.metrics.eval_loss) == string.format('%a', trainer.evaluate(options(model)).eval_loss))
              """
          return stopping ? try host.failure(script) : try host.printed(script).joined(separator: " ")
        }
      }
      if isCut { #expect(try run(stopping: true)?.contains("stop") == true) }
      #expect(try run(stopping: false) == "true true")
    }
  }

  /// A process that was killed, and one that finds a result or a state in the store, leave the rows of an unbroken run, and the
  /// stage's own folder has them, too.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
  func everyRunHasAllRows() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script =
        TinyTask.script(folder, "save_seconds = 0, logging_steps = 1") + """
          local function kill(t, file)
            local start = os.clock()
            while t.step == 4 and os.clock() - start < 0.3 do end
            if t.step ~= 5 or io.open(file) then return end
            io.open(file, 'w'):close()
            os.execute('kill -9 $PPID')
          end
          local model = make()
          for _, name in ipairs { 'one', 'two' } do
            stage(name, function()
              local o = options(model)
              o.on_step = function(t)
                log.metrics { stage = name, step = t.step, mine = t.loss }
                kill(t, name)
              end
              trainer.fit(o)
            end)
          end
          """
      try AtomicFile.write(script, to: folder + "/t.lua")
      func run(_ arguments: [String]) throws -> Int32 {
        try perigee(["run", "--allow-io", "--quiet", "--precision", "fp32"] + arguments, in: folder).code
      }
      func rows(_ run: String) throws -> [String] { try readText(folder + "/" + run + "/metrics.jsonl").split(separator: "\n").map(String.init) }
      #expect(try run(["t.lua", "--out", "killed"]) != 0)
      let atOnce = try rows("killed")
      #expect((2...10).contains(atOnce.count))
      func isMine(_ row: String) -> Bool { row.contains("\"mine\"") }
      // The state goes on in the folder of another run, which is killed in the second stage.
      #expect(try run(["t.lua", "--out", "other"]) != 0)
      for (name, code) in [("other", try run(["--resume", "other"])), ("killed", try run(["--resume", "killed"]))] {
        #expect(code == 0, "\(name)")
      }
      #expect(try run(["t.lua", "--out", "again"]) == 0)
      try AtomicFolder.move(folder + "/.cache", to: folder + "/cache-before")
      #expect(try run(["t.lua", "--out", "unbroken"]) == 0)
      let expected = try rows("unbroken").filter { !isMine($0) }
      // 12 updates and 2 evaluations in each stage.
      #expect(expected.count == 28)
      for name in ["other", "killed", "again"] { #expect(try rows(name).filter { !isMine($0) } == expected, "\(name)") }
      // What the script itself added stays; a run that calls it no more has no more of it.
      #expect(try rows("killed").filter(isMine) == atOnce.filter(isMine) && atOnce.contains(where: isMine))
      for name in ["other", "killed", "again", "unbroken"] {
        let state = try JSONValue(file: folder + "/\(name)/stages/two/trainer_state.json")
        #expect(state["log_history"]?.arrayValue?.count == 14)
      }
    }
  }

  /// The last update is followed by no loss that would tell: a whole run's, and that of a run that a callback ends.
  @Test(arguments: ["o.max_steps = 1", "o.on_step = function(t) t:stop() end"], ["no", "epoch"])
  func aLastUpdateThatIsNotFiniteIsExplained(setting: String, strategy: String) throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let failure = try host.failure(
        TinyTask.script(data, "warmup_steps = 0, eval_strategy = '\(strategy)'") + """
          local o = options(make())
          o.learning_rate, o.max_grad_norm = 1e38, 0
          \(setting)
          trainer.fit(o)
          """)
      #expect(
        failure?.contains("step 1: the update left a value that is not finite; first parameter that is not finite: ") == true, "\(failure ?? "")")
      #expect(failure?.hasSuffix("; a lower learning_rate or max_grad_norm may help") == true)
    }
  }

  @Test(arguments: ["load_best_model_at_end = true", "early_stopping_patience = 1"])
  func nothingToEvaluateOnIsExplained(setting: String) throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let failure = try host.failure(
        TinyTask.script(data, setting) + """
          local o = options(make())
          o.task = tasks.table { train_file = '\(data)/train.tsv', text_column = 'text', label_column = 'label' }
          trainer.fit(o)
          """)
      let what = setting.replacing(" = true", with: "")
      #expect(failure?.contains("\(what): the task ") == true && failure?.contains("has no evaluation set") == true, "\(failure ?? "")")
    }
  }
}
