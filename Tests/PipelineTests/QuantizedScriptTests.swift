import TestSupport
import Testing

/// QLoRA from a script.
@Suite(.engine) struct QuantizedScriptTests {
  private static func load(_ config: String) -> String {
    "local base = models.load('builtin:tiny', { quantization_config = \(config) })\n"
  }

  private static let nf4 = "{ load_in_4bit = true, bnb_4bit_quant_type = 'nf4', bnb_4bit_use_double_quant = true }"

  @Test func trainsAdaptersOnWeightsInFourBits() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        Self.load(Self.nf4) + """
          local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 64, max_eval_samples = 16 })
          local model = base:classifier { task = task }:add_adapter(adapters.lora { r = 4, target_modules = 'all-linear' })
          local result = trainer.fit { model = model, task = task, max_steps = 6, per_device_train_batch_size = 8,
            learning_rate = 5e-3, logging_steps = 1 }
          print(result.steps, model:parameter('roberta.encoder.layer.0.attention.self.query.weight').requires_grad)
          model:merge()
          model:save('merged')
          model:unmerge()
          """)
      #expect(lines == ["6\tfalse"])
    }
  }

  /// Equal models have equal stages; the way that weights are held is part of the key.
  @Test func stagesDependOnTheCodes() throws {
    let keys = try [
      "{ load_in_4bit = false }", Self.nf4, Self.nf4, "{ load_in_4bit = true, bnb_4bit_quant_type = 'nf4' }",
      "{ load_in_4bit = true }", "{ load_in_4bit = true, llm_int8_skip_modules = { 'value' } }",
    ].flatMap { config in
      try ScriptHost.with { host, _ in
        try host.printed(
          Self.load(config) + """
            local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 16, max_eval_samples = 8 })
            local model = base:classifier { task = task }:add_adapter(adapters.lora { r = 2 })
            print(trainer.fit { model = model, task = task, max_steps = 1, max_length = 32 }.key)
            """)
      }
    }
    #expect(keys.count == 6 && keys[1] == keys[2] && Set(keys).count == 5, "\(keys)")
  }

  @Test(arguments: [
    ("{ bnb_4bit_quant_type = 'nf4' }", "quantization_config: missing field 'load_in_4bit'"),
    ("{ load_in_4bit = true, bnb_4bit_quant_type = 'nf5' }", "'nf4'"),
    ("{ load_in_8bit = true }", "load_in_8bit"),
    ("{ load_in_4bit = true, bnb_4bit_blocksize = 100 }", "bnb_4bit_blocksize = 100: expected one of 32, 64"),
    ("{ load_in_4bit = true, llm_int8_skip_modules = { 'querry' } }", "did you mean 'query'?"),
  ])
  func saysWhatIsWrong(_ config: String, _ message: String) throws {
    try ScriptHost.with { host, _ in
      let failure = try #require(try host.failure(Self.load(config) + "base:classifier { num_labels = 2 }"))
      #expect(failure.contains(message), "\(failure)")
    }
  }

  @Test func freezesWhatItCannotTrain() throws {
    try ScriptHost.with { host, _ in
      let failure = try #require(
        try host.failure(Self.load(Self.nf4) + "base:classifier { num_labels = 2 }:add_adapter(adapters.full {})"))
      #expect(failure.contains("is held in 4 bits and cannot train"), "\(failure)")
      #expect(try host.printed(Self.load(Self.nf4) + "print(base:masked_lm().trainable)") == ["0"])
    }
  }
}
