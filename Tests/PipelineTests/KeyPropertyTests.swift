import Adapters
import Diagnostics
import Files
import Foundation
import TensorCore
import TestSupport
import Testing
import Training

@testable import Bindings
@testable import Engine

/// A stage's key changes if and only if the result of a fresh training does: one thing is changed at a time, of everything that
/// goes into a stage.
@Suite(.engine) struct KeyPropertyTests {
  /// One stage: what differs between two of them is what a row changes.
  struct Stage: Hashable {
    /// Lua before the task is made.
    var before = ""
    /// Makes the model.
    var model = "make()"
    /// Training arguments and functions, further ones.
    var settings = ""
    var seed = 42
    var precision = Precision.fp32
    /// Files that take the place of the task's own, by name.
    var files: [String: String] = [:]
    /// What the script trains on, in place of TinyTask's.
    var script: String?
  }

  struct Row: CustomTestStringConvertible, Sendable {
    var name: String
    var a: Stage
    var b: Stage
    /// Why the key may change though the result stays.
    var needless: String?
    var testDescription: String { name }

    init(_ name: String, _ a: Stage, _ b: Stage, needless: String? = nil) {
      (self.name, self.a, self.b, self.needless) = (name, a, b, needless)
    }
  }

  /// What a stage stored: the key, and weights and metrics to the bit.
  struct Outcome: Equatable {
    var key: String
    var result: JSONValue
  }

  /// Stages that were run before.
  private final class Known: @unchecked Sendable {
    // The suite's tests run one at a time.
    var outcomes: [Stage: Outcome] = [:]
  }
  private static let known = Known()

  private func run(_ stage: Stage) throws -> Outcome {
    if let outcome = Self.known.outcomes[stage] { return outcome }
    let before = Precision.current
    Precision.current = stage.precision
    defer { Precision.current = before }
    let outcome = try ScriptHost.with(seed: stage.seed) { host, folder in
      try TinyTask.write(to: folder)
      for (name, text) in stage.files { try AtomicFile.write(text, to: folder + "/" + name) }
      let script =
        stage.script ?? TinyTask.script(folder, "max_steps = 2, warmup_steps = 0, " + stage.settings)
        + "local m = \(stage.model)\ntrainer.fit(options(m))"
      try AtomicFile.write(stage.before + "\n" + script.replacing("FOLDER", with: folder), to: folder + "/t.lua")
      try host.state.run(file: folder + "/t.lua")
      let stages = folder + "/store/stages-3"
      let key = try #require(AtomicFolder.names(in: stages).last)
      let manifest = try JSONValue(file: stages + "/" + key + "/manifest.json")
      let weights = ["weights.safetensors", "model/model.safetensors"].compactMap { manifest["files"]?[$0] }
      return Outcome(key: key, result: ["weights": .array(weights), "metrics": manifest["facts"]?["facts"]?["metrics"] ?? .null])
    }
    Self.known.outcomes[stage] = outcome
    return outcome
  }

