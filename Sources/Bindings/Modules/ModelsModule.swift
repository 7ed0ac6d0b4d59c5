import Adapters
import Checkpoints
import Datasets
import Diagnostics
import Engine
import Files
import LuaHost
import LuaMethods
import LuaTensors
import Tasks
import TensorCore
import Tokenizers
import Training
import TransformerModels

import class NN.Linear

extension PretrainedModel: LuaObject {
  public static var luaName: String { "BaseModel" }
}

extension TrainableModel: LuaObject {
  public static var luaName: String { "Model" }
}

/// Options that give a model its head.
struct HeadOptions: LuaRecord {
  var task: Task?
  var numLabels: Int?
  var labels: [String]?
  var problemType: ProblemTypeName?
  var seed: Int?

  static let recordName = "head options"
  static let fields: [Field<Self>] = [
    .object("task", \.task, "the task whose labels the head has; instead of the other fields", type: "Task"),
    .int("num_labels", \.numLabels, "number of classes; 1 for regression", in: 1...1_000_000),
    .value("labels", \.labels, "names of the classes, in order; default: those of the task, else LABEL_0, ..."),
    .value("problem_type", \.problemType, "default: regression for one label, else classification"),
    .int("seed", \.seed, "seeds the head's weights; default: --seed, else 42", in: 0...),
  ]

  static let foreignNames: [String: ForeignName] = [
    "num_classes": .isCalled("num_labels"), "n_labels": .isCalled("num_labels"), "id2label": .isCalled("labels", reason: "a list of names in order"),
    "label2id": .isCalled("labels", reason: "a list of names in order"), "label_names": .isCalled("labels"), "label_list": .isCalled("labels"),
    "dropout": .isLeftOut("leave it out: dropout is the model's, classifier_dropout in config.json"),
    "classifier_dropout": .isLeftOut("leave it out: dropout is the model's, classifier_dropout in config.json"),
  ]

  /// What the head is for; nil where the options do not say it.
  func wanted() throws -> (any SequenceTaskType)? {
    task == nil && numLabels == nil && labels == nil && problemType == nil ? nil : try type()
  }

  /// What the head is for. Throws where the options do not say it.
  func type() throws -> any SequenceTaskType {
    if let task {
      guard numLabels == nil, labels == nil, problemType == nil else {
        throw EngineError(
          .argument, "head options: task is given, and num_labels, labels or problem_type too", hint: "leave these out: the task says them")
      }
      if let type = task.task.type as? any SequenceTaskType { return type }
      throw EngineError(.argument, "head options: task '\(task.task.name)' is not a classification", hint: "call \(task.task.type.name)()")
    }
    let count = numLabels ?? labels?.count
    guard let count else {
      throw EngineError(.argument, "head options: give task, num_labels or labels")
    }
    if let labels, labels.count != count {
      throw EngineError(.argument, "head options: num_labels = \(count), but there are \(labels.count) labels")
    }
    let type = problemType?.type ?? TaskTypeCatalogue.usualSequenceType(labels: count)
    guard type.labelCounts.contains(count) else {
      let expected = type.labelCounts.count == 1 ? "1" : "at least \(type.labelCounts.lowerBound)"
      throw EngineError(.argument, "head options: \(type.name) with \(count) label\(count == 1 ? "" : "s"): expected \(expected)")
    }
    let names = labels ?? HuggingFaceConfig.placeholders(count)
    if let twice = names.indices.first(where: { names[..<$0].contains(names[$0]) }) {
      throw EngineError(.argument, "head options: labels has '\(names[twice])' twice")
    }
    return type == Regression.self ? Regression() : type.init(labels: names)
  }
}

/// Options of `BaseModel:classifier`.
struct ClassifierOptions: LuaRecord {
  var options = HeadOptions()
  var head: HeadChoiceOption?

  static let recordName = HeadOptions.recordName
  static let typeName = "ClassifierOptions"
  static var foreignNames: [String: ForeignName] { HeadOptions.foreignNames }
  static let fields: [Field<Self>] =
    Field.fields(of: \.options) + [
      .value(
        "head", \.head,
        "the folder's, which must be one for these labels, or a new one; default: the folder's where the names of its labels are the same, in any order, or it has none, else a new one"
      )
    ]
}

