import TestSupport
import Testing

@testable import Bindings
@testable import Engine

/// A training loop written in Lua gives what `trainer.fit` gives, bit for bit.
@Suite(.engine) struct HandWrittenLoopTests {
  @Test(arguments: [
    "", "gradient_accumulation_steps = 2, warmup_steps = 2",
    "seed = 7, train_sampling_strategy = 'group_by_length', max_grad_norm = 0.1",
  ])
  func loopEqualsFit(settings: String) throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let fit = try host.printed(
        TinyTask.script(folder, settings) + """
          local model = make()
          local o = options(model)
          o.on_step = function(t) print(string.format('%d %a %a', t.step, t.loss, t.grad_norm)) end
          local result = trainer.fit(o)
          for _, p in ipairs(model:parameters()) do
            if p.trainable then print(p.name, string.format('%a', model:parameter(p.name):double():sum():item())) end
          end
          """)
      let loop = try host.printed(
        TinyTask.script(folder, settings) + """
          local model = make()
          local t = trainer.loop(options(model))
          model:train(t.seed)
          while t.step < t.total_steps do
            local total = 0
            for _, batch in ipairs(t:batches()) do
              local loss = model:loss(batch)
              total = total + loss:item()
              loss:backward()
            end
            local norm = t:update()
            print(string.format('%d %a %a', t.step, total, norm))
          end
          model:eval()
          for _, p in ipairs(model:parameters()) do
            if p.trainable then print(p.name, string.format('%a', model:parameter(p.name):double():sum():item())) end
          end
          """)
      #expect(fit.count > 12)
      #expect(fit == loop)
      #expect(Set(fit).count == fit.count)
    }
  }

  /// A loss computed from the batch's own tensors is the model's, and rows of the loop are in `metrics.jsonl`.
  @Test func batchesHaveIdsAndLabels() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "") + """
          stage('loop', function()
            local model = make()
            local t = trainer.loop(options(model))
            for _, batch in ipairs(t:batches()) do
              local own, theirs = model:logits(batch):cross_entropy(batch.labels), model:loss(batch)
              print(math.abs(own:item() - theirs:item()) < 1e-6, t.loss)
              print(batch.input_ids.dtype, #batch.input_ids == batch.tokens, #batch.token_type_ids == batch.tokens, #batch.labels == batch.size)
              local sum = 0
              for i, length in ipairs(batch.lengths) do
                sum = sum + length
                assert(batch.offsets:get(i) == sum)
                local example = task:example(batch.examples[i])
                local ids = model.tokenizer:encode(example.text, { max_length = 32 }).input_ids
                for k, id in ipairs(ids) do assert(batch.input_ids:get(sum - length + k - 1) == id) end
                assert(#ids == length and batch.labels:get(i - 1) == example.label)
              end
              print(batch.offsets:get(0), #batch.offsets == batch.size + 1, sum == batch.tokens)
              theirs:backward()
              t:log { loss = theirs:item(), mine = 7 }
            end
            t:update()
            t:log { loss = 1 }
          end)
          """)
      #expect(lines == ["true\tnil", "int32\ttrue\ttrue\ttrue", "0\ttrue\ttrue"])
      let rows = try #require(try host.session.runDirectory?.metrics().rows())
      #expect(rows.map { $0["step"] } == [0, 1] && rows[0]["mine"] == 7 && rows[0]["stage"] == "loop")
      #expect(
        try host.failure(TinyTask.script(folder, "") + "trainer.loop(options(make())):log { 1 }")?.hasSuffix(
          "Trainer:log: expected named values; write { name = value }") == true)
    }
  }

  /// Who forgets the backward pass is told.
  @Test func updatesWithoutGradientsWarn() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      _ = try host.printed(
        TinyTask.script(folder, "max_steps = 2") + "local t = trainer.loop(options(make())) t:batches() t:update() t:batches() t:update()")
      #expect(host.notes.contains { $0.hasPrefix("warning: ") && $0.contains(" parameters cannot move, no gradient reaches: ") }, "\(host.notes)")
      let text = try host.failure(TinyTask.script(folder, "max_steps = 2") + "local m = make() m:loss(trainer.loop(options(m)):batches())")
      #expect(
        text?.hasSuffix("bad argument #1 'batch' to 'loss' (expected a batch, one of the list that trainer:batches() gives, got table)") == true,
        "\(text ?? "")")
    }
  }

  @Test func callbacksLogForTheirStage() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      _ = try host.printed(
        TinyTask.script(folder, "max_steps = 2, logging_steps = 100") + """
          local o = options(make())
          o.on_step = function(t) t:log { doubled = 2 * t.loss } end
          trainer.fit(o)
          """)
      let rows = try #require(try host.session.runDirectory?.metrics().rows()).filter { $0["doubled"] != nil }
      #expect(rows.map { $0["step"] } == [1, 2] && rows.allSatisfy { $0["stage"] == "fit" && ($0["doubled"]?.doubleValue ?? 0) > 0 })
    }
  }

  /// An optimizer of the script's own, in the place of the trainer's, takes the same step.
  @Test func ownOptimizerEqualsFit() throws {
    let report = """
      for _, p in ipairs(model:parameters()) do
        if p.trainable then print(p.name, string.format('%a', model:parameter(p.name):double():square():sum():item())) end
      end
      """
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let settings = "max_steps = 1, lr_scheduler_type = 'constant', max_grad_norm = 0"
      let fit = try host.printed(
        TinyTask.script(folder, settings) + "local model = make() trainer.fit(options(model))\n" + report)
      let loop = try host.printed(
        TinyTask.script(folder, settings) + """
          local model = make()
          local optimizer = trainer.adamw { model = model, learning_rate = 5e-3, weight_decay = 0.01 }
          local t = trainer.loop(options(model))
          model:train(t.seed)
          model:loss(t:batches()[1]):backward()
          optimizer:step()
          optimizer:zero_grad()

          """ + report)
      let untrained = try host.printed(TinyTask.script(folder, settings) + "local model = make()\n" + report)
      #expect(fit == loop)
      #expect(zip(fit, untrained).allSatisfy { $0 != $1 })
    }
  }
}
