import Diagnostics
import Files
import Optimizers
import TestSupport
import Testing

/// `optim`, `optim_args`, `loraplus_lr_ratio` and the optimizers for loops of a script's own.
@Suite(.engine) struct OptimizerChoiceTests {
  /// Prints every parameter that trains, to the bit.
  private static let report = """

    for _, p in ipairs(model:parameters()) do
      if p.trainable then print(p.name, string.format('%a', model:parameter(p.name):double():square():sum():item())) end
    end
    """

  private static let names = OptimizerName.choices ?? []

  private static func settings(_ optim: String) -> String {
    let options = optim == "sgd" ? ", optim_args = { momentum = 0.9 }" : optim == "adafactor" ? ", optim_args = { beta1 = 0.9 }" : ""
    return "save_seconds = 0, eval_strategy = 'no', max_grad_norm = 0.5, optim = '\(optim)'\(options)"
  }

  /// The parameters after a training; `stopping`: it was cut off at step 5, and went on.
  private func trained(_ settings: String, stopping: Bool = false) throws -> [String] {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      var script: String {
        TinyTask.script(folder, settings) + """
          local model = make()
          local o = options(model)
          local first
          o.on_step = function(t)
            first = first or t.step
            \(TinyTask.stop)
          end
          trainer.fit(o)
          print(first)
          """ + Self.report
      }
      if stopping {
        let failure = try ScriptHost.with(in: folder, stopping: true) { host, _ in try host.failure(script) }
        #expect(failure?.contains("stop") == true)
      }
      let lines = try ScriptHost.with(in: folder) { host, _ in try host.printed(script) }
      #expect(TinyTask.wentOn(lines.first) == stopping)
      return Array(lines.dropFirst())
    }
  }

  @Test func namesAreTransformers() {
    #expect(
      Self.names == [
        "adamw_torch", "adamw_hf", "adam", "sgd", "lion", "adafactor", "paged_adamw_32bit", "paged_lion_32bit",
      ])
  }

  /// A run that stops at step 5 goes on to the same bits, and every optimizer trains differently.
  @Test func resumedRunsEndWithTheSameBits() throws {
    var results: [[String]: String] = [:]
    for name in Self.names {
      let whole = try trained(Self.settings(name))
      #expect(whole.count > 4)
      #expect(try trained(Self.settings(name), stopping: true) == whole, "\(name)")
      if let twin = results[whole] {
        #expect(name == (twin == "adamw_torch" ? "paged_adamw_32bit" : "paged_lion_32bit"), "\(name) trains as \(twin)")
      }
      results[whole] = results[whole] ?? name
    }
    #expect(results.count == OptimizerCatalogue.rules.count)
    #expect(try trained(Self.settings("adamw_torch") + ", adam_beta1 = 0.8") != trained(Self.settings("adamw_torch")))
  }

  /// Moments large enough for files of their own give the same training, cut off or not.
  @Test func pagedMomentsChangeNothing() throws {
    func trained(_ optim: String, stopping: Bool) throws -> [String] {
      try withTemporaryFolder { folder in
        try TinyTask.write(to: folder)
        var config = try #require(JSONValue(file: folder + "/config.json").objectValue)
        config["intermediate_size"] = .int(4096)
        try AtomicFile.write(.object(config), to: folder + "/config.json")
        var script: String {
          TinyTask.script(folder, "save_seconds = 0, eval_strategy = 'no', max_steps = 6, optim = '\(optim)'") + """
            local model = base:classifier { task = task }:add_adapter(adapters.full())
            local o = options(model)
            o.on_step = function(t) \(TinyTask.stop) end
            trainer.fit(o)
            """ + Self.report
        }
        if stopping {
          let failure = try ScriptHost.with(in: folder, stopping: true) { host, _ in try host.failure(script) }
          #expect(failure?.contains("stop") == true)
        }
        return try ScriptHost.with(in: folder) { host, _ in try host.printed(script) }
      }
    }
    let whole = try trained("adamw_torch", stopping: false)
    #expect(whole.count > 20)
    for stopping in [false, true] { #expect(try trained("paged_adamw_32bit", stopping: stopping) == whole) }
  }

  /// The choice and its options are part of what a stored result is found by; where moments lie is not.
  @Test func choiceIsPartOfTheKey() throws {
    let choices = [
      "", "optim = 'adamw_torch'", "optim = 'paged_adamw_32bit'", "optim = 'adamw_hf'", "optim = 'sgd'",
      "optim = 'sgd', optim_args = { momentum = 0.9 }", "optim = 'sgd', optim_args = { momentum = 0.8 }", "loraplus_lr_ratio = 4",
      "loraplus_lr_ratio = 8", "lr_scheduler_type = 'cosine'", "lr_scheduler_type = 'cosine', lr_scheduler_kwargs = { num_cycles = 2 }",
    ]
    let keys = try withTemporaryFolder { data in
      try TinyTask.write(to: data)
      return try choices.map { choice in
        try ScriptHost.with { host, _ in
          try host.printed(TinyTask.script(data, "max_steps = 1, \(choice)") + "print(trainer.fit(options(make())).key)")
        }
      }
    }
    #expect(keys[0] == keys[1] && keys[1] == keys[2])
    #expect(Set(keys).count == choices.count - 2)
  }

  /// LoRA+ is what the same groups by hand are, also after a callback changed the rate.
  @Test(arguments: ["", "if t.step == 3 then t.learning_rate = t.learning_rate / 2 end"])
  func loraplusEqualsGroups(callback: String) throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      func fit(_ settings: String) throws -> [String] {
        try host.printed(
          TinyTask.script(data, "eval_strategy = 'no', logging_steps = 1, max_steps = 6, " + settings) + """
            local model = make()
            local o = options(model)
            o.on_step = function(t) \(callback) end
            trainer.fit(o)
            """ + Self.report)
      }
      let plus = try fit("loraplus_lr_ratio = 4")
      let rows = try readText(host.runFolder + "/metrics.jsonl").split(separator: "\n").map {
        try JSONValue(parsing: Array($0.utf8), source: "row")
      }
      let second = try #require(rows.first { $0["step"]?.intValue == 2 })
      #expect(second["group_learning_rates"]?[0]?.doubleValue == 4 * (second["learning_rate"]?.doubleValue ?? .nan))
      #expect(try plus == fit("parameter_groups = { { params = { 'lora_B', 'bias' }, learning_rate = 2e-2 } }"))
      #expect(try plus != fit(""))
    }
  }

  /// Adafactor's own step size is the one that is told.
  @Test func relativeStepsAreTold() throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let rates = try host.printed(
        TinyTask.script(data, "max_steps = 5, optim = 'adafactor', optim_args = { relative_step = true, warmup_init = true }") + """
          local t = trainer.loop(options(make()))
          for i = 1, 3 do print(t.current_learning_rate) t:update() end
          """)
      #expect(rates.compactMap { Double($0) } == [1e-6, 2e-6, 3e-6])
    }
  }

  /// Every optimizer, in a loop by hand, takes the trainer's step.
  @Test func ownLoopsTakeTheSameStep() throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      for rule in OptimizerCatalogue.rules {
        let setup = TinyTask.script(
          data, "max_steps = 2, lr_scheduler_type = 'constant', max_grad_norm = 0, eval_strategy = 'no', optim = '\(rule.name)'")
        let fit = try host.printed(setup + "local model = make() trainer.fit(options(model))" + Self.report)
        let eps = rule.name == "adamw_hf" ? ", eps = 1e-8" : ""
        let loop = try host.printed(
          setup + """
            local model = make()
            local o = options(model)
            o.learning_rate = 0
            local t = trainer.loop(o)
            local optimizer = trainer.\(rule.functionName) { model = model, learning_rate = 5e-3, weight_decay = 0.01\(eps) }
            model:train(t.seed)
            for i = 1, 2 do
              local batch = t:batches()[1]
              model:loss(batch):backward()
              optimizer:step()
              optimizer:zero_grad()
              t:update()
            end
            assert(tostring(optimizer):find('^\(rule)%('), tostring(optimizer))

            """ + Self.report)
        #expect(fit == loop, "\(rule.name)")
      }
    }
  }

  @Test(arguments: [
    (
      "optim = 'adamw'",
      "'optim' must be one of 'adamw_torch', 'adamw_hf', 'adam', 'sgd', 'lion', 'adafactor', 'paged_adamw_32bit', 'paged_lion_32bit', got 'adamw'"
    ),
    ("optim = 'lin'", "got 'lin'; did you mean 'lion'?"),
    (
      "optim = 'sgd', optim_args = { momentun = 1 }", "trainer options: 'optim_args': sgd options: unknown field 'momentun'; did you mean 'momentum'?"
    ),
    ("optim = 'sgd', optim_args = { momentum = 1 }", "'optim_args': sgd options: 'momentum' must be a number at least 0 and below 1, got 1.0"),
    ("optim = 'sgd', optim_args = 'momentum=0.9'", "'optim_args' must be a table of named options, got 'momentum=0.9'"),
    ("optim = 'lion', adam_beta1 = 0.95", "'adam_beta1' has no meaning with optim = \"lion\"; options of an optimizer stand in optim_args"),
    ("adam_beta2 = 0.98, optim_args = { betas = { 0.9, 0.99 } }", "'betas' in 'optim_args' is given twice, as 'adam_beta2' too"),
    ("loraplus_lr_ratio = 0.5", "'loraplus_lr_ratio' must be a number at least 1, got 0.5"),
    ("lr_scheduler_kwargs = { power = 2 }", "lr_scheduler_kwargs: 'power' has no meaning with lr_scheduler_type = \"linear\""),
    (
      "lr_scheduler_type = 'cosine', lr_scheduler_kwargs = { power = 2 }",
      "'power' has no meaning with lr_scheduler_type = \"cosine\"; it takes num_cycles"
    ),
    (
      "lr_scheduler_type = 'polynomial', lr_scheduler_kwargs = { lr_end = 1 }",
      "lr_end = 1.0 must be below learning_rate = 0.005; set it in lr_scheduler_kwargs"
    ),
    ("lr_scheduler_type = 'polinomial'", "got 'polinomial'; did you mean 'polynomial'?"),
    ("lr_scheduler_type = 3", "'lr_scheduler_type' must be one of 'linear', "),
  ])
  func mistakesAreExplained(settings: String, message: String) throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let failure = try #require(try host.failure(TinyTask.script(data, settings) + "trainer.fit(options(make()))"))
      #expect(failure.contains(message), "\(failure)")
    }
  }

  @Test func loraplusNeedsALoRA() throws {
    try ScriptHost.with { host, data in
      try TinyTask.write(to: data)
      let failure = try host.failure(
        TinyTask.script(data, "loraplus_lr_ratio = 4") + "trainer.fit(options(base:classifier { task = task }))")
      #expect(failure?.contains("'loraplus_lr_ratio': no trainable parameter's path contains 'lora_B'") == true, "\(failure ?? "")")
    }
  }
}
