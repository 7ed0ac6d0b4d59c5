import Files
import TestSupport
import Testing

/// A tiny BERT with random weights and a sentence classification of a few rows, for scripts that train.
enum TinyTask {
  private static let words = [
    "good", "bad", "fine", "film", "plot", "music", "the", "was", "very", "not",
  ]

  /// A model folder without weights, with dropout, and two tables of sentences.
  static func write(to folder: String) throws {
    let path = packageRoot + "/Tests/Fixtures/models/tiny-bert/config.json"
    var config = try #require(JSONValue(file: path).objectValue)
    config["hidden_dropout_prob"] = .double(0.2)
    config["attention_probs_dropout_prob"] = .double(0.1)
    config["initializer_range"] = .double(0.1)
    try AtomicFile.write(.object(config), to: folder + "/config.json")
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + words
    try AtomicFile.write(vocabulary.joined(separator: "\n") + "\n", to: folder + "/vocab.txt")
    for (name, rows) in [("train", 22), ("dev", 6)] {
      let lines = (0..<rows).map { i in
        let text = (0...(i % 4)).map { words[(3 * i + 7 * $0) % 10] }.joined(separator: " ")
        return "\(text)\t\(i % 3 == 0 ? "yes" : "no")"
      }
      try AtomicFile.write(
        (["text\tlabel"] + lines).joined(separator: "\n") + "\n", to: folder + "/\(name).tsv")
    }
  }

  /// For an `on_step` callback: ends the script at step 5 if its host says so (`ScriptHost.with`), which is no part of what the
  /// callback is. The trainer saves no more often than is cheap, so that it is given some time before.
  static let stop = """
    if stopping() and t.step == 4 then
      local start = os.clock()
      while os.clock() - start < 0.3 do end
    elseif stopping() and t.step == 5 then
      error('stop')
    end
    """

  /// Whether a training whose first step has this number went on from a saved state.
  static func wentOn(_ first: String?) -> Bool? { first.flatMap { Int($0) }.map { (2...5).contains($0) } }

  /// `score(model)`: the model's answer to two texts, as text with numbers in this format.
  static func score(_ format: String = "%.9g") -> String {
    """
    local texts = { 'good film', 'bad plot the music was fine' }
    local function score(model)
      local out = {}
      for i, p in ipairs(model:predict(texts)) do out[i] = string.format('\(format)', p.probabilities.yes) end
      return table.concat(out, ' ')
    end

    """
  }

  /// A script's beginning: defines `options(model, task)` and `make()`; `SETTINGS` are further training arguments.
  static func script(_ folder: String, _ settings: String) -> String {
    """
    local base = models.from_config { config = '\(folder)' }
    local task = tasks.table { train_file = '\(folder)/train.tsv', validation_files = { '\(folder)/dev.tsv' },
      text_column = 'text', label_column = 'label' }
    local function make()
      return base:classifier { task = task }:add_adapter(adapters.lora { r = 4, lora_dropout = 0.1 })
    end
    local function options(model)
      return { model = model, task = task, num_train_epochs = 2, max_length = 32, learning_rate = 5e-3, per_device_train_batch_size = 4,
        weight_decay = 0.01, \(settings) }
    end

    """
  }
}