/// Whether the head's values are the saved ones.
enum HeadChoiceOption: String, LuaChoice {
  case saved, new

  var loading: HeadLoading { self == .new ? .new : .saved }
}

/// A model's configuration, as a script gives it.
enum ConfigSource: FieldValue {
  case path(String)
  case values(JSONObject)

  static let typeName = "string|table"
  static let expected = "the path of a config.json, or a table of what one says"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> ConfigSource {
    if case .text(let path) = value { return .path(path) }
    if case .table(let table) = value, table.list.isEmpty, case .object(let values) = value.json { return .values(values) }
    throw ValueMismatch(expected: expected, found: value.briefly)
  }

  var configValue: ConfigValue {
    switch self {
    case .path(let path): .text(path)
    case .values(let values): JSONValue.object(values).configValue
    }
  }
}

/// Options of `models.from_config`.
struct ConfigOptions: LuaRecord {
  var config = ConfigSource.path("")
  var tokenizer: Tokenizer?
  var seed: Int?

  static let recordName = "from_config options"
  static let fields: [Field<Self>] = [
    .value(
      "config", \.config,
      "path of a config.json, or of its folder; or a table of what a config.json says, { model_type = \"gpt2\", n_layer = 6, ... }, in which vocab_size and the ids of special tokens are the tokenizer's unless they are given",
      required: true),
    .object("tokenizer", \.tokenizer, "default: the one in the folder", type: "Tokenizer"),
    .int("seed", \.seed, "seeds the weights; default: --seed, else 42", in: 0...),
  ]

  /// The configuration, and the tokenizer that belongs to it.
  func read() throws -> (config: HuggingFaceConfig, name: String, tokenizer: Tokenizer) {
    switch config {
    case .path(let given):
      let path = given.hasSuffix(".json") ? given : given + "/config.json"
      return (try HuggingFaceConfig(path: path), given, try tokenizer ?? Tokenizer.load(folder: FilePath.folder(of: path)))
    case .values(var values):
      guard let tokenizer else {
        throw EngineError(
          .argument, "\(Self.recordName): config is a table, which has no tokenizer beside it",
          hint: "give tokenizer, of tokenizers.load or tokenizers.train")
      }
      let ids = [
        ("vocab_size", Int32(tokenizer.vocabularySize)), ("bos_token_id", tokenizer.bosTokenId), ("eos_token_id", tokenizer.eosTokenId),
        ("pad_token_id", tokenizer.padTokenId),
      ]
      for case (let key, let id?) in ids where values[key] == nil { values[key] = .int(Int(id)) }
      return (HuggingFaceConfig(values, path: "config"), values["model_type"]?.stringValue ?? "config", tokenizer)
    }
  }
}

func modelsModule(_ session: Session) -> Module {
  Module(
    "models", "Transformer models from Hugging Face folders, or from a configuration with random weights.",
    classes: [baseModelClass(session).declaration, modelClass(session).declaration], absent: AbsentNames.models,
    functions: [
      Function(
        "load", "Opens a model folder; weights are mapped, not read.",
        Param<String>("name", "folder, also one that this script saved; hub name in the local Hugging Face cache; or \"builtin:tiny\""),
        Param<LoadOptions>("options", "see the fields"), returns: "base model"
      ) { name, options in try session.base(session.readablePath(name), options.quantizationConfig?.quantization) },
      Function(
        "from_config", "A model with seeded random weights.", Param<ConfigOptions>("options", "see the fields"),
        returns: "base model"
      ) { options in
        let (config, name, tokenizer) = try options.read()
        let base = try PretrainedModel(config: config, name: name, seed: UInt64(options.seed ?? session.seed))
        session.register(base, tokenizer: tokenizer)
        return base
      },
    ])
}

