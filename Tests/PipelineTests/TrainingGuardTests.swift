import Files
import TestSupport
import Testing

/// What a script's functions may do to a model while it is trained: nothing that a stored result would not hold.
@Suite(.engine) struct TrainingGuardTests {
  private static let beginning = "local model = make()\nlocal o = options(model)\n"

  /// Each is an error with its line, on whatever way it comes, and nothing is stored.
  @Test(arguments: [
    ("model:add_adapter(adapters.lora { r = 1, adapter_name = 'b' })", "add_adapter: the model is being trained"),
    ("alias:add_adapter(adapters.lora { r = 1, adapter_name = 'b' })", "add_adapter: the model is being trained"),
    ("model:delete_adapter('default')", "delete_adapter: the model is being trained"),
    ("model:set_adapter('default')", "set_adapter: the model is being trained"),
    (
      "model:add_weighted_adapter { adapters = { 'default' }, weights = { 1 }, adapter_name = 'c' }",
      "add_weighted_adapter: the model is being trained"
    ),
    ("model:enable_adapters(false)", "enable_adapters: the model is being trained"),
    ("model:merge()", "merge: the model is being trained"),
    ("model:unmerge()", "unmerge: the model is being trained"),
    ("model:load_adapter('x')", "load_adapter: the model is being trained"),
    ("model:new_head { task = task }", "new_head: the model is being trained"),
    ("model:classifier { task = task }", "new_head: the model is being trained"),
    ("model:set_rank { r = 1 }", "set_rank: the model is being trained"),
    ("model:set_glora {}", "set_glora: the model is being trained"),
    ("model:eval()", "eval: the model is being trained"),
    ("model:train()", "train: the model is being trained"),
    ("trainer.fit(options(model))", "trainer.fit: the model is being trained"),
    ("trainer.loop(options(model))", "trainer.loop: the model is being trained"),
    ("t:update()", "update: the model is being trained"),
    ("model:parameter(frozen):fill_(0)", "float32 is a frozen parameter of a model that is being trained, or writes: no"),
    ("model:parameter(frozen):add_(1)", "add_: "), ("model:parameter(frozen):mul_(2)", "mul_: "), ("model:parameter(frozen):sub_(1)", "add_: "),
    ("model:parameter(frozen):copy_(tensor.zeros(1))", "copy_: "), ("model:parameter(frozen):set(1, 0)", "set: "),
    ("model:parameter(frozen):detach():zero_()", "fill_: "),
    ("require 'sweep'", "require: 'sweep' is read for the first time while a model is trained"),
  ])
  func changesThatNoResultHoldsAreRefused(change: String, message: String) throws {
    for role in ["on_step = function(t)", "on_evaluate = function(t)", "loss = function(logits, labels) local t = { update = function() end }"] {
      // The loss gets no trainer.
      if role.hasPrefix("loss"), change.hasPrefix("t:") { continue }
      try ScriptHost.with { host, folder in
        try TinyTask.write(to: folder)
        let end = role.hasPrefix("loss") ? "return logits:cross_entropy(labels) end" : "end"
        let script =
          TinyTask.script(folder, "max_steps = 2") + Self.beginning + """
            local alias, frozen = model, 'bert.encoder.layer.0.output.LayerNorm.weight'
            for _, p in ipairs(model:parameters()) do
              if not p.trainable and p.name:find('LayerNorm.weight') then frozen = p.name end
            end
            o.\(role)
              \(change)
            \(end)
            trainer.fit(o)
            """
        let failure = try #require(try host.failure(script), "\(role) \(change)")
        #expect(failure.contains("t.lua:") && failure.contains(message), "\(failure)")
        #expect(!fileExists(folder + "/run/stages"))
        let stored = try AtomicFolder.names(in: folder + "/store/stages-3").filter { !$0.hasSuffix(".partial") }
        #expect(stored.isEmpty)
        // The model is free again.
        #expect(try host.failure("local a = 1") == nil)
      }
    }
  }

