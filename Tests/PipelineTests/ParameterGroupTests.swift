import Files
import TestSupport
import Testing

/// Parameters with a learning rate and a weight decay of their own.
@Suite(.engine) struct ParameterGroupTests {
  /// Prints every parameter that trains or was trained, to the bit.
  private static let report = """

    for _, p in ipairs(model:parameters()) do
      if p.trainable then print(p.name, string.format('%a', model:parameter(p.name):double():square():sum():item())) end
    end
    """

  private static let settings = """
    save_seconds = 0, eval_strategy = 'no', logging_steps = 1, warmup_steps = 2, max_grad_norm = 0, learning_rate = 4e-3,
    parameter_groups = {
      { params = 'classifier', learning_rate = 2e-2, weight_decay = 0.3 },
      { params = { 'lora_B', 'classifier' }, learning_rate = 1e-2 },
    }
    """

  /// The same with one AdamW for each rate and decay, each with the schedule applied by hand.
  private static func byHand(_ steps: String) -> String {
    """
    local model = make()
    local o = options(model)
    o.parameter_groups = nil
    o.learning_rate = 0 -- the trainer counts steps and clears gradients; the optimizers below do the updates
    local t = trainer.loop(o)
    local lists, rates, decays = { {}, {}, {}, {} }, { 2e-2, 2e-2, 1e-2, 4e-3 }, { 0.3, 0, 0.01, 0.01 }
    for _, p in ipairs(model:parameters()) do
      if p.trainable then
        local group = p.name:find('^classifier') and (p.name:find('bias$') and 2 or 1) or p.name:find('lora_B') and 3 or 4
        table.insert(lists[group], model:parameter(p.name))
      end
    end
    local optimizers = {}
    for i = 1, 4 do
      optimizers[i] = trainer.adamw { parameters = lists[i], learning_rate = rates[i], weight_decay = decays[i] }
    end
    model:train(t.seed)
    local factor = 1
    while t.step < t.total_steps do
      model:loss(t:batches()[1]):backward()
      local multiplier = t.step < 2 and t.step / 2 or (t.total_steps - t.step) / (t.total_steps - 2)
      for i = 1, 4 do
        optimizers[i].learning_rate = rates[i] * factor * multiplier
        optimizers[i]:step()
      end
      t:update()
      \(steps)
    end
    """ + report
  }