private func baseModelClass(_ session: Session) -> Class<PretrainedModel> {
  let members: [Member<PretrainedModel>] = [
    .property("name", "what it was loaded by") { $0.name },
    .property("model_type", "its architecture: \"bert\", \"roberta\"") { $0.architecture.modelType },
    .property("config", "the content of config.json") { JSONValue.object($0.config.values).lua },
    .property("tokenizer", "its tokenizer") { try session.tokenizer(of: $0) },
    .method(
      "classifier",
      "A model for classification or regression; without options, for what the folder's head is for. Everything but the head is frozen until an adapter says otherwise.",
      Param<ClassifierOptions>("options", "see the fields"), returns: "model"
    ) { base, options in
      let choice = try base.headChoice(for: options.options.wanted(), options.head?.loading)
      let network = try base.make(
        choice.type.head, settings: choice.type.settings, headSeed: UInt64(options.options.seed ?? session.seed), newHead: choice.isNew)
      if let note = choice.note { session.noteOnce(note) }
      reportUnused(base, session)
      try network.setTrainable(false)
      for (_, tensor) in network.headParameters { try tensor.setTrainable(true) }
      return TrainableModel(
        choice.type, network: network, base: base, tokenizer: try session.tokenizer(of: base), isHeadNew: choice.isNew)
    },
    .metamethod("__tostring", "name and architecture", Param<PretrainedModel>("base", "a base model")) {
      "BaseModel(\($0.name), \($0.architecture.modelType))"
    },
  ]
  return Class<PretrainedModel>(
    "A pre-trained body, from which models with heads are made. They share its frozen weights.",
    members: members + TaskTypeCatalogue.languageTypes.map { languageModel($0, session) })
}

/// `base:<name>()` of one language task.
private func languageModel<Kind: LanguageTaskType>(_ kind: Kind.Type, _ session: Session) -> Member<PretrainedModel> {
  .method(kind.name, kind.modelSummary, returns: "model") { base in
    let network = try base.languageModel(kind, seed: UInt64(session.seed))
    reportUnused(base, session)
    try network.setTrainable(network.quantizedWeights.isEmpty)
    return TrainableModel(Kind(), network: network, base: base, tokenizer: try session.tokenizer(of: base))
  }
}

/// `model:<name>()` of one language task.
private func languageHead<Kind: LanguageTaskType>(_ kind: Kind.Type) -> Member<TrainableModel> {
  .method(
    kind.name,
    "A model for `tasks.\(kind.name)` on what this model's body has learnt, with its adapters. All of it is frozen until an adapter or `unfreeze` says otherwise.",
    returns: "new model"
  ) { model in
    try model.requireIdle(kind.name)
    try model.base.requireFit(kind)
    return try model.newHead(Kind(), seed: 0)
  }
}

/// Says once which tensors of a checkpoint the model does not use, and which were initialised.
private func reportUnused(_ base: PretrainedModel, _ session: Session) {
  guard base.folder != nil else { return }
  let report = base.lastReport
  var parts: [String] = []
  if !report.missing.isEmpty { parts.append("newly initialised: \(listed(report.missing))") }
  if !report.unused.isEmpty { parts.append("not used: \(listed(report.unused))") }
  if !parts.isEmpty { session.noteOnce("\(base.name): " + parts.joined(separator: "; ")) }
}

private func modelClass(_ session: Session) -> Class<TrainableModel> {
  let members: [[Member<TrainableModel>]] = [
    modelState(session), modelChanges(session), [generateMethod(session)], embedMethods(), modelAdapters(), adapterChoices(),
    modelFiles(session), TaskTypeCatalogue.languageTypes.map { languageHead($0) }, [.absent(AbsentNames.model)],
  ]
  return Class<TrainableModel>("A model with a head, and the adapters attached to it.", members: Array(members.joined()))
}

