import TestSupport
import Testing

/// Scripts that choose among the models that an adapter holds, with the libraries in `lua`.
@Suite(.engine) struct AdapterChoiceTests {
  private static let settings = "eval_strategy = 'no', save_seconds = 0"

  private static func script(_ folder: String, _ adapter: String) -> String {
    TinyTask.script(folder, settings) + """

      local model = base:classifier { task = task }:add_adapter(adapters.\(adapter))
      local o = options(model)
      o.num_train_epochs = 1
      trainer.fit(o)

      """
  }

  @Test func everyRankIsEvaluated() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.script(folder, "dylora { r = 4, target_modules = 'all-linear' }") + """
          local rows = require('dylora_ranks').evaluate { model = model, task = task, ranks = { 1, 2, 4 }, options = { max_length = 32 } }
          for _, r in ipairs { 1, 2, 4 } do
            model:set_rank { r = r }
            local direct = trainer.evaluate { model = model, task = task, max_length = 32 }
            print(direct.eval_loss == rows[r].eval_loss, string.format('%a', direct.eval_loss))
          end
          print(rows[3])
          """)
      #expect(lines.last == "nil")
      #expect(lines.dropLast().allSatisfy { $0.hasPrefix("true") } && Set(lines.dropLast()).count == 3, "\(lines)")
      let text = try host.failure(Self.script(folder, "dylora { r = 4 }") + "model:set_rank { r = 5 }")
      #expect(text?.contains("set_rank: r = 5: expected 1 to 4") == true, "\(text ?? "")")
    }
  }

  private static let search = """
    local search = require('glora_search')
    local function run(seed)
      return search.run { model = model, task = task, metric = 'eval_loss', options = { max_length = 32 }, population = 8,
        generations = 3, keep = 3, mutants = 3, crossovers = 3, min_parameters = 100, max_parameters = 500, seed = seed }
    end

    """

  @Test func searchIsDeterministicAndKeepsItsBounds() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.script(folder, "glora { r = 2, supernet = true }") + Self.search + """
          local a, b, c = run(1), run(1), run(2)
          local function text(found)
            local words = {}
            for _, forms in ipairs(found.configurations) do
              for _, part in ipairs(search.parts) do words[#words + 1] = forms[part] end
            end
            return table.concat(words, ' ') .. string.format(' %a %d', found.score, found.parameters)
          end
          print(text(a) == text(b), text(a) ~= text(c), a.evaluated)
          print(a.parameters >= 100 and a.parameters <= 500 and a.parameters == search.parameters(model:glora_layers(), a.configurations))
          print(#a.history, a.history[1] <= a.history[2] and a.history[2] <= a.history[3], a.history[3] == a.score)
          -- The model is left with the best.
          local direct = trainer.evaluate { model = model, task = task, max_length = 32 }
          print(direct.eval_loss == c.score)
          local chosen = model:glora_layers()
          print(chosen[1].A == c.configurations[1].A and chosen[4].E == c.configurations[4].E)
          model:merge()
          local merged = trainer.evaluate { model = model, task = task, max_length = 32 }
          print(math.abs(merged.eval_loss - c.score) < 1e-4)
          model:unmerge()
          model:set_glora {}
          print(model:glora_layers()[1].A)
          """)
      #expect(lines == ["true\ttrue\t24", "true", "3\ttrue\ttrue", "true", "true", "true", "nil"], "\(lines)")
    }
  }

  /// The search finds what a score asks for that it can reach gene by gene.
  @Test func searchClimbs() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        Self.script(folder, "glora { r = 2, supernet = true }") + """
          local search = require('glora_search')
          local found = search.run { model = model, population = 20, generations = 60, keep = 5, mutants = 10, crossovers = 10,
            evaluate = function(model)
              local score = 0
              for _, layer in ipairs(model:glora_layers()) do
                for _, part in ipairs(search.parts) do if layer[part] == 'vector' then score = score + 1 end end
              end
              return score
            end }
          print(found.score, found.history[1] < found.score)
          local ok, text = pcall(search.run, { model = model, min_parameters = 10, max_parameters = 5, evaluate = function() return 0 end })
          print(text)
          local _, none = pcall(search.run, { model = model, min_parameters = 1e6, max_parameters = 1e7, evaluate = function() return 0 end })
          print(none)
          """)
      #expect(lines.first == "20\ttrue", "\(lines)")
      #expect(lines.contains { $0.contains("min_parameters = 10 is more than max_parameters = 5") }, "\(lines)")
      #expect(lines.contains { $0.contains("none of 500 random candidates has") }, "\(lines)")
    }
  }

  @Test func mistakesAreNamed() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let setup = Self.script(folder, "glora { r = 2, supernet = true }")
      for (call, expected) in [
        (
          "model:set_glora { configurations = { { A = 'lora', B = 'lora', C = 'lora', D = 'vector', E = 'vector' } } }",
          "set_glora: 1 configurations for 4 layers"
        ),
        ("model:set_glora { configurations = { { A = 'lora', B = 'lora', C = 'constant', D = 'vector', E = 'vector' } } }", "configurations[1]"),
        ("model:set_rank { r = 1 }", "is of method 'glora', expected 'dylora'"),
      ] {
        let text = try host.failure(setup + call)
        #expect(text?.contains(expected) == true, "\(text ?? "")")
      }
    }
  }
}
