import Diagnostics
import Files
import TestSupport
import Testing

/// Schedules, losses and metrics as functions of a script.
@Suite(.engine) struct ScriptFunctionTests {
  private static let report = """

    for _, p in ipairs(model:parameters()) do
      if p.trainable then print(p.name, string.format('%a', model:parameter(p.name):double():square():sum():item())) end
    end
    """

  /// Losses of all steps and the parameters of a fit with these settings.
  private func trained(_ settings: String) throws -> [String] {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      return try host.printed(
        TinyTask.script(data, "eval_strategy = 'no', " + settings) + """
          local model = make()
          local o = options(model)
          o.on_step = function(t) print(string.format('%a', t.loss)) end
          trainer.fit(o)
          """ + Self.report)
    }
  }

  @Test(arguments: [
    ("function(step, total) return (total - step) / total end", "'linear'"),
    ("function(step, total) return step < 3 and step / 3 or (total - step) / (total - 3) end", "'linear', warmup_steps = 3"),
    ("function() return 1 end", "'constant'"),
  ])
  func scheduleEqualsTheBuiltInOne(function: String, builtIn: String) throws {
    let own = try trained("lr_scheduler_type = \(function)")
    #expect(try own == trained("lr_scheduler_type = \(builtIn)"))
    #expect(try own != trained("lr_scheduler_type = 'cosine'"))
    #expect(own.count > 14)
  }

  private static let crossEntropy = """
    function(logits, labels, model)
      assert(model.trainable > 0 and labels.dtype == 'int32' and #labels == #logits)
      return -logits:log_softmax(1):gather(1, labels:unsqueeze(1)):mean()
    end
    """

  /// A batch's mean counts with its share of the labels, so several batches for one update are no exception.
  @Test(arguments: ["", ", gradient_accumulation_steps = 3"])
  func crossEntropyEqualsTheBuiltInOne(settings: String) throws {
    func losses(_ lines: [String]) throws -> [Double] { try lines.filter { $0.hasPrefix("0x") }.map { try #require(Double($0)) } }
    let builtIn = try trained("warmup_steps = 0" + settings)
    let own = try trained("loss = \(Self.crossEntropy)" + settings)
    let (a, b) = (try losses(own), try losses(builtIn))
    #expect(a.count == b.count && a.count >= 4)
    #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-6 * abs($1) }, "\(a) \(b)")
    // The same operation has the same bits.
    if settings.isEmpty { #expect(try trained("loss = function(logits, labels) return logits:cross_entropy(labels) end") == builtIn) }
    #expect(try trained("loss = function(logits, labels) return logits:square():mean() end" + settings) != builtIn)
  }

  @Test func scoresHaveTheLogitsShape() throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      try AtomicFile.write("text\tscore\nthe good film\t4.5\nthe bad plot\t1\nfine music\t3\n", to: data + "/scores.tsv")
      func fit(_ loss: String) throws -> [String] {
        try host.printed(
          """
          local base = models.from_config { config = '\(data)' }
          local task = tasks.table { train_file = '\(data)/scores.tsv', validation_files = { '\(data)/scores.tsv' },
            text_column = 'text', label_column = 'score', problem_type = 'regression' }
          local model = base:classifier { task = task }:add_adapter(adapters.lora { r = 2 })
          local result = trainer.fit { model = model, task = task, num_train_epochs = 2, max_length = 16, \(loss) }
          print(string.format('%a', result.metrics.eval_loss))
          """ + Self.report)
      }
      let builtIn = try fit("")
      #expect(try fit("loss = function(logits, labels) return logits:mse_loss(labels) end") == builtIn)
      #expect(try fit("loss = function(logits, labels) return (logits - labels):abs():mean() end") != builtIn)
    }
  }

  private static let metrics = """
    function(predictions, labels, logits)
      assert(#predictions == 6 and #labels == 6 and #logits == 6 and math.type(predictions[1]) == 'integer')
      local right, ones = 0, 0
      for i, p in ipairs(predictions) do
        assert(logits:argmax(1):get(i - 1) == p)
        if p == labels[i] then right = right + 1 end
        if p == 1 then ones = ones + 1 end
      end
      return { share = right / #labels, eval_ones = ones }
    end
    """

  /// The script's metrics stand beside the task's, choose the best evaluation, and may stop the training.
  @Test func metricsEqualTheBuiltInOne() throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      func fit(_ settings: String) throws -> [String] {
        try host.printed(
          TinyTask.script(data, "load_best_model_at_end = true, " + settings) + """
            local model = make()
            local o = options(model)
            o.on_evaluate = function(t, metrics) print('eval', metrics.eval_accuracy, metrics.eval_share or metrics.eval_accuracy) end
            local result = trainer.fit(o)
            print('end', result.metrics.eval_accuracy, result.metrics.eval_share or result.metrics.eval_accuracy)
            """ + Self.report)
      }
      let own = try fit("compute_metrics = \(Self.metrics), metric_for_best_model = 'share'")
      #expect(try own == fit("metric_for_best_model = 'accuracy'"))
      #expect(try own == fit("compute_metrics = \(Self.metrics), metric_for_best_model = 'eval_share'"))
      let evaluated = try host.printed(
        TinyTask.script(data, "compute_metrics = \(Self.metrics)") + """
          local metrics = trainer.evaluate(options(make()))
          print(metrics.eval_share == metrics.eval_accuracy, metrics.eval_ones, trainer.loop(options(make())):evaluate().eval_ones)
          """)
      #expect(evaluated.first?.hasPrefix("true\t") == true)
    }
  }

  /// A run with all three stops and goes on with the same bits, and an equal run is taken from the store.
  @Test func resumedRunEndsWithTheSameBits() throws {
    func printed(interrupted: Bool) throws -> [String] {
      try withTemporaryFolder { data in
        try TinyTask.write(to: data)
        var script: String {
          TinyTask.script(
            data,
            """
            save_seconds = 0, loss = \(Self.crossEntropy), compute_metrics = \(Self.metrics), metric_for_best_model = 'share',
            lr_scheduler_type = function(step, total) return 1 - step / total end
            """) + """
              local model = make()
              local o = options(model)
              local first
              o.on_step = function(t)
                first = first or t.step
                \(TinyTask.stop)
              end
              local result = trainer.fit(o)
              print(first)
              print(result.metrics.eval_share, result.metrics.eval_loss)
              """ + Self.report
        }
        if interrupted {
          let failure = try ScriptHost.with(in: data, stopping: true) { host, _ in try host.failure(script) }
          #expect(failure?.contains("stop") == true)
        }
        let lines = try ScriptHost.with(in: data) { host, _ in try host.printed(script) }
        #expect(TinyTask.wentOn(lines.first) == interrupted)
        let reused = try ScriptHost.with(in: data) { host, _ in try host.printed(script) }
        #expect(reused == ["nil"] + lines.dropFirst())
        return Array(lines.dropFirst())
      }
    }
    #expect(try printed(interrupted: true) == printed(interrupted: false))
  }

  /// Results are found by what functions compute, captured values included.
  @Test func functionsArePartOfTheKey() throws {
    let schedules: [(before: String, schedule: String)] = [
      ("", "'constant'"),
      ("", "function() return 1.0 end"),
      ("", "function() --[[ a comment ]] return 1.0 end"),
      ("", "function() return 0.5 end"),
      ("local p = 2", "function(s, n) return (1 - s / n) ^ p end"),
      ("local p = 3", "function(s, n) return (1 - s / n) ^ p end"),
      ("local p = { 3 }", "function(s, n) return (1 - s / n) ^ p[1] end"),
      ("local p = { 4 }", "function(s, n) return (1 - s / n) ^ p[1] end"),
      ("local p = { x = 4, y = true, [2.5] = 'a' }", "function(s, n) return (1 - s / n) ^ p.x end"),
      ("local p = { y = true, [2.5] = 'a', x = 4 }", "function(s, n) return (1 - s / n) ^ p.x end"),
      ("local p = { x = 4, y = false, [2.5] = 'a' }", "function(s, n) return (1 - s / n) ^ p.x end"),
      ("local f = function(x) return x end", "function(s, n) return f(1 - s / n) end"),
      ("local f = function(x) return x * x end", "function(s, n) return f(1 - s / n) end"),
      ("local t = tensor({ 1, 2 })", "function(s, n) return t:get(0) end"),
      ("local t = tensor({ 1, 3 })", "function(s, n) return t:get(0) end"),
      ("local p = {} p.own = p", "function(s, n) return p.own and 1 end"),
      ("local p = params { power = 2 }", "function(s, n) return (1 - s / n) ^ p.power end"),
      ("local p = params { power = 3 }", "function(s, n) return (1 - s / n) ^ p.power end"),
    ]
    let keys = try withTemporaryFolder { data in
      try TinyTask.write(to: data)
      return try schedules.map { before, schedule in
        try ScriptHost.with { host, _ in
          try host.printed(
            before + "\n" + TinyTask.script(data, "max_steps = 1, eval_strategy = 'no', lr_scheduler_type = \(schedule)")
              + "print(trainer.fit(options(make())).key)")
        }
      }
    }
    #expect(keys[1] == keys[2] && keys[8] == keys[9])
    #expect(Set(keys).count == schedules.count - 2)
  }

  /// What `perigee check` tells of a script with functions: names of metrics, and mistakes.
  @Test func checksCallTheFunctions() throws {
    try ScriptHost.with(mode: .check) { host, data in
      try TinyTask.write(to: data)
      func script(_ settings: String) -> String {
        TinyTask.script(data, settings) + "for name in pairs(trainer.fit(options(make())).metrics) do print(name) end"
      }
      let names = try host.printed(script("compute_metrics = function(p, l) return { mine = 0 / 0, eval_other = #p } end"))
      #expect(Set(names) == ["eval_loss", "eval_accuracy", "eval_mine", "eval_other"])
      #expect(try host.failure(script("compute_metrics = function(p, l) return { mine = p.x.y } end"))?.contains("t.lua:9: attempt to index") == true)
      #expect(try !host.printed(script("loss = \(Self.crossEntropy)")).isEmpty)
      #expect(try host.failure(script("loss = function(logits) return logits end"))?.contains("returned a tensor of [4, 2] float32") == true)
      #expect(try host.failure(script("lr_scheduler_type = function() return 'a' end"))?.contains("returned a string for step 0") == true)
    }
  }

  @Test(arguments: [
    (
      "lr_scheduler_type = function(s) return s == 2 and 'a' or 1 end",
      "t.lua:9: the function 'lr_scheduler_type' returned a string for step 2: expected a finite number of at least 0"
    ),
    ("lr_scheduler_type = function() return 0 / 0 end", "returned nan for step 0"),
    ("lr_scheduler_type = function() return math.huge end", "returned inf for step 0"),
    ("lr_scheduler_type = function() return -1 end", "returned -1.0 for step 0"),
    ("lr_scheduler_type = function() end", "returned nothing for step 0"),
    ("lr_scheduler_type = function() error('mine') end", "t.lua:9: mine"),
    ("warmup_steps = 2, lr_scheduler_type = function() return 1 end", "'warmup_steps' has no meaning with a function as lr_scheduler_type"),
    (
      "lr_scheduler_type = (function() local p = {} for i = 1, 300 do p = { p } end return function() return p and 1 end end)()",
      "a function that takes part in a training has captured too many tables, or too deep ones"
    ),
    ("loss = function() return 1 end", "t.lua:9: the function 'loss' returned 1.0: expected a scalar float32 tensor with a gradient"),
    ("loss = function() end", "the function 'loss' returned nothing: expected a scalar float32 tensor"),
    (
      "loss = function(logits) return logits end",
      "returned a tensor of [4, 2] float32: expected a scalar float32 tensor with a gradient; reduce it with :mean()"
    ),
    ("loss = function(logits) return logits:detach():mean() end", "returned a tensor that does not depend on the logits: expected"),
    ("loss = function(logits, labels) return labels:sum() end", "returned a tensor of [] int32: expected"),
    ("loss = function(logits) return logits:mean() * (0 / 0) end", "step 1: the loss is "),
    ("loss = function(logits) return logits:nothing() end", "t.lua:9: "),
    ("loss = function(logits) return logits:mean() end, label_smoothing_factor = 0.1", "label_smoothing_factor with a loss of the script's own"),
    ("loss = 3", "'loss' must be a function, got 3"),
    (
      "compute_metrics = function() return 1 end",
      "t.lua:9: the function 'compute_metrics' returned 1.0: expected a table of names and finite numbers"
    ),
    ("compute_metrics = function() return {} end", "returned an empty table"),
    (
      "compute_metrics = function() return { 1 } end",
      "returned a value without a name: expected a table of names and finite numbers; write { name = number }"
    ),
    ("compute_metrics = function() return { a = 'b' } end", "returned a string as 'a': expected"),
    ("compute_metrics = function() return { a = 0 / 0 } end", "returned nan as 'a': expected"),
    ("compute_metrics = function() return { loss = 1 } end", "returned the name 'loss': expected another one: eval_loss is the loss itself"),
    (
      "compute_metrics = function() return { mine = 1 } end, metric_for_best_model = 'mind'",
      "metric_for_best_model = 'eval_mind': the evaluation has no such metric; did you mean 'eval_mine'?"
    ),
  ])
  func mistakesAreExplained(settings: String, message: String) throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let failure = try #require(try host.failure(TinyTask.script(data, settings) + "trainer.fit(options(make()))"))
      #expect(failure.contains(message), "\(failure)")
    }
  }

  @Test func loopsComputeTheirOwnLoss() throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let failure = try host.failure(
        TinyTask.script(data, "loss = function(logits) return logits:mean() end") + "trainer.loop(options(make()))")
      #expect(failure?.contains("trainer.loop: 'loss' has no meaning here: the loop computes the loss itself") == true)
      // A schedule of the script's own counts there too.
      let rates = try host.printed(
        TinyTask.script(data, "lr_scheduler_type = function(step) return 2 ^ -step end") + """
          local t = trainer.loop(options(make()))
          for i = 1, 3 do print(t.current_learning_rate) t:update() end
          """)
      #expect(rates.map { Double($0) } == [5e-3, 2.5e-3, 1.25e-3])
    }
  }
}