  /// A parameter that could train for a moment, was changed, and is frozen again.
  @Test func aChangeInBetweenIsFound() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      func script(_ change: String) -> String {
        TinyTask.script(folder, "max_steps = 2") + Self.beginning + """
          o.on_step = function(t)
            model:unfreeze('layer.0.output.LayerNorm')
            \(change)
            model:freeze('layer.0.output.LayerNorm')
          end
          trainer.fit(o)
          """
      }
      let name = "layer.0.output.LayerNorm.weight"
      let write =
        "for _, p in ipairs(model:parameters()) do if p.name:find('\(name)', 1, true) then tensor.no_grad(function() model:parameter(p.name):fill_(2) end) end end"
      let failure = try host.failure(script(write))
      #expect(failure?.contains("a callback changed '") == true && failure?.contains("\(name)', which is frozen") == true, "\(failure ?? "")")
      #expect(try host.failure(script("")) == nil)
    }
  }

  /// What callbacks may do, they may do.
  @Test func whatResultsHoldIsAllowed() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "max_steps = 4, save_seconds = 0") + Self.beginning + """
          o.on_step = function(t)
            if t.step == 2 then t:unfreeze('layer.1.output.LayerNorm') end
            if t.step == 2 then t:freeze('lora_A') t.learning_rate = 1e-4 end
            tensor.no_grad(function() model:parameter('classifier.bias'):fill_(0.25) end)
            model:predict { 'good film' }
            t:evaluate()
            if t.step == 1 then model:save_adapter('early') end
            log.metrics { stage = 'mine', step = t.step }
            if t.step == 3 then t:stop() end
          end
          local r = trainer.fit(o)
          print(r.steps, model:parameter('classifier.bias'):get(0))
          model:merge()
          model:unmerge()
          model:add_adapter(adapters.lora { adapter_name = 'b' })
          """)
      #expect(lines == ["3\t0.25"])
    }
  }

  /// The model's own methods count like the trainer's: what they let train trains, in the next update.
  @Test(arguments: ["t", "model"]) func whatIsUnfrozenTrains(who: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "max_steps = 3") + Self.beginning + """
          local name
          for _, p in ipairs(model:parameters()) do if p.name:find('layer.1.output.LayerNorm.weight', 1, true) then name = p.name end end
          local before = model:parameter(name):clone()
          o.on_step = function(t) if t.step == 1 then \(who):unfreeze('layer.1.output.LayerNorm') end end
          trainer.fit(o)
          print((model:parameter(name) - before):abs():max():item() > 0)
          """)
      #expect(lines == ["true"])
    }
  }

  private static let draws = """
    o.on_step = function(t) print(t.step, math.random(1000000), tensor.rand(1):item()) end
    o.lr_scheduler_type = function(step) return math.random() end
    o.compute_metrics = function() return { drawn = math.random() } end
    """

  /// Random numbers of callbacks are a function of the seed and the step: not of what was drawn before, and not of where a run
  /// was cut off. What is drawn after a training does not depend on whether it was trained or found.
  @Test func drawsAreAFunctionOfTheStep() throws {
    func run(_ before: String, in folder: String, stopping: Bool = false, seed: Int = 42) throws -> [String] {
      try ScriptHost.with(seed: seed, in: folder, stopping: stopping) { host, _ in
        let script =
          TinyTask.script(folder, "save_seconds = 0, max_steps = 8") + Self.beginning + before + "\n" + Self.draws
          + "\nlocal inner = o.on_step\no.on_step = function(t) inner(t) \(TinyTask.stop) end\n"
          + "local r = trainer.fit(o)\nprint('end', r.metrics.eval_drawn, r.metrics.eval_loss)\nprint('after', math.random(1000000), tensor.rand(1):item())"
        if stopping {
          #expect(try host.failure(script)?.contains("stop") == true)
          return []
        }
        return try host.printed(script)
      }
    }
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      _ = try run("", in: folder, stopping: true)
      let resumed = try run("", in: folder)
      let found = try run("", in: folder)
      try AtomicFolder.move(folder + "/store", to: folder + "/earlier")
      let whole = try run("", in: folder)
      #expect(resumed.count > 2 && resumed.count < whole.count)
      #expect(Array(whole.suffix(resumed.count)) == resumed && found == Array(whole.suffix(2)))
      try AtomicFolder.move(folder + "/store", to: folder + "/earlier-2")
      let drawn = try run("for i = 1, 3 do math.random() tensor.rand(1) end", in: folder)
      #expect(drawn.dropLast() == whole.dropLast() && drawn.last != whole.last)
      #expect(Set(whole.dropLast(2).map { $0.split(separator: "\t").last }).count == 8)
      let other = try run("", in: folder, seed: 43)
      #expect(other.first != whole.first)
    }
  }
}