/// What a model tells.
private func modelState(_ session: Session) -> [Member<TrainableModel>] {
  [
    .property("trainable", "number of trainable parameters") { $0.network.parameterCounts().trainable },
    .property("total", "number of parameters") { $0.network.parameterCounts().total },
    .property("labels", "names of the classes, in the order of the head's outputs") { $0.network.labels },
    .property("tokenizer", "its tokenizer") { $0.tokenizer },
    .property("head_modules", "paths of the head's modules") { $0.network.headModules },
    .method("parameters", "All parameters: tables of name, shape, count, trainable.", returns: "list of tables") { model in
      model.network.namedParameters().map { name, tensor in
        LuaTable(fields: [
          "name": .string(name), "shape": .table(LuaTable(list: tensor.shape.map { .integer($0) })),
          "count": .integer(tensor.count), "trainable": .bool(tensor.requiresGrad),
        ])
      }
    },
    .method("parameter", "One parameter as a tensor; writes to it change the model.", Param<String>("name", "its state-dict name"), returns: "tensor")
    {
      model, name in
      let all = model.network.namedParameters()
      if let found = all.first(where: { $0.name == name }) { return found.tensor }
      throw EngineError(
        .argument, "parameter: the model has no '\(name)'", hint: nearestName(to: name, among: all.map(\.name)).map { "did you mean '\($0)'?" })
    },
    .method("modules", "Paths of all linear layers: what target_modules can choose.", returns: "list of paths") { model in
      model.network.namedModules().filter { $0.module is Linear }.map(\.path)
    },
    .metamethod(
      "__tostring", "architecture, task, sizes, and the tree of modules with their shapes and adapters", Param<TrainableModel>("model", "a model")
    ) { model in
      let counts = model.network.parameterCounts()
      let adapters = model.adapters.map { "\($0.method.name) on \($0.sites.count) layers" }.joined(separator: ", ")
      return "Model(\(model.network.architecture.modelType), \(model.type.name), \(counts.trainable) of \(counts.total) parameters train"
        + (adapters.isEmpty ? ")\n" : "; \(adapters))\n") + model.network.tree()
    },
  ]
}

/// What changes a model.
private func modelChanges(_ session: Session) -> [Member<TrainableModel>] {
  func newHead(_ model: TrainableModel, _ options: HeadOptions) throws -> TrainableModel {
    try model.requireIdle("new_head")
    return try model.newHead(options.type(), seed: UInt64(options.seed ?? session.seed))
  }
  return [
    .method(
      "add_adapter", "Attaches a method; everything but its own parameters and modules_to_save is frozen.",
      Param<AdapterSpec>("adapter", "made by the module adapters"), returns: "the model"
    ) { model, spec in
      try model.requireIdle("add_adapter")
      try spec.targets.requireMatches(spec.method, in: model.network)
      try model.addAdapter(spec.method, name: spec.name, targets: spec.targets, seed: UInt64(spec.seed ?? session.seed))
      return model
    },
    .method(
      "new_head", "A model for another task: a new head on this body, with this model's adapters, frozen.",
      Param<HeadOptions>("options", "see the fields"), returns: "new model"
    ) { try newHead($0, $1) },
    .method(
      "classifier", "The same as new_head: a classifier on what this model's body has learnt.",
      Param<HeadOptions>("options", "see the fields"), returns: "new model"
    ) { try newHead($0, $1) },
    .method(
      "rename_labels", "Gives the classes other names: for a head whose labels have none, or that a task spells differently.",
      Param<[String]>("labels", "one for each output of the head, in order"), returns: "the model"
    ) { model, labels in
      try model.rename(labels: labels)
      return model
    },
    .method(
      "freeze", "Freezes parameters.", Param<String>("name", "a part of their paths: \"encoder.layer.0\", \"lora_A\""),
      returns: "how many numbers it met"
    ) {
      try $0.setTrainable(false, matching: $1)
    },
    .method(
      "unfreeze", "Lets parameters train.", Param<String>("name", "a part of their paths: \"classifier\", \"LayerNorm\""),
      returns: "how many numbers it met"
    ) {
      try $0.setTrainable(true, matching: $1)
    },
    .method("merge", "Puts the active adapters into the weights. A probe batch must give the same logits before and after, else nothing is merged.") {
      model in
      try model.requireIdle("merge")
      try model.merge()
    },
    .method("unmerge", "Takes merged updates out of the weights again.") { model in
      try model.requireIdle("unmerge")
      try model.network.unmerge()
    },
    .method(
      "enable_adapters", "Lets the adapters take part, or not. What was merged comes out of the weights first.",
      Param<Bool>("on", "whether they take part")
    ) { model, on in
      try model.requireIdle("enable_adapters")
      try model.network.setAdapters(enabled: on)
    },
    .method(
      "train", "Switches dropout on, for a training loop of one's own.", Param<Int?>("seed", "seeds dropout; default: --seed, else 42", in: 0...)
    ) { model, seed in
      try model.requireIdle("train")
      model.network.context.isTraining = true
      model.network.context.seed = UInt64(seed ?? session.seed)
    },
    .method("eval", "Switches dropout off.") { model in
      // In a training, prediction and evaluation drop nothing anyway.
      try model.requireIdle("eval")
      model.network.context.isTraining = false
    },
    .method("zero_grad", "Forgets all gradients.") { $0.network.zeroGrad() },
    .method(
      "loss", "The mean loss of a batch, for a training loop of one's own.", Param<BatchObject>("batch", "made by trainer.loop"),
      returns: "scalar tensor"
    ) { model, batch in
      try model.loss(batch.batch, labelSmoothing: batch.labelSmoothing, divisor: batch.divisor)
    },
    .method(
      "logits", "Scores of a batch, [sequences, labels], with gradients.", Param<BatchObject>("batch", "made by trainer.loop"), returns: "tensor"
    ) { model, batch in
      model.network.context.begin()
      return try model.network.logits(batch.batch, rows: .all)
    },
    .method(
      "predict", "Classifies texts, or gives their scores.",
      Param<PredictionInputs>("texts", "one text; or a list of texts and of pairs { \"a\", \"b\" }, so that a single pair is { { \"a\", \"b\" } }"),
      Param<Int>("max_length", "tokens of one input", default: 128, in: 2...1_000_000),
      returns: "for one text what the model says about it; for a list the same for each, in order"
    ) { model, texts, maxLength in
      let predictor = try Predictor(model, maxLength: maxLength)
      return PredictionAnswers(
        predictions: try predictor.predictions(for: texts.inputs), labels: predictor.labels, isSingle: texts.isSingle)
    },
  ]
}

