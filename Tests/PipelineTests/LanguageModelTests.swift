import Files
import TestSupport
import Testing

/// A language model's life in a script: from a configuration and a tokenizer of its own to a saved model with what an adapter learnt.
@Suite(.engine) struct LanguageModelTests {
  /// A table of prompts and completions, some of which are about a cat.
  private static func write(to folder: String) throws {
    let (things, colours) = (["dog", "cat", "car", "tree"], ["red", "blue", "old"])
    for (name, count) in [("train", 24), ("dev", 12)] {
      let rows = (0..<count).map { i in
        let (thing, colour) = (things[i % 4], colours[i % 3])
        return "{\"facts\": \"\(colour), \(thing)\", \"text\": \" The \(thing) is \(colour).\"}"
      }
      try AtomicFile.write(rows.joined(separator: "\n") + "\n", to: folder + "/\(name).jsonl")
    }
  }

  /// Defines `task`, `cats`, `base` and `fit(model, task)`.
  private static func script(_ folder: String, _ family: Family) -> String {
    """
    local task = tasks.\(family.kind) {
      train_file = '\(folder)/train.jsonl', validation_file = '\(folder)/dev.jsonl', \(family.columns) }
    local function about_cats(example) return example.text:find('cat', 1, true) ~= nil end
    local cats, others = task:filter(about_cats), task:filter(function(e) return not about_cats(e) end)
    local base = models.from_config { config = \(family.config), tokenizer = tokenizers.train(task, { vocab_size = 300 }), seed = 3 }
    local function fit(model, task)
      return trainer.fit { model = model, task = task, max_steps = 40, learning_rate = 2e-2, per_device_train_batch_size = 6, max_length = 32 }
    end
    local function score(model, task)
      local m = trainer.evaluate { model = model, task = task, max_length = 32 }
      assert(math.abs(math.exp(m.eval_loss) - m.eval_perplexity) < 1e-9 * m.eval_perplexity)
      return m.eval_loss
    end

    """
  }

  /// A kind of language model, and a configuration for it.
  struct Family: Sendable, CustomTestStringConvertible {
    var kind = "causal_lm"
    var columns = "prompt_column = 'facts', completion_column = 'text'"
    var config: String
    var testDescription: String { config }
  }

  static let families =
    [
      "{ model_type = 'gpt2', n_layer = 2, n_embd = 16, n_head = 2, n_positions = 32 }",
      """
      { model_type = 'llama', num_hidden_layers = 2, hidden_size = 16, intermediate_size = 24, num_attention_heads = 2,
        num_key_value_heads = 1, max_position_embeddings = 32, rms_norm_eps = 1e-6 }
      """,
    ].map { Family(config: $0) }
    + [
      """
      { model_type = 'bart', encoder_layers = 1, decoder_layers = 2, d_model = 16, encoder_attention_heads = 2, decoder_attention_heads = 2,
        encoder_ffn_dim = 24, decoder_ffn_dim = 24, max_position_embeddings = 32 }
      """,
      "{ model_type = 't5', num_layers = 1, num_decoder_layers = 2, d_model = 16, d_kv = 8, num_heads = 2, d_ff = 24 }",
    ].map { Family(kind: "seq2seq_lm", columns: "input_column = 'facts', target_column = 'text'", config: $0) }