  /// What a callback does in `trainer.fit`, and what corresponds to it in a loop by hand.
  @Test(arguments: [
    ("", ""),
    // The groups' rates follow the training's.
    ("if t.step == 3 then t.learning_rate = t.learning_rate / 2 end", "if t.step == 3 then factor = 0.5 end"),
    // What trains again is in its group again, with its moments.
    (
      "if t.step == 3 then t:freeze('classifier') elseif t.step == 6 then t:unfreeze('classifier') end",
      "if t.step == 3 then t:freeze('classifier') elseif t.step == 6 then t:unfreeze('classifier') end"
    ),
  ])
  func groupsEqualOptimizersOfTheirOwn(callback: String, byHand: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let setup = TinyTask.script(folder, Self.settings)
      let onStep = callback.isEmpty ? "" : "o.on_step = function(t) \(callback) end "
      let fit = try host.printed(
        setup + "local model = make() local o = options(model) \(onStep)trainer.fit(o)" + Self.report)
      #expect(fit.count > 4)
      #expect(try fit == host.printed(setup + Self.byHand(byHand)))
      let without = try host.printed(
        setup + "local model = make() local o = options(model) o.parameter_groups = nil \(onStep)trainer.fit(o)" + Self.report)
      #expect(zip(fit, without).allSatisfy { $0 != $1 })
    }
  }

  /// A run that stops at step 5, after its rate was halved, goes on to the same bits.
  @Test func resumedRunKeepsTheRates() throws {
    func printed(interrupted: Bool) throws -> [String] {
      try withTemporaryFolder { folder in
        try TinyTask.write(to: folder)
        var script: String {
          TinyTask.script(folder, Self.settings) + """
            local model = make()
            local o = options(model)
            local first
            o.on_step = function(t)
              first = first or t.step
              if t.step == 2 then t.learning_rate = 2e-3 end
              \(TinyTask.stop)
            end
            trainer.fit(o)
            print(first)
            """ + Self.report
        }
        if interrupted {
          let failure = try ScriptHost.with(in: folder, stopping: true) { host, _ in try host.failure(script) }
          #expect(failure?.contains("stop") == true)
        }
        let lines = try ScriptHost.with(in: folder) { host, _ in try host.printed(script) }
        #expect(TinyTask.wentOn(lines.first) == interrupted)
        return Array(lines.dropFirst())
      }
    }
    #expect(try printed(interrupted: true) == printed(interrupted: false))
  }

  /// `metrics.jsonl` has the step sizes of all groups beside that of the rest.
  @Test func stepSizesAreLogged() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      _ = try host.printed(TinyTask.script(folder, Self.settings) + "trainer.fit(options(make()))")
      let rows = try readText(host.runFolder + "/metrics.jsonl").split(separator: "\n").map {
        try JSONValue(parsing: Array($0.utf8), source: "row")
      }
      let second = try #require(rows.first { $0["step"]?.intValue == 2 })
      #expect(second["learning_rate"]?.doubleValue == 2e-3)
      #expect(second["group_learning_rates"]?.arrayValue?.map(\.doubleValue) == [1e-2, 5e-3])
    }
  }

  /// Groups are part of what a stored result is found by; how they are written is not.
  @Test func groupsArePartOfTheKey() throws {
    let groups = [
      "nil", "{ { params = 'classifier', learning_rate = 0.01 } }", "{ { params = { 'classifier' }, learning_rate = 1e-2 } }",
      "{ { params = 'classifier', learning_rate = 0.02 } }", "{ { params = 'classifier', weight_decay = 0.01 } }",
      "{ { params = 'lora_A', learning_rate = 0.01 } }",
    ]
    let keys = try ScriptHost.with { _, data in
      try TinyTask.write(to: data)
      return try groups.map { groups in
        try ScriptHost.with { host, _ in
          try host.printed(
            TinyTask.script(data, "max_steps = 1, parameter_groups = \(groups)") + "print(trainer.fit(options(make())).key)")
        }
      }
    }
    #expect(keys[1] == keys[2])
    #expect(Set(keys).count == groups.count - 1)
  }

  /// A callback may unfreeze what a group has; without one, such a group is a mistake.
  @Test func groupsOfFrozenParametersNeedACallback() throws {
    let groups = "max_steps = 2, parameter_groups = { { params = 'lora_A', learning_rate = 1e-3 } }"
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let setup = TinyTask.script(folder, groups) + "local model = make() model:freeze('lora_A')\n"
      let failure = try host.failure(setup + "trainer.fit(options(model))")
      #expect(failure?.contains("'parameter_groups[1]': all parameters with 'lora_A' in their paths are frozen") == true)
      for callback in ["", "if t.step == 1 then t:unfreeze('lora_A') end"] {
        let script =
          setup + """
            local o = options(model)
            o.on_step = function(t) \(callback) end
            trainer.fit(o)
            """ + Self.report
        #expect(try host.printed(script).contains { $0.contains("lora_A") } == !callback.isEmpty)
      }
    }
  }

  @Test(arguments: [
    ("{ params = 'clasifier' }", "'parameter_groups[1]': no trainable parameter's path contains 'clasifier'; did you mean 'classifier'?"),
    ("{ params = 'class' }", "'parameter_groups[1]': no trainable parameter's path contains 'class'; did you mean 'classifier'?"),
    ("{ params = '' }", "'parameter_groups[1]': parameter group: 'params' is empty: expected parts of parameters' paths"),
    (
      "{ params = 'encoder' }, { params = 'lora_A' }",
      "'parameter_groups[2]': earlier groups have all of its parameters; the first group that matches a parameter has it: put narrower groups first"
    ),
    (
      "{ params = 'classifier' }, { params = { 'lora_A', 'lora_C' } }",
      "'parameter_groups[2]': no trainable parameter's path contains 'lora_C'; did you mean 'lora_A'?"
    ),
    ("{ learning_rate = 1 }", "'parameter_groups[1]': parameter group: missing field 'params'"),
    ("{ params = {} }", "'parameter_groups[1]': parameter group: 'params' is empty: expected parts of parameters' paths"),
    ("{ params = 3 }", "'parameter_groups[1]': parameter group: 'params' must be a string or a list of strings, got 3"),
    ("{ params = { 'a', 3 } }", "'parameter_groups[1]': parameter group: 'params[2]' must be a string, got 3"),
    (
      "{ params = 'classifier', learnig_rate = 1 }",
      "'parameter_groups[1]': parameter group: unknown field 'learnig_rate'; did you mean 'learning_rate'?"
    ),
    (
      "{ params = 'classifier', learning_rate = -1 }", "'parameter_groups[1]': parameter group: 'learning_rate' must be a number at least 0, got -1.0"
    ),
    (
      "{ params = 'classifier', learning_rate = math.huge }",
      "'parameter_groups[1]': parameter group: 'learning_rate' must be a finite number at least 0, got inf"
    ),
    ("{ params = 'classifier', weight_decay = '1' }", "'parameter_groups[1]': parameter group: 'weight_decay' must be a number at least 0, got '1'"),
    ("'classifier'", "'parameter_groups[1]' must be a table, got 'classifier'"),
    ("params = 'classifier'", "'parameter_groups' must be a list of ParameterGroups, got a table"),
  ])
  func mistakesAreExplained(groups: String, message: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let script = TinyTask.script(folder, "parameter_groups = { \(groups) }") + "trainer.fit(options(make()))"
      let failure = try #require(try host.failure(script))
      #expect(failure.hasSuffix("trainer options: " + message), "\(failure)")
    }
  }
}
