import TestSupport
import Testing

/// Which adapters of a model take part, and what keeps to it.
@Suite(.engine) struct AdapterSwitchingTests {
  /// `pair()` is a model with the adapters `a` and `b`, which change what it computes; `score(model)` its answer as text.
  private static func script(_ folder: String) -> String {
    TinyTask.script(folder, "max_steps = 3") + TinyTask.score() + """
      local function pair()
        local model = base:classifier { task = task }
        for i, name in ipairs { 'a', 'b' } do
          model:add_adapter(adapters.lora { adapter_name = name, r = 4, lora_alpha = 16, init_lora_weights = false, seed = i,
            modules_to_save = {} })
        end
        return model
      end
      local weight = 'bert.encoder.layer.0.attention.self.query.weight'

      """
  }

  /// What takes part after a merge, as after none.
  @Test(arguments: [
    "model:set_adapter('b')", "model:set_adapter({ 'a', 'b' })", "model:enable_adapters(false)",
    "model:add_weighted_adapter { adapters = { 'a', 'b' }, weights = { 0.5, 2 }, adapter_name = 'c' }",
  ])
  func whatTakesPartComesOutOfTheWeightsFirst(_ change: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.script(folder) + """
          local function scoreOf(isMerged)
            local model = pair()
            model:set_adapter('a')
            local before = model:parameter(weight):tolist()
            if isMerged then model:merge() end
            \(change)
            local after = model:parameter(weight):tolist()
            local isSame = true
            for i, row in ipairs(before) do for j, x in ipairs(row) do isSame = isSame and x == after[i][j] end end
            return score(model), isSame
          end
          local plain, merged, isSame = scoreOf(false), scoreOf(true)
          print(plain == merged, isSame)
          """)
      #expect(lines == ["true\ttrue"], "\(lines)")
    }
  }

  /// Asking for what is the case already takes nothing back.
  @Test func whatStaysTheSameStaysMerged() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.script(folder) + """
          local model = pair()
          local both = model:parameter(weight):clone()
          model:merge()
          local merged = score(model)
          model:set_adapter({ 'a', 'b' })
          model:enable_adapters(true)
          print(score(model) == merged, (model:parameter(weight) - both):norm():item() > 0)
          """)
      #expect(lines == ["true\ttrue"], "\(lines)")
    }
  }

  /// A model for another task computes with the adapters that took part, and no others.
  @Test(arguments: [
    ("model:set_adapter('b')", "a- b+"), ("model:set_adapter({ 'a', 'b' })", "a+ b+"), ("model:enable_adapters(false)", "a+ b+"),
    ("model:add_weighted_adapter { adapters = { 'a', 'b' }, weights = { 0.5, 2 }, adapter_name = 'c' }", "a- b- c+"),
  ])
  func newHeadKeepsWhatTakesPart(_ change: String, _ active: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.script(folder) + """
          local function delta(model)
            local before = model:parameter(weight):clone()
            model:merge()
            local norm = string.format('%a', (model:parameter(weight) - before):norm():item())
            model:unmerge()
            return norm
          end
          local model = pair()
          \(change)
          local next = model:new_head { num_labels = 3 }
          local names = {}
          for i, adapter in ipairs(next.adapters) do names[i] = adapter.name .. (adapter.active and '+' or '-') end
          print(table.concat(names, ' '))
          print(delta(next) == delta(model))
          """)
      #expect(lines == [active, "true"], "\(lines)")
    }
  }

  /// A stage is reused only for a model whose adapters take part as they did.
  @Test func stagesOfOtherActiveAdaptersAreNotReused() throws {
    let changes = [
      "model:set_adapter({ 'a', 'b' }, { inference_mode = true })", "model:set_adapter('a', { inference_mode = true })",
      "model:set_adapter('b', { inference_mode = true })",
      "model:set_adapter({ 'a', 'b' }, { inference_mode = true }) model:enable_adapters(false)",
      "model:set_adapter('a', { inference_mode = true }) model:merge()",
      "model:set_adapter('a', { inference_mode = true })",
    ]
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      for (i, change) in changes.enumerated() {
        let lines = try ScriptHost.with(in: folder) { host, folder in
          try host.printed(
            Self.script(folder) + """
              local model = pair()
              \(change)
              model:unfreeze('classifier')
              local result = trainer.fit(options(model))
              local direct = trainer.evaluate { model = model, task = task, max_length = 32 }
              print(result.reused, result.metrics.eval_loss == direct.eval_loss)
              """)
        }
        #expect(lines == ["\(i == changes.count - 1)\ttrue"], "\(change): \(lines)")
      }
    }
  }

  /// `train(model, adapter)` trains a new adapter, alone, and returns the answer.
  private static func training(_ folder: String) -> String {
    script(folder) + """
      local function train(model, adapter)
        model:add_adapter(adapter)
        model:set_adapter(model.adapters[#model.adapters].name)
        trainer.fit { model = model, task = task, max_steps = 6, max_length = 32, learning_rate = 3e-2, per_device_train_batch_size = 4 }
        return score(model)
      end
      local function lora(name, bias) return adapters.lora { adapter_name = name, r = 4, bias = bias } end

      """
  }

  /// Every adapter has the biases that it trained.
  @Test(arguments: [
    ("lora('a', 'all')", "lora('b', 'all')"), ("lora('a', 'lora_only')", "lora('b', 'lora_only')"),
    ("lora('a', 'all')", "lora('b', 'lora_only')"), ("adapters.bitfit { adapter_name = 'a' }", "lora('b', 'all')"),
    ("lora('a', 'all')", "adapters.bitfit { adapter_name = 'b' }"),
  ])
  func biasesGoWithTheirAdapter(_ first: String, _ second: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.training(folder) + """
          local model = base:classifier { task = task }
          local a = train(model, \(first))
          model:save_adapter('early', { adapter_name = 'a' })
          local b = train(model, \(second))
          model:set_adapter('a')
          print(a ~= b, score(model) == a)
          model:set_adapter('b')
          print(score(model) == b)
          model:save_adapter('late', { adapter_name = 'a' })
          for _, name in ipairs { 'early', 'late' } do
            local other = base:classifier { task = task }
            other:load_adapter('\(folder)/run/' .. name)
            print(score(other) == a)
          end
          """)
      #expect(lines == ["true\ttrue", "true", "true", "true"], "\(lines)")
    }
  }

  /// A model for another task has the biases that take part.
  @Test(arguments: ["'all'", "'lora_only'"]) func newHeadHasTheBiases(_ bias: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.training(folder) + """
          local model = base:classifier { task = task }
          train(model, lora('a', \(bias)))
          train(model, lora('b', \(bias)))
          local function same(x, y)
            local count = 0
            for _, p in ipairs(x:parameters()) do
              if p.name:find('bias') and not p.name:find('classifier') then
                count = count + 1
                if (x:parameter(p.name) - y:parameter(p.name)):norm():item() > 0 then return false end
              end
            end
            return count > 0
          end
          for _, name in ipairs { 'b', 'a' } do
            model:set_adapter(name)
            local next = model:new_head { num_labels = 3 }
            print(same(next, model), same(next, base:classifier { num_labels = 3 }))
            model:set_adapter(name == 'a' and 'b' or 'a')
            next:set_adapter(name == 'a' and 'b' or 'a')
            print(same(next, model))
          end
          """)
      #expect(lines == ["true\tfalse", "true", "true\tfalse", "true"], "\(lines)")
    }
  }

  /// The head of another adapter in the model is no difference between an adapter and its export.
  @Test func exportHasItsOwnHead() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.training(folder) + """
          local model = base:classifier { task = task }
          local a = train(model, lora('a', 'none'))
          local b = train(model, lora('b', 'none'))
          model:merge()
          local merged = score(model)
          model:export_lora('a', { adapter_name = 'a' })
          print(score(model) == merged)
          model:enable_adapters(false)
          model:export_lora('b', { adapter_name = 'b' })
          model:enable_adapters(true)
          print(score(model) == b)
          for name, answer in pairs { a = a, b = b } do
            local other = base:classifier { task = task }
            other:load_adapter('\(folder)/run/' .. name)
            print(score(other) == answer)
          end
          """)
      #expect(lines == ["true", "true", "true", "true"], "\(lines)")
    }
  }
}