  /// Training from scratch, LoRA on top of it, saving and loading; then the same from the stored stages. All numbers are the same.
  @Test(arguments: families) func fromScratchToAnAdapter(family: Family) throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder)
      let text =
        Self.script(folder, family) + """
          local untrained = score(base:\(family.kind)(), task)
          local scratch = stage('scratch', function() return fit(base:\(family.kind)(), others) end).model
          local known, unknown = score(scratch, others), score(scratch, cats)
          local function adapted() return scratch:\(family.kind)() end
          assert(adapted().trainable == 0 and score(adapted(), cats) == unknown)
          local lora = stage('lora', function() return fit(adapted():add_adapter(adapters.lora { r = 2 }), cats) end)
          local learnt = score(lora.model, cats)
          assert(learnt == lora.metrics.eval_loss)
          print(string.format('%.17g %.17g %.17g', known, unknown, learnt))
          print(known < untrained - 1, learnt < unknown - 0.1, score(scratch, cats) == unknown)
          lora.model:save_adapter('adapter')
          print(score(adapted():load_adapter('adapter'), cats) == learnt)
          scratch:save('scratch')
          print(math.abs(score(models.load('scratch'):\(family.kind)(), others) - known) < 1e-6)
          lora.model:merge()
          lora.model:save('merged')
          local merged = models.load('merged')
          print(math.abs(score(merged:\(family.kind)(), cats) - learnt) < 1e-5, merged.config.vocab_size == base.tokenizer.vocab_size,
            merged.config.eos_token_id == base.tokenizer:token_to_id('</s>'), merged.tokenizer.vocab_size == base.tokenizer.vocab_size,
            (merged.config.decoder_start_token_id ~= nil) == ('\(family.kind)' == 'seq2seq_lm'))
          """
      let first = try ScriptHost.with(in: folder) { host, _ in try host.printed(text) }
      #expect(Array(first.dropFirst()) == ["true\ttrue\ttrue", "true", "true", "true\ttrue\ttrue\ttrue\ttrue"], "\(first)")
      try ScriptHost.with(in: folder) { host, _ in
        let again = try host.printed(text)
        #expect(again == first)
        #expect(host.notes.filter { $0.contains("reused") }.count == 2, "\(host.notes)")
        #expect(!host.notes.contains { $0.contains("head is random") }, "\(host.notes)")
      }
    }
  }

  /// What a body learnt as a language model is what a classifier stands on, with the matrices that files have transposed.
  @Test func aTrainedDecoderGetsAClassifier() throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder)
      let text =
        Self.script(folder, Self.families[0]) + """
          local scratch = stage('scratch', function() return fit(base:causal_lm(), task) end).model
          local answer = scratch:classifier { num_labels = 2, seed = 1 }:predict('red, dog').probabilities.LABEL_0
          local other = base:classifier { num_labels = 2, seed = 1 }:predict('red, dog').probabilities.LABEL_0
          print(string.format('%.17g', answer), answer ~= other)
          """
      let first = try ScriptHost.with(in: folder) { host, _ in try host.printed(text) }
      #expect(first.first?.hasSuffix("\ttrue") == true)
      let again = try ScriptHost.with(in: folder) { host, _ in try host.printed(text) }
      #expect(again == first)
    }
  }

  /// A filter keeps the examples that its function wants, in every set, and with them what a stage's key is made from.
  @Test func aFilterChoosesExamples() throws {
    try withTemporaryFolder { folder in
      try Self.write(to: folder)
      try TinyTask.write(to: folder)
      try ScriptHost.with { host, _ in
        let lines = try host.printed(
          Self.script(folder, Self.families[0]) + """
            print(cats, others, cats:example(1).text, cats:example(1).completion, cats:example(1).line)
            local labels = tasks.table { train_file = '\(folder)/train.tsv', text_column = 'text', label_column = 'label' }
            local some = labels:filter(function(e) return e.label == 1 end)
            print(some.train_size < labels.train_size, some.num_labels, table.concat(some.metrics, ' '))
            """)
        #expect(
          lines == [
            "Task(causal_lm, train 6, validation 3)\tTask(causal_lm, train 18, validation 9)\told, cat\t The cat is old.\t6",
            "true\t2\taccuracy",
          ])
        for (function, message) in [
          ("return false", "\(folder)/train.jsonl: the filter leaves no example"),
          ("return e.text", "t.lua:3: the function 'keep' returned a string, expected true or false"),
          ("end", "t.lua:3: the function 'keep' returned nothing, expected true or false"), ("error('no')", "t.lua:3: no"),
        ] {
          let body = function == "end" ? "" : function
          let failure = try host.failure(
            """
            local task = tasks.causal_lm { train_file = '\(folder)/train.jsonl', text_column = 'text' }

            task:filter(function(e) \(body) end)
            """)
          #expect(failure?.contains(message) == true, "\(failure ?? "none")")
        }
      }
    }
  }

  /// The built-in corpus as prompts and completions, and what is said of columns that it does not have.
  @Test func theCorpusHasColumns() throws {
    try ScriptHost.with { host, _ in
      func task(_ options: String) -> String { "local t = tasks.causal_lm { train_file = 'builtin:corpus', max_train_samples = 3, \(options) }" }
      let lines = try host.printed(
        """
        local text
        do \(task("")) text = t:example(0).text end
        do \(task("prompt_column = 'text', completion_column = 'text_pair'"))
        local e = t:example(0)
        print(e.text .. ' ' .. e.completion == text) end
        do \(task("text_column = 'text_pair'")) print(t:example(0).text == text:sub(-#t:example(0).text), t.train_size) end
        """)
      #expect(lines == ["true", "true\t3"])
      let failures = [
        ("text_column = 'txt'", "builtin:corpus: no column 'txt' (columns: text, text_pair); did you mean 'text'?"),
        ("validation_file = 'x.txt'", "builtin:corpus has a validation set of its own; leave validation_file out"),
      ]
      for (options, message) in failures {
        let failure = try host.failure(task(options))
        #expect(failure?.contains(message) == true, "\(failure ?? "none")")
      }
    }
  }

  /// A configuration in the script: what is wrong with it, and with the training of a tokenizer.
  @Test(arguments: [
    ("models.from_config { config = { model_type = 'gpt2' } }", "config is a table, which has no tokenizer beside it; give tokenizer"),
    ("models.from_config { config = { 'gpt2' }, tokenizer = t }", "'config' must be the path of a config.json, or a table of what one says"),
    ("models.from_config { config = { model_type = 'gtp2' }, tokenizer = t }", "did you mean 'gpt2'?"),
    (
      "models.from_config { config = { model_type = 'gpt2', n_embd = 10, n_head = 3 }, tokenizer = t }:causal_lm()",
      "n_embd 10 is not divisible by n_head 3"
    ),
    (
      "models.from_config { config = { model_type = 'bart' }, tokenizer = t }:causal_lm()",
      "causal_lm: in bart (bart) a decoder writes what follows from the text that an encoder reads; call base:seq2seq_lm()"
    ),
    (
      "models.from_config { config = { model_type = 'gpt2' }, tokenizer = t }:seq2seq_lm()",
      "seq2seq_lm: in gpt2 (gpt2) a token sees only what stands before it; call base:causal_lm()"
    ),
    ("tasks.seq2seq_lm { train_file = 'x.jsonl', input_column = 'a', target_column = 'a' }", "expected different columns, got a, a"),
    ("tasks.seq2seq_lm { train_file = 'x.jsonl', input_column = 'a' }", "'target_column'"),
    (
      "tasks.seq2seq_lm { train_file = 'x.txt', format = 'xls', input_column = 'a', target_column = 'b' }",
      "seq2seq_lm options: format is 'xls': expected one of tsv, csv, jsonl"
    ),
    ("tokenizers.train(task, { vocab_size = 200 })", "tokenizers.train: vocab_size is 200, expected 261"),
    ("tokenizers.train(task)", "'vocab_size'"),
  ])
  func mistakesAreTold(script: String, message: String) throws {
    try ScriptHost.with { host, _ in
      let failure = try host.failure(
        """
        local task = tasks.causal_lm { train_file = 'builtin:corpus', max_train_samples = 50 }
        local t = tokenizers.train(task, { vocab_size = 300 })
        \(script)
        """)
      #expect(failure?.contains("t.lua:3: ") == true && failure?.contains(message) == true, "\(failure ?? "none")")
    }
  }
}
