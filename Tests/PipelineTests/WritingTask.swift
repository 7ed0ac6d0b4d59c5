import Files

/// Prompts with texts that should follow, and a tiny decoder for scripts that let it write.
enum WritingTask {
  /// The prompt of every third row of the validation file is that of the row before: two references of one input.
  static func write(to folder: String) throws {
    let (things, colours) = (["dog", "cat", "car", "tree"], ["red", "blue", "old"])
    for (name, count) in [("train", 24), ("dev", 9)] {
      let rows = (0..<count).map { i in
        let place = name == "dev" && i % 3 == 2 ? i - 1 : i
        let (thing, colour) = (things[place % 4], colours[place % 3])
        return "{\"facts\": \"\(colour), \(thing)\", \"text\": \" \(i == place ? "The" : "This") \(thing) is \(colour).\"}"
      }
      try AtomicFile.write(rows.joined(separator: "\n") + "\n", to: folder + "/\(name).jsonl")
    }
  }

  /// The rows of the validation file, as a script reads them.
  static let prompts = "{ 'red, dog', 'blue, cat', 'red, tree', 'blue, dog', 'red, car', 'blue, tree' }"
  static let references = """
    { { ' The dog is red.' }, { ' The cat is blue.', ' This cat is blue.' }, { ' The tree is red.' }, { ' The dog is blue.', ' This dog is blue.' },
      { ' The car is red.' }, { ' The tree is blue.', ' This tree is blue.' } }
    """

  /// A model that continues a prompt, or writes about what its encoder reads.
  enum Family: String, CaseIterable {
    case gpt2 = "model_type = 'gpt2', n_layer = 2, n_embd = 16, n_head = 2, n_positions = 32, resid_pdrop = 0, embd_pdrop = 0, attn_pdrop = 0"
    case bart =
      "model_type = 'bart', encoder_layers = 1, decoder_layers = 2, d_model = 16, encoder_attention_heads = 2, decoder_attention_heads = 2, encoder_ffn_dim = 24, decoder_ffn_dim = 24, max_position_embeddings = 32"
    case t5 = "model_type = 't5', num_layers = 1, num_decoder_layers = 2, d_model = 16, d_kv = 8, num_heads = 2, d_ff = 24"

    var kind: String { self == .gpt2 ? "causal_lm" : "seq2seq_lm" }
    var columns: String {
      self == .gpt2 ? "prompt_column = 'facts', completion_column = 'text'" : "input_column = 'facts', target_column = 'text'"
    }
  }

  /// Defines `task`, `base`, `make()` for a model, and `options(model, more)` for a training. `METRICS` are those of texts.
  static func script(_ folder: String, metrics: String = "{ 'rougeL', 'ter' }", family: Family = .gpt2) -> String {
    """
    local task = tasks.\(family.kind) {
      train_file = '\(folder)/train.jsonl', validation_file = '\(folder)/dev.jsonl', \(family.columns),
      metrics = \(metrics) }
    local base = models.from_config { seed = 3, tokenizer = tokenizers.train(task, { vocab_size = 300 }),
      config = { \(family.rawValue) } }
    local function make() return base:\(family.kind)() end
    local function options(model, more)
      local all = { model = model, task = task, max_steps = 30, learning_rate = 2e-2, per_device_train_batch_size = 6, max_length = 32,
        generation = { max_new_tokens = 8 } }
      for name, value in pairs(more or {}) do all[name] = value end
      return all
    end

    """
  }
}