  private func check(_ row: Row) throws {
    var outcomes: [Outcome] = []
    do {
      outcomes = try [run(row.a), run(row.b)]
    } catch {
      Issue.record("\(row.name): \(error)")
      return
    }
    let (a, b) = (outcomes[0], outcomes[1])
    let isOtherKey = a.key != b.key
    let isOtherResult = a.result.encoded(.canonical) != b.result.encoded(.canonical)
    if isOtherResult {
      #expect(isOtherKey, "\(row.name): FALSE REUSE: another result under one key")
    } else {
      #expect(
        isOtherKey == (row.needless != nil),
        "\(row.name): \(isOtherKey ? "NEEDLESS: another key for the same result" : "the reason for another key is none")")
    }
    if isOtherResult, let needless = row.needless { Issue.record("\(row.name): the result changes, so the reason is none: \(needless)") }
  }

  // MARK: Training arguments

  /// A row, or several, for each training argument.
  static let arguments: [(field: String, a: String, b: String, needless: String?)] = [
    ("num_train_epochs", "max_steps = -1, num_train_epochs = 0.3", "max_steps = -1, num_train_epochs = 0.5", nil),
    ("num_train_epochs", "num_train_epochs = 2", "num_train_epochs = 3", nil),
    ("max_steps", "", "max_steps = 3", nil),
    ("learning_rate", "", "learning_rate = 1e-3", nil),
    ("lr_scheduler_type", "", "lr_scheduler_type = 'constant'", nil),
    ("lr_scheduler_kwargs", "lr_scheduler_type = 'cosine'", "lr_scheduler_type = 'cosine', lr_scheduler_kwargs = { num_cycles = 2 }", nil),
    ("warmup_steps", "", "warmup_steps = 1", nil),
    ("warmup_ratio", "", "warmup_ratio = 0.5", nil),
    ("warmup_ratio", "warmup_steps = 1", "warmup_steps = 1, warmup_ratio = 0.5", nil),
    ("weight_decay", "", "weight_decay = 0.5", nil),
    ("parameter_groups", "", "parameter_groups = { { params = 'classifier', learning_rate = 1e-2 } }", nil),
    ("loraplus_lr_ratio", "", "loraplus_lr_ratio = 4", nil),
    (
      "loraplus_lr_embedding", "loraplus_lr_ratio = 4", "loraplus_lr_ratio = 4, loraplus_lr_embedding = 1e-3",
      "no adapter of embeddings is there to use it"
    ),
    ("optim", "", "optim = 'lion'", nil),
    ("optim", "", "optim = 'paged_adamw_32bit'", nil),
    ("optim_args", "optim = 'sgd'", "optim = 'sgd', optim_args = { momentum = 0.9 }", nil),
    ("adam_beta1", "", "adam_beta1 = 0.5", nil),
    ("adam_beta2", "", "adam_beta2 = 0.5", nil),
    ("adam_epsilon", "", "adam_epsilon = 1e-3", nil),
    ("max_grad_norm", "", "max_grad_norm = 0.01", nil),
    ("per_device_train_batch_size", "", "per_device_train_batch_size = 8", nil),
    ("per_device_eval_batch_size", "", "per_device_eval_batch_size = 2", nil),
    ("gradient_accumulation_steps", "", "gradient_accumulation_steps = 2", nil),
    ("micro_batch_size", "", "micro_batch_size = 2", nil),
    ("label_smoothing_factor", "", "label_smoothing_factor = 0.1", nil),
    ("label_smoothing_type", "label_smoothing_factor = 0.1", "label_smoothing_factor = 0.1, label_smoothing_type = 'fairseq'", nil),
    ("eval_strategy", "", "eval_strategy = 'steps'", "the stage's log has other rows"),
    ("eval_steps", "eval_strategy = 'steps', eval_steps = 1", "eval_strategy = 'steps', eval_steps = 2", "the stage's log has other rows"),
    ("logging_steps", "", "logging_steps = 1", "the stage's log has other rows"),
    ("load_best_model_at_end", Self.worse, Self.worse + ", load_best_model_at_end = true", nil),
    (
      "metric_for_best_model", Self.worse + ", load_best_model_at_end = true, metric_for_best_model = 'loss', greater_is_better = true",
      Self.worse + ", load_best_model_at_end = true, metric_for_best_model = 'accuracy'", nil
    ),
    ("metric_for_best_model", "", "metric_for_best_model = 'loss'", "trainer_state.json tells the best evaluation"),
    (
      "greater_is_better", Self.worse + ", load_best_model_at_end = true, metric_for_best_model = 'loss'",
      Self.worse + ", load_best_model_at_end = true, metric_for_best_model = 'loss', greater_is_better = true", nil
    ),
    ("greater_is_better", "", "greater_is_better = false", "trainer_state.json tells the best evaluation"),
    ("early_stopping_patience", Self.worse, Self.worse + ", early_stopping_patience = 1", nil),
    ("early_stopping_threshold", Self.better, Self.better + ", early_stopping_threshold = 0.9", nil),
    ("train_sampling_strategy", "", "train_sampling_strategy = 'sequential'", nil),
    ("gradient_checkpointing", "", "gradient_checkpointing = true", nil),
    ("max_length", "", "max_length = 4", nil),
    ("max_length", "", "max_length = 31", "whether a text is cut is not known before it was read"),
    ("mlm_probability", "", "mlm_probability = 0.5", nil),
    ("frozen_layer_dropout", "", "frozen_layer_dropout = false", "nothing is frozen below what trains"),
    ("frozen_cache_mib", "", "frozen_cache_mib = 0", nil),
    ("seed", "", "seed = 7", nil),
    ("seed", "", "seed = 42", nil),
    ("save_seconds", "", "save_seconds = 0", nil),
  ]

  /// Evaluations that get worse: the best is not the last.
  private static let worse =
    "max_steps = 4, eval_strategy = 'steps', eval_steps = 1, metric_for_best_model = 'loss', learning_rate = 0.3, lr_scheduler_type = 'constant'"

  /// A metric that gets a little better in every evaluation.
  private static let better = """
    max_steps = 4, eval_strategy = 'steps', eval_steps = 1, metric_for_best_model = 'mine', early_stopping_patience = 1,
    compute_metrics = (function() local n = 0 return function() n = n + 0.1 return { mine = n } end end)()
    """

  @Test func everyTrainingArgumentHasARow() {
    // A classifier writes nothing: see WrittenEvaluationTests, LogitsProcessorTests and Seq2SeqLMTests.
    #expect(Set(Self.arguments.map(\.field) + ["generation", "max_target_length"]) == Set(TrainingArguments.fields.map(\.name)))
    let functions = FitOptions.fields.filter { $0.typeName.hasPrefix("fun(") || $0.typeName.contains("|fun(") }.map(\.name)
    #expect(Set(functions) == Set(Self.roles.map(\.name) + ["logits_processor"]))
    #expect(Self.rowCount >= 200, "\(Self.rowCount)")
  }

  @Test func trainingArguments() throws {
    for (field, a, b, needless) in Self.arguments {
      try check(Row("\(field): \(a) -> \(b)", Stage(settings: a), Stage(settings: b), needless: needless))
    }
    let head = "base:classifier { task = task }:add_adapter(adapters.classifier {})"
    try check(Row("frozen_layer_dropout below a head", Stage(model: head), Stage(model: head, settings: "frozen_layer_dropout = false")))
    let language = """
      local base = models.from_config { config = 'FOLDER' }
      trainer.fit { model = base:masked_lm(), task = tasks.masked_lm { train_file = 'FOLDER/dev.tsv' }, max_steps = 1, max_length = 16, SETTINGS }
      """
    func stage(_ settings: String) -> Stage { Stage(script: language.replacing("SETTINGS", with: settings)) }
    try check(Row("mlm_probability of a language model", stage(""), stage("mlm_probability = 0.9")))
    try check(Row("frozen_layer_dropout of a language model", stage(""), stage("frozen_layer_dropout = false"), needless: "no layer is frozen"))
  }

  // MARK: Adapters

  /// Values for options that have none to start from, and settings that give an option a meaning: by method and option.
  static let values: [String: (common: String, value: String)] = [
    "lora.rank_pattern": ("", "{ query = 2 }"), "lora.alpha_pattern": ("", "{ query = 2 }"),
    "lora.target_modules": ("", "{ 'key' }"), "lora.exclude_modules": ("", "{ 'value' }"), "lora.modules_to_save": ("", "{ 'classifier', 'pooler' }"),
    "lora.layers_to_transform": ("", "{ 1 }"), "lora.layers_pattern": ("layers_to_transform = { 1 }", "{ 'layer' }"),
    "lora.bias": ("", "'all'"), "lora.adapter_name": ("", "'other'"), "lora.seed": ("", "7"), "lora.init_lora_weights": ("", "'gaussian'"),
    "delora.lora_alpha": ("", "3"), "delora.over": ("", ""),  // It needs a LoRA below: see `dataRows`.
    // The model here has no fused layers.
    "lora_fused.r": ("", ""), "lora_fused.lora_alpha": ("", ""), "lora_fused.lora_dropout": ("", ""), "lora_fused.parts": ("", ""),
    "loha.rank_pattern": ("", "{ query = 2 }"), "loha.alpha_pattern": ("", "{ query = 2 }"),
    "lokr.rank_pattern": ("r = 2", "{ query = 1 }"), "lokr.alpha_pattern": ("r = 2", "{ query = 2 }"), "lokr.decompose_factor": ("", "2"),
    "lokr.decompose_both": ("r = 1", "true"), "lokr.r": ("r = 1", "2"), "lokr.alpha": ("r = 1", "4"),
    "vera.r": ("r = 8", "9"), "dylora.ranks": ("", "{ 2, 3 }"), "ia3.feedforward_modules": ("", "{}"),
    "houlsby.non_linearity": ("", "'relu'"), "pfeiffer.non_linearity": ("", "'gelu'"),
    "prefix_tuning.encoder_hidden_size": ("prefix_projection = true", "16"), "p_tuning.encoder_hidden_size": ("", "16"),
    "prompt_tuning.prompt_tuning_init_text": ("prompt_tuning_init = 'TEXT', prompt_tuning_init_text = 'good film'", "'bad plot'"),
    "prompt_tuning.prompt_tuning_init": ("", "'SAMPLE_VOCAB'"), "bitfit.biases": ("", "{ 'query' }"),
    "selective.parameters": ("", "{ 'key.weight' }"),
    "glora.config_A_B": ("", "'vector'"), "glora.config_C": ("", "'vector'"), "glora.config_D_E": ("", "'vector'"),
    "adalora.init_r": ("init_r = 4, target_r = 2", "5"), "adalora.target_r": ("init_r = 4, target_r = 2", "1"),
  ]

  /// What every method starts from, if it is not its defaults.
  static let starts: [String: String] = [
    "adalora": "init_r = 4, target_r = 2", "vera": "r = 8", "prefix_tuning": "num_virtual_tokens = 4", "prompt_tuning": "num_virtual_tokens = 4",
    "p_tuning": "num_virtual_tokens = 4", "lora_mini": "r = 2, a = 4, b = 4", "houlsby": "r = 4", "pfeiffer": "r = 4",
  ]

  /// Options that may change the key and leave this training as it is.
  static let needlessOptions: [String: String] = [
    "vera.save_projection": "what the stage's folder holds depends on it",
    "adalora.beta1": "after these few updates, averages of any length cut the same ranks",
    "adalora.beta2": "after these few updates, averages of any length cut the same ranks",
  ]

  /// Every method with every option of its own, and LoRA with those that all have.
  static let adapterRows: [Row] = AdapterCatalogue.methods.flatMap { rows(of: $0) }

  private static func rows<Method: AdapterMethod>(of method: Method.Type) -> [Row] {
    let name = method.name
    guard case .table(let defaults) = AdapterOptions<Method>().configValue else { return [] }
    let fields = AdapterOptions<Method>.fields
    let shared = Set(AdapterTargets.fields.map(\.name) + ["adapter_name", "seed"])
    let methods = fields.filter { name == "lora" || !shared.contains($0.name) }
    return methods.compactMap { field -> Row? in
      let place = name + "." + field.name
      let given = values[place]
      if given?.value == "" { return nil }
      let start = given.map(\.common).flatMap { $0.isEmpty ? nil : $0 } ?? starts[name] ?? ""
      let value = given?.value ?? changed(defaults.fields[field.name] ?? .null, field.choices) ?? "no value for \(place)"
      func stage(_ options: String) -> Stage {
        Stage(model: "base:classifier { task = task }:add_adapter(adapters.\(name) { \(options) })", settings: "max_steps = 3")
      }
      return Row(place, stage(start), stage(start + (start.isEmpty ? "" : ", ") + "\(field.name) = \(value)"), needless: needlessOptions[place])
    }
  }

  /// Another value than the default, in Lua.
  private static func changed(_ value: ConfigValue, _ choices: [String]?) -> String? {
    switch value {
    case .text(let text): choices?.first { $0 != text }.map { "'\($0)'" }
    case .bool(let flag): "\(!flag)"
    case .integer(let number): "\(number + 1)"
    case .number(let number): number == 0 ? "0.25" : "\(number / 2)"
    default: nil
    }
  }

  @Test func adapterOptions() throws {
    for row in Self.adapterRows { try check(row) }
  }

  // MARK: Functions

  /// How each role's function makes the result depend on a number.
  static let roles: [(name: String, function: @Sendable (String) -> String)] = [
    ("on_step", { "on_step = function(t) t.learning_rate = 1e-3 * \($0) end" }),
    ("on_evaluate", { "eval_strategy = 'steps', eval_steps = 1, on_evaluate = function(t, metrics) t.learning_rate = 1e-3 * \($0) end" }),
    ("on_epoch", { "per_device_train_batch_size = 22, on_epoch = function(t) t.learning_rate = 1e-3 * \($0) end" }),
    ("loss", { "max_grad_norm = 0, optim = 'sgd', loss = function(logits, labels) return logits:cross_entropy(labels) * \($0) end" }),
    ("lr_scheduler_type", { "lr_scheduler_type = function(step, total) return \($0) end" }),
    ("compute_metrics", { "compute_metrics = function(predictions) return { mine = \($0) } end" }),
  ]

  /// What a function may have captured, with two values of it.
  static let captured: [(kind: String, before: @Sendable (String) -> String, use: String, values: (String, String))] = [
    ("a number", { "local a = \($0)" }, "a", ("1", "2")),
    ("a text", { "local a = \($0)" }, "#a", ("'x'", "'xx'")),
    ("a truth", { "local a = \($0)" }, "(a and 1 or 2)", ("true", "false")),
    ("a nested table", { "local a = { b = { 1, { \($0) } } }" }, "a.b[2][1]", ("1", "2")),
    ("a function", { "local function f() return \($0) end" }, "f()", ("1", "2")),
    (
      "what a captured function captured", { "local n = \($0)\nlocal function f() return n end\nlocal function g() return f() end" }, "g()",
      ("1", "2")
    ),
    ("a tensor", { "local a = tensor({ \($0) })" }, "a:item()", ("1", "2")),
    ("a metatable", { "local a = setmetatable({}, { __index = function() return \($0) end })" }, "a.x", ("1", "2")),
    ("a changed global", { "rawset(_G, 'mine', \($0))" }, "mine", ("1", "2")),
    ("a changed library", { "math.mine = \($0)" }, "math.mine", ("1", "2")),
    ("a replaced function of the library", { "math.floor = math.\($0)" }, "math.floor(1.5)", ("floor", "ceil")),
    ("a function of the library", { "local f = math.\($0)" }, "f(1.5)", ("floor", "ceil")),
    ("a result's number", { "local a = { result = { metrics = { eval_x = \($0) } } }" }, "a.result.metrics.eval_x", ("1", "2")),
  ]

  static let functionRows: [[Row]] = roles.enumerated().map { number, role in
    // All kinds with two roles, and the rest shared among the others: what is captured is described in one place.
    captured.enumerated().filter { number == 0 || number == 3 || $0.offset % 2 == number % 2 }.map(\.element).map { kind, before, use, values in
      Row(
        "\(role.name) with \(kind)", Stage(before: before(values.0), settings: role.function(use)),
        Stage(before: before(values.1), settings: role.function(use)))
    } + [
      Row("\(role.name): a constant in its code", Stage(settings: role.function("1")), Stage(settings: role.function("2"))),
      Row(
        "\(role.name): a comment and lines", Stage(settings: role.function("1")),
        Stage(before: "-- moved\n\n", settings: role.function("--[[ one ]]\n 1"))),
      Row(
        "\(role.name): names", Stage(before: "local a = 1", settings: role.function("a")),
        Stage(before: "local unused, b = 5, 1", settings: role.function("b"))),
      Row(
        "\(role.name): an unread global", Stage(settings: role.function("1")), Stage(before: "rawset(_G, 'mine', 1)", settings: role.function("1"))),
      Row(
        "\(role.name): what it requires",
        Stage(before: "local lib = require 'lib'", settings: role.function("lib.x()"), files: ["lib.lua": library("1")]),
        Stage(before: "local lib = require 'lib'", settings: role.function("lib.x()"), files: ["lib.lua": library("2")])),
      Row(
        "\(role.name): a comment in what it requires",
        Stage(before: "local lib = require 'lib'", settings: role.function("lib.x()"), files: ["lib.lua": library("1")]),
        Stage(before: "local lib = require 'lib'", settings: role.function("lib.x()"), files: ["lib.lua": "-- says nothing\n" + library("1")])),
      Row(
        "\(role.name): what it requires by itself",
        Stage(before: "require 'lib'", settings: role.function("require('lib').x()"), files: ["lib.lua": library("1")]),
        Stage(before: "require 'lib'", settings: role.function("require('lib').x()"), files: ["lib.lua": library("2")])),
    ]
  }

  private static func library(_ value: String) -> String { "local n = \(value)\nreturn { x = function() return n end }\n" }

  @Test(arguments: roles.indices) func functions(role: Int) throws {
    for row in Self.functionRows[role] { try check(row) }
  }

  /// A live parameter, and a copy of it that stays: equal when the training begins.
  @Test func aParameterIsNoCopyOfIt() throws {
    func stage(_ tensor: String) -> Stage {
      Stage(
        before: "local w", model: "(function() local m = make() w = m:parameter('classifier.bias')\(tensor) return m end)()",
        settings: "on_step = function(t) t.learning_rate = 1e-3 + w:abs():sum():item() end")
    }
    try check(Row("a parameter and its copy", stage(""), stage(":clone()")))
    try check(Row("a parameter and a view", stage(""), stage(":detach()"), needless: "a view is another object on the same memory"))
    func other(_ value: String) -> Stage {
      Stage(
        before: "local other",
        model: "(function() other = make() tensor.no_grad(function() other:parameter('classifier.bias'):fill_(\(value)) end) return make() end)()",
        settings: "on_step = function(t) t.learning_rate = other:parameter('classifier.bias'):get(0) end")
    }
    try check(Row("another model's parameter", other("1e-3"), other("2e-3")))
  }

  // MARK: Data, models and methods

  private static let tsv = "text\tlabel\n" + (0..<12).map { "the \(["good", "bad", "fine"][$0 % 3]) film\t\($0 % 2 == 0 ? "yes" : "no")\n" }.joined()
  private static let define = """
    local scale = SCALE
    adapters.define('mine', {
      config = { k = 2.0 },
      build = function(layer) return { a = tensor.zeros(layer.out_features) } end,
      delta = function(x, w, c) return x:sum(-1, true):mul(scale * c.k) * w.a end,
    })
    """

  static let dataRows: [Row] = {
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "fine", "film", "plot", "music", "the", "was", "very", "not"]
    func vocab(_ words: [String]) -> [String: String] { ["vocab.txt": words.joined(separator: "\n") + "\n"] }
    func task(_ options: String) -> Stage {
      Stage(
        script: """
          local base = models.from_config { config = 'FOLDER' }
          local task = tasks.table { train_file = 'FOLDER/train.tsv', text_column = 'text', label_column = 'label', \(options) }
          trainer.fit { model = base:classifier { task = task }:add_adapter(adapters.lora { r = 2 }), task = task, max_steps = 4, max_length = 16,
            eval_strategy = 'steps', eval_steps = 1, load_best_model_at_end = true, learning_rate = 0.3, lr_scheduler_type = 'constant' }
          """)
    }
    let dev = "validation_files = { 'FOLDER/dev.tsv' }"
    func with(_ stage: Stage, _ files: [String: String]) -> Stage {
      var stage = stage
      stage.files = files
      return stage
    }
    let base = Stage(files: ["train.tsv": tsv])
    func mine(_ scale: String, _ options: String = "") -> Stage {
      Stage(before: define.replacing("SCALE", with: scale), model: "base:classifier { task = task }:add_adapter(adapters.mine { \(options) })")
    }
    func over(_ options: String) -> Stage {
      Stage(
        model:
          "base:classifier { task = task }:add_adapter(adapters.lora { r = 2, init_lora_weights = false, adapter_name = 'below' }):add_adapter(adapters.delora { r = 2, \(options) })"
      )
    }
    func quantized(_ options: String) -> Stage {
      Stage(
        script: """
          local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 8, max_eval_samples = 4 })
          local model = models.load('builtin:tiny'\(options)):classifier { task = task }:add_adapter(adapters.lora { r = 2 })
          trainer.fit { model = model, task = task, max_steps = 1, max_length = 16 }
          """)
    }
    return [
      Row(
        "a word of a row", base, with(base, ["train.tsv": tsv.replacing("the good film\tyes\n", with: "the good music\tyes\n", maxReplacements: 1)])),
      Row(
        "a label of a row", base, with(base, ["train.tsv": tsv.replacing("the good film\tyes\n", with: "the good film\tno\n", maxReplacements: 1)])),
      Row("a row less", base, with(base, ["train.tsv": tsv.replacing("the good film\tyes\n", with: "", maxReplacements: 1)])),
      Row(
        "another order of rows", base,
        with(base, ["train.tsv": "text\tlabel\n" + tsv.split(separator: "\n").dropFirst().reversed().joined(separator: "\n") + "\n"])),
      Row("a column that is not read", base, with(base, ["train.tsv": tsv.replacing("\n", with: "\tx\n")])),
      Row("a row of the evaluation", base, with(base, ["train.tsv": tsv, "dev.tsv": "text\tlabel\nthe plot was bad\tno\n"])),
      Row("the order of labels", task(dev + ", labels = { 'no', 'yes' }"), task(dev + ", labels = { 'yes', 'no' }")),
      Row("the task's name", task(dev), task(dev + ", name = 'other'")),
      Row("metrics", task(dev), task(dev + ", metrics = { 'accuracy', 'f1' }")),
      Row(
        "the metric of the best", task(dev + ", metrics = { 'accuracy', 'matthews_correlation' }"),
        task(dev + ", metrics = { 'accuracy', 'matthews_correlation' }, metric_for_best_model = 'matthews_correlation'"),
        needless: "trainer_state.json tells the best evaluation"),
      Row(
        "which set chooses the best", task("validation_files = { 'FOLDER/dev.tsv', 'FOLDER/train.tsv' }"),
        task("validation_files = { 'FOLDER/train.tsv', 'FOLDER/dev.tsv' }")),
      Row("fewer rows", task(dev), task(dev + ", max_train_samples = 8")),
      Row("other rows", task(dev + ", max_train_samples = 8"), task(dev + ", max_train_samples = 8, sample_seed = 5")),
      Row("the vocabulary's order", with(base, vocab(vocabulary)), with(base, vocab(Array(vocabulary.dropLast(2)) + ["not", "very"]))),
      Row(
        "a word that no text has", with(base, vocab(vocabulary)), with(base, vocab(vocabulary + ["never"])),
        needless: "the tokenizer counts as a whole"),
      Row("the seed of the session", Stage(), Stage(seed: 43)),
      Row("the precision", Stage(), Stage(precision: .bf16)),
      Row(
        "the head's seed", Stage(), Stage(model: "base:classifier { task = task, seed = 5 }:add_adapter(adapters.lora { r = 4, lora_dropout = 0.1 })")
      ),
      Row(
        "a frozen weight", Stage(),
        Stage(model: "(function() local m = make() tensor.no_grad(function() m:parameter('classifier.bias'):fill_(1) end) return m end)()")),
      Row("what trains", Stage(), Stage(model: "(function() local m = make() m:freeze('lora_A') return m end)()")),
      Row("what takes part", Stage(), Stage(model: "(function() local m = make() m:unfreeze('layer.1') m:enable_adapters(false) return m end)()")),
      Row(
        "a forward pass before", Stage(),
        Stage(
          model:
            "(function() local m = make() m:train() local o = options(m) o.max_steps = 1 m:loss(trainer.loop(o):batches()[1]) m:eval() return m end)()"
        )),
      Row("a prediction before", Stage(), Stage(model: "(function() local m = make() m:predict { 'good film' } return m end)()")),
      Row(
        "inputs of the stage", Stage(script: staged("{ note = 1 }")), Stage(script: staged("{ note = 2 }")),
        needless: "the script says that the result depends on them"),
      Row("weights in 4 bits", quantized(""), quantized(", { quantization_config = { load_in_4bit = true } }")),
      Row(
        "how they are held", quantized(", { quantization_config = { load_in_4bit = true } }"),
        quantized(", { quantization_config = { load_in_4bit = true, bnb_4bit_quant_type = 'nf4' } }")),
      Row(
        "layers that are left out", quantized(", { quantization_config = { load_in_4bit = true } }"),
        quantized(", { quantization_config = { load_in_4bit = true, llm_int8_skip_modules = { 'value' } } }")),
      Row("what a DeLoRA is built over", over(""), over("over = 'below'")),
      Row("what a method in Lua captured", mine("1"), mine("2")),
      Row("what it captured, changed after it was defined", mine("1"), Stage(before: mine("1").before + "\nscale = 3", model: mine("1").model)),
      Row("an option of a method in Lua", mine("1"), mine("1", "k = 3.0")),
      Row("a comment in a method in Lua", mine("1"), mine("1 -- one")),
    ]
  }()

  private static func staged(_ inputs: String) -> String {
    TinyTask.script("FOLDER", "max_steps = 1") + "stage('s', \(inputs), function() return trainer.fit(options(make())) end)"
  }

  @Test func dataModelsAndMethods() throws {
    for row in Self.dataRows { try check(row) }
  }

  private static var rowCount: Int { arguments.count + 3 + adapterRows.count + functionRows.reduce(0) { $0 + $1.count } + 3 + dataRows.count }
}