/// Options that name an adapter of a model.
struct AdapterFileOptions: LuaRecord {
  var adapterName: String?
  static let recordName = "adapter file options"
  static let fields: [Field<Self>] = [
    .value("adapter_name", \.adapterName, "which adapter; default: the one that was attached last")
  ]
}

/// Options of `Model:load_adapter`.
struct LoadAdapterOptions: LuaRecord {
  var adapterName = "default"
  var head = HeadChoiceOption.saved
  static let recordName = "load_adapter options"
  static let fields: [Field<Self>] = [
    .value("adapter_name", \.adapterName, "what the adapter is called in the model"),
    .value("head", \.head, "whether the head's values are taken too, or the model keeps its own"),
  ]
}

/// What reads and writes a model's files. Paths to write to are relative to the run directory.
private func modelFiles(_ session: Session) -> [Member<TrainableModel>] {
  [
    .method(
      "load_adapter", "Attaches an adapter from a folder: PEFT's, where the method is known here, or one that was saved here.",
      Param<String>("folder", "the folder; what this script saved goes by the name that it was saved under"),
      Param<LoadAdapterOptions>("options", "see the fields"), returns: "the model"
    ) { model, folder, options in
      try model.requireIdle("load_adapter")
      try model.loadAdapter(session.readablePath(folder), name: options.adapterName, head: options.head.loading, reading: session.readMethod)
        .forEach(session.noteOnce)
      return model
    },
    .method(
      "save_adapter", "Writes an adapter's folder: PEFT's format where PEFT has the method, and a model card where it is known how it was trained.",
      Param<String>("folder", "inside the run directory"),
      Param<AdapterFileOptions>("options", "see the fields")
    ) { model, folder, options in
      let adapter = try model.adapter(named: options.adapterName)
      try session.save(model, adapter, to: folder)
    },
    .method(
      "export_lora", "Writes an adapter as a plain LoRA that PEFT loads, whatever its method.", Param<String>("folder", "inside the run directory"),
      Param<AdapterFileOptions>("options", "see the fields")
    ) { model, folder, options in
      let adapter = try model.adapter(named: options.adapterName)
      try session.write(to: folder) { try model.export(adapter, to: $0) }
    },
    .method(
      "save",
      "Writes a model folder that Transformers loads, with the tokenizer, and a model card where it is known how it was trained. Adapters must be merged.",
      Param<String>("folder", "inside the run directory")
    ) { model, folder in try session.save(model, nil, to: folder) },
  ]
}
