import Diagnostics
import TestSupport
import Testing

/// Functions of a script that change the scores while a model writes.
@Suite(.engine) struct LogitsProcessorTests {
  private func printed(_ script: String) throws -> [String] {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      return try ScriptHost.with(in: folder) { host, _ in try host.printed(WritingTask.script(folder) + "local model = make()\n" + script) }
    }
  }

  /// What it is given, and that scores changed in place and returned ones count in every search.
  @Test(arguments: ["", ", num_beams = 3", ", num_beams = 3, beam_search = 'lora'", ", do_sample = true"])
  func changedScoresCount(_ search: String) throws {
    let lines = try printed(
      """
      local seen = {}
      local function generate(processor)
        return model:generate('red, dog', { max_new_tokens = 4, return_dict_in_generate = true, logits_processor = processor\(search) }).tokens
      end
      local prompt
      -- The fifth token each time, and the seventh behind it.
      local function force(tokens, scores)
        prompt = prompt or #tokens
        seen[#tokens - prompt] = scores
        for id = 0, #scores - 1 do if id ~= (#tokens == prompt and 5 or 7) then scores:set(-math.huge, id) end end
      end
      print(table.concat(generate(force), ' '), seen[0] ~= nil, seen[4])
      print(table.concat(generate(function(tokens, scores) local new = tensor.zeros({ #scores }) - 1e4 new:set(0, 9) return new end), ' '))
      print(table.concat(generate(function() end), ' ') == table.concat(generate(nil), ' '))
      """)
    #expect(lines == ["5 7 7 7\ttrue\tnil", "9 9 9 9", "true"])
  }

  /// It sees what the options' rules made of the scores, and the limits of a draw see what it made of them.
  @Test func itStandsBetweenTheRulesAndTheDraw() throws {
    let lines = try printed(
      """
      local best = model:generate('red, dog', { max_new_tokens = 1, return_dict_in_generate = true }).tokens[1]
      local function without(tokens, scores) scores:set(-math.huge, best) end
      local drawn = model:generate('red, dog', { max_new_tokens = 1, do_sample = true, top_k = 1, return_dict_in_generate = true, logits_processor = without })
      local greedy = model:generate('red, dog', { max_new_tokens = 1, return_dict_in_generate = true, logits_processor = without })
      print(drawn.tokens[1] == greedy.tokens[1], drawn.tokens[1] ~= best)
      local seen
      model:generate('red, dog', { max_new_tokens = 3, min_new_tokens = 3, eos_token_id = 4, logits_processor = function(_, scores) seen = scores:get(4) end })
      print(seen)
      """)
    #expect(lines == ["true\ttrue", "-inf"])
  }

  /// Mistakes have the function's place; the model stays as it is.
  @Test(arguments: [
    ("return 5", "the function 'logits_processor' returned 5.0: expected a float32 tensor [286] of numbers, or nothing"),
    ("return scores:slice(0, 0, 5)", "returned a tensor of"), ("return scores * (0/0)", "returned a score of nan"),
    ("scores:set(math.huge, 3)", "returned a score of inf"), ("error('mine')", "t.lua:15: mine"),
    ("for i = 0, #scores - 1 do scores:set(-math.huge, i) end", "no token may follow after 0 new ones"),
    ("model:add_adapter(adapters.lora { r = 1 })", "add_adapter: the model is writing"), ("model:merge()", "merge: the model is writing"),
    ("model:parameter('transformer.wte.weight'):fill_(0)", "is a frozen parameter of a model that is being trained, or writes"),
  ])
  func mistakesAreTold(_ body: String, _ message: String) throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        let script =
          WritingTask.script(folder) + """
            local model = make()

            model:generate('red', { logits_processor = function(tokens, scores) \(body) end })
            """
        let failure = try host.failure(script)
        #expect(failure?.contains(message) == true, "\(failure ?? "none")")
        // The model is free again.
        #expect(try host.failure(WritingTask.script(folder) + "make():add_adapter(adapters.lora { r = 1 })") == nil)
      }
    }
  }

  /// An evaluation's function is part of the stage's key, with what it captured; without an evaluation that writes it is a mistake.
  @Test func itIsPartOfAStagesKey() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      func run(_ id: Int, more: String = "") throws -> [String] {
        try ScriptHost.with(in: folder) { host, _ in
          try host.printed(
            WritingTask.script(folder) + """
              local id = \(id)
              local result = trainer.fit(options(make(), { max_steps = 1, logits_processor = function(tokens, scores) scores:set(1e4, id) end }))
              local out = trainer.predict { model = make(), task = task, max_length = 32, logits_processor = function(tokens, scores) scores:set(1e4, id) end }
              print(result.reused, out.reused, result.metrics.eval_ter, #out.texts[1])
              """)
        }
      }
      let first = try run(40)
      #expect(first[0].hasPrefix("false\tfalse\t"))
      #expect(try run(40) == [first[0].replacing("false", with: "true")])
      #expect(try run(41)[0].hasPrefix("false\tfalse\t"))
      try ScriptHost.with(in: folder) { host, _ in
        let failure = try host.failure(
          WritingTask.script(folder) + "trainer.fit { model = make(), task = task, max_length = 32, logits_processor = function() end }")
        #expect(failure?.contains("logits_processor is given, but nothing is written; give generation too") == true, "\(failure ?? "none")")
      }
    }
  }
}
