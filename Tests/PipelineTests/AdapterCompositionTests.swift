import Files
import TestSupport
import Testing

@testable import Bindings
@testable import Engine

/// Several adapters on one model, as a script sees them.
@Suite(.engine) struct AdapterCompositionTests {
  /// Two trained adapters `a` and `b` on one model; `score(model)` is the model's answer to a text, as text.
  private func script(_ folder: String) -> String {
    TinyTask.script(folder, "max_steps = 4") + TinyTask.score() + """
      local function numbers(text) local t = {} for n in text:gmatch('%S+') do t[#t + 1] = tonumber(n) end return t end
      local function near(x, y)
        x, y = numbers(x), numbers(y)
        for i = 1, #x do if math.abs(x[i] - y[i]) > 1e-5 then return false end end
        return true
      end
      local function train(model, name, options)
        options.adapter_name = name
        model:add_adapter(adapters.lora(options))
        local o = { model = model, task = task, max_steps = 6, max_length = 32, learning_rate = 2e-2, per_device_train_batch_size = 4 }
        trainer.fit(o)
        return model
      end
      local function fresh() return base:classifier { task = task } end

      """
  }

  @Test func setAdapterBringsItsHeadAndItsUpdate() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        script(folder) + """
          local model = fresh()
          train(model, 'a', { r = 4 })
          local a = score(model)
          train(model, 'b', { r = 2, lora_alpha = 6 })
          local both = score(model)
          print(a ~= both)
          model:set_adapter('a')
          print(score(model) == a)
          print(model.adapters[1].name, model.adapters[1].active, model.adapters[2].name, model.adapters[2].active)
          print(model.trainable == model.adapters[1].parameters + 32 * 2 + 2)
          model:set_adapter({ 'a', 'b' })
          print(score(model) == both)
          model:set_adapter('b', { inference_mode = true })
          print(model.trainable)
          model:set_adapter({ 'b', 'a' }, { inference_mode = true })
          print(score(model) == both)
          model:delete_adapter('b')
          print(#model.adapters)
          """)
      #expect(lines[0] == "true" && lines[1] == "true", "\(lines)")
      #expect(lines[2] == "a\ttrue\tb\tfalse")
      #expect(lines[3] == "true" && lines[4] == "true" && lines[5] == "0" && lines[6] == "true", "\(lines)")
      #expect(lines[7] == "1")
    }
  }

  @Test(arguments: [("cat", "nil"), ("svd", "6")]) func weightedSumIsTheSum(_ kind: String, _ rank: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        script(folder) + """
          local model = fresh()
          train(model, 'a', { r = 4, modules_to_save = {} })
          train(model, 'b', { r = 2, lora_alpha = 6, modules_to_save = {}, target_modules = { 'query', 'dense' } })
          local both = score(model)
          model:add_weighted_adapter { adapters = { 'a', 'b' }, weights = { 1, 1 }, adapter_name = 'sum',
            combination_type = '\(kind)', svd_rank = \(rank) }
          print(near(score(model), both), score(model) == both)
          model:save_adapter('sum', { adapter_name = 'sum' })
          model:delete_adapter('a')
          model:delete_adapter('b')
          print(near(score(model), both), model.trainable)
          local other = fresh()
          other:load_adapter('\(folder)/run/sum', { head = 'new' })
          model:merge()
          print(near(score(model), both))
          """)
      #expect(lines[0].hasPrefix("true") && lines[1] == "true\t0" && lines[2] == "true", "\(lines)")
    }
  }

  @Test func linearCombinationIsPEFTs() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        script(folder) + """
          local model = fresh()
          train(model, 'a', { r = 4, modules_to_save = {} })
          local a = score(model)
          model:add_weighted_adapter { adapters = { 'a' }, weights = { 1 }, adapter_name = 'one', combination_type = 'linear' }
          print(near(score(model), a))
          """)
      #expect(lines == ["true"])
    }
  }

  @Test func adapterKnowsItsBase() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let prepared =
        script(folder) + """
          local model = train(fresh(), 'a', { r = 4 })
          model:save_adapter('a')
          local facts = 1
          local other = models.from_config { config = '\(folder)', seed = 7 }

          """
      let error = try host.failure(prepared + "other:classifier { task = task }:load_adapter('\(folder)/run/a')")
      #expect(error?.contains("with other weights than those of this model, '\(folder)'") == true, "\(error ?? "nothing")")
      let upstream = try host.failure(
        prepared + """
          train(model, 'b', { r = 2 })
          model:save_adapter('b', { adapter_name = 'b' })
          fresh():load_adapter('\(folder)/run/b', { adapter_name = 'b' })
          """)
      #expect(upstream?.contains("was trained on top of adapter 'a', which this model lacks") == true, "\(upstream ?? "nothing")")
      let lines = try host.printed(
        prepared + """
          train(model, 'c', { r = 2 })
          model:save_adapter('c', { adapter_name = 'c' })
          local copy = fresh()
          copy:load_adapter('\(folder)/run/a', { adapter_name = 'a' })
          copy:load_adapter('\(folder)/run/c', { adapter_name = 'c' })
          print(score(copy) == score(model))
          local named = base:classifier { labels = { 'x', 'y' } }
          named:load_adapter('a')
          print(table.concat(named.labels, ' '))
          """)
      #expect(lines[0] == "true" && lines[1] == "no yes", "\(lines)")
    }
  }

  /// The labels that come with an adapter's head, and those of a task.
  @Test(
    arguments: [
      ("{ 'no', 'yes' }", nil), ("{ 'yes', 'no' }", nil),
      ("{ 'film', 'plot' }", "the model's labels are 'film', 'plot', those of the task 'other' are 'no', 'yes'"),
    ] as [(String, String?)])
  func labelsGoByName(_ labels: String, _ message: String?) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let prepared =
        script(folder) + """
          local trained = train(fresh(), 'a', { r = 4 })
          trained:save_adapter('a')
          local function tableTask(labels)
            return tasks.table { train_file = '\(folder)/train.tsv', validation_files = { '\(folder)/dev.tsv' },
              text_column = 'text', label_column = 'label', labels = labels, name = 'other' }
          end
          local labels = \(labels)
          local model = base:classifier { labels = labels }
          model:load_adapter('\(folder)/run/a')
          if labels[1] == 'film' then
            -- A head made by hand, with names of its own.
            model = base:classifier { labels = labels }
            labels = { 'no', 'yes' }
          end
          local other = tableTask(labels)
          local function loss(model, task) return trainer.evaluate { model = model, task = task, max_length = 32 }.eval_loss end

          """
      for call in [
        "assert(loss(model, other) == loss(trained, task))", "trainer.fit { model = model, task = other, max_length = 32, max_steps = 1 }",
      ] {
        let error = try host.failure(prepared + call)
        if let message {
          #expect(error?.contains(message) == true && error?.contains("give the model a new head for the task") == true, "\(error ?? "nothing")")
        } else {
          #expect(error == nil)
        }
      }
    }
  }

  @Test(arguments: [
    ("model:set_adapter('c')", "no adapter 'c'"),
    ("model:delete_adapter('c')", "no adapter 'c'"),
    ("model:add_weighted_adapter { adapters = { 'a' }, weights = { 1, 2 }, adapter_name = 's' }", "1 adapters and 2 weights"),
    ("model:add_weighted_adapter { adapters = { 'a', 'a' }, weights = { 1, 2 }, adapter_name = 's' }", "named twice"),
    ("model:add_weighted_adapter { adapters = { 'a' }, weights = { -1 }, adapter_name = 's', combination_type = 'linear' }", "at least 0"),
    ("model:add_weighted_adapter { adapters = { 'a' }, weights = { 1 }, adapter_name = 'a' }", "exists already"),
    ("model:add_weighted_adapter { adapters = {}, weights = {}, adapter_name = 's' }", "no adapters given"),
  ])
  func mistakesAreNamed(_ call: String, _ words: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let error = try host.failure(
        TinyTask.script(folder, "") + "local model = base:classifier { task = task }:add_adapter(adapters.lora { adapter_name = 'a' })\n" + call)
      #expect(error?.contains(words) == true, "\(error ?? "nothing")")
    }
  }
}

