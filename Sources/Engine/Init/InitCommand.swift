import Diagnostics
import Files
import Tasks

/// What `perigee init` was asked for: a script for what a folder holds.
public struct InitCommand {
  public var folder = "."
  /// Whether the script may be replaced.
  public var overwrites = false

  /// The script's name in the folder.
  public static let scriptName = "pipeline.lua"

  public init() {}

  /// Writes the script, and returns lines about it.
  public func run() throws -> String {
    let path = FilePath.join(FilePath.expandHome(folder), Self.scriptName)
    guard overwrites || !fileExists(path) else {
      throw EngineError(.file, "\(path): exists already", hint: "choose another folder, or give --overwrite")
    }
    let guess = try FolderGuess(FilePath.expandHome(folder))
    try AtomicFile.write(guess.script, to: path)
    let place = folder == "." ? "" : "cd \(folder) && "
    return """
      \(path): \(guess.summary)
      \(place)perigee check \(Self.scriptName)    # reads the data, and says what would be trained
      \(place)perigee run \(Self.scriptName)
      """
  }
}

extension FolderGuess {
  /// What was found, in one line.
  var summary: String {
    let what =
      switch task {
      case .labels(let text, let pair, let label, let isScore):
        "\(isScore ? "a score" : "classes") '\(label)' of '\(text)'" + (pair.map { " and '\($0)'" } ?? "")
      case .completions(let prompt, let completion): "'\(completion)' for each '\(prompt)'"
      case .texts: "the texts themselves"
      }
    return "\(what), \(rows) rows of \(train)"
      + (validation.map { ", measured on \($0)" } ?? "") + ", with " + (model.map { "the model in \($0.path)" } ?? "a small built-in model")
  }

  /// Whether a new model that writes has to be made, because none is there.
  private var isNewWriter: Bool { if case .completions = task { model == nil } else { false } }

  /// The pipeline.
  var script: String {
    """
    -- \(summary.prefix(1).uppercased() + summary.dropFirst()).
    -- 'perigee run \(InitCommand.scriptName) --help' shows the parameters; --set NAME=VALUE changes one.
    local p = params {
    \(isNewWriter ? "" : "  model = { \(quoted(model?.path ?? "builtin:tiny")), doc = \"model folder, or hub name in the local cache\" },\n")\
      epochs = { 3, min = 1, doc = "passes over the training data" },
      learning_rate = { \(isNewWriter ? "5e-3" : "2e-3"), min = 0, doc = "the highest step size" },
      batch_size = { 16, min = 1, doc = "examples of one update" },
      r = { 8, min = 1, doc = "rank of the adapter" },
    }

    -- The data. 'perigee help tasks' lists what else there is.
    \(data)

    -- A stage's result is kept: the same one is loaded the next time, and a changed one is trained anew.
    local result = stage("train", function()
    \(modelLines)
      return trainer.fit {
        model = model, task = task, num_train_epochs = p.epochs, learning_rate = p.learning_rate,
        per_device_train_batch_size = p.batch_size, \(validation == nil ? "eval_strategy = \"no\"" : "load_best_model_at_end = true"),
      }
    end)

    -- What the run directory's results.json has as well. 'perigee predict' asks the model about new rows.
    report.table { { trainable = result.trainable, \(validation == nil ? "steps = result.steps" : "loss = result.metrics.eval_loss") } }

    """
  }

  private func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }

  private var data: String {
    let name = quoted(train)
    switch task {
    case .labels(let text, let pair, let label, let isScore):
      return "local task = tasks.table {\n  train_file = \(name)\(validationFile),\n  text_column = \(quoted(text))"
        + (pair.map { ", text_pair_column = \(quoted($0))" } ?? "") + ", label_column = \(quoted(label))"
        + (isScore ? ", problem_type = \"regression\"" : "") + ",\n}"
    case .completions(let prompt, let completion):
      let isPair = model?.kind == Seq2SeqLM.self
      return "local task = tasks.\(isPair ? Seq2SeqLM.name : CausalLM.name) {\n  train_file = \(name)\(validationFile),\n"
        + "  \(isPair ? "input" : "prompt")_column = \(quoted(prompt)), \(isPair ? "target" : "completion")_column = \(quoted(completion)),\n}"
    case .texts:
      return "local task = tasks.\(textKind) { train_file = \(name)\(validationFile) }"
    }
  }

  private var validationFile: String { validation.map { ", validation_file = \(quoted($0))" } ?? "" }
  private var textKind: String { model?.kind == CausalLM.self ? CausalLM.name : MaskedLM.name }

  private var modelLines: String {
    switch task {
    case .labels: "  local model = models.load(p.model):classifier { task = task }:add_adapter(adapters.lora { r = p.r, lora_alpha = 2 * p.r })"
    case .completions where isNewWriter:
      """
        -- No model lies here: a small GPT-2 begins with random weights. models.load("FOLDER") takes one that is trained.
        local tokenizer = tokenizers.train(task, { vocab_size = 2000 })
        local config = { model_type = "gpt2", n_layer = 4, n_embd = 128, n_head = 4, n_positions = 256 }
        local model = models.from_config { config = config, tokenizer = tokenizer }:causal_lm()
      """
    case .completions:
      "  local model = models.load(p.model):\(model?.kind == Seq2SeqLM.self ? Seq2SeqLM.name : CausalLM.name)()\n"
        + "  model:add_adapter(adapters.lora { r = p.r, lora_alpha = 2 * p.r })"
    case .texts: "  local model = models.load(p.model):\(textKind)():add_adapter(adapters.lora { r = p.r, lora_alpha = 2 * p.r })"
    }
  }
}
