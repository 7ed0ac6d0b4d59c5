import TestSupport
import Testing

/// Which adapters of a model take part, and what keeps to it.
@Suite(.engine) struct AdapterSwitchingTests {
  /// `pair()` is a model with the adapters `a` and `b`, which change what it computes; `score(model)` its answer as text.
  private static func script(_ folder: String) -> String {
    TinyTask.script(folder, "max_steps = 3") + """
      local texts = { 'good film', 'bad plot the music was fine' }
      local function score(model)
        local out = {}
        for i, p in ipairs(model:predict(texts)) do out[i] = string.format('%.9g', p.probabilities.yes) end
        return table.concat(out, ' ')
      end
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
}