/// What a user is told about adapters before and while they train.
@Suite(.engine) struct AdapterReportTests {
  @Test(arguments: [
    (["a.0.q", "a.0.v", "a.1.q", "a.1.v", "a.3.q", "a.3.v"], ["a.{0-1,3}.{q,v}"]),
    (["a.0.q", "a.1.q", "a.1.v", "pooler"], ["a.{0-1}.q", "a.1.v", "pooler"]),
    (["x.dense"], ["x.dense"]),
    (["l.2.q", "l.5.q"], ["l.{2,5}.q"]),
  ])
  func pathsAreDrawnTogether(_ paths: [String], _ expected: [String]) {
    #expect(compactPaths(paths) == expected)
  }

  @Test func resultsListWhatIsAdapted() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "") + """
          local r = trainer.fit(options(make()))
          """)
      #expect(lines.isEmpty)
      let results = try JSONValue(file: folder + "/run/results.json")
      #expect("\(results)".contains("bert.encoder.layer.1.attention.self.value"))
    }
  }

  @Test func whatCannotMoveIsNamed() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      _ = try host.printed(
        TinyTask.script(folder, "max_steps = 6, warmup_steps = 1") + """
          local model = make()
          trainer.fit(options(model))
          """)
      #expect(host.notes.allSatisfy { !$0.contains("cannot move") })
      _ = try host.printed(
        TinyTask.script(folder, "max_steps = 6") + """
          local model = make()
          model:unfreeze('token_type_embeddings')
          model:freeze('classifier')
          model:parameter('classifier.weight'):fill_(0)
          trainer.fit(options(model))
          """)
      #expect(host.notes.contains { $0.contains("cannot move, the gradient is 0 for: ") }, "\(host.notes)")
    }
  }
}
