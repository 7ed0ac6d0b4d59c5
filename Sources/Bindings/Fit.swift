import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import LuaHost
import NN
import Pipelines
import TensorCore
import Training
import TransformerModels

/// Options of `trainer.fit`: what to train, and Transformers' training arguments.
struct FitOptions: LuaRecord {
  var model: TrainableModel?
  var task: Task?
  var arguments = TrainingArguments()
  var onStep: LuaFunction?
  var onEvaluate: LuaFunction?
  var onEpoch: LuaFunction?
  var schedule: LuaFunction?
  var loss: LuaFunction?
  var computeMetrics: LuaFunction?

  static let recordName = "trainer options"
  static let typeName = "FitOptions"
  static let fields: [Field<Self>] = [
    .object("model", \.model, "what to train", type: "Model", required: true),
    .object("task", \.task, "what to train on", type: "Task", required: true),
    .function("on_step", \.onStep, "called after every update", type: "fun(trainer: Trainer)"),
    .function("on_evaluate", \.onEvaluate, "called after every evaluation", type: "fun(trainer: Trainer, metrics: table)"),
    .function("on_epoch", \.onEpoch, "called after every epoch, numbered from 1", type: "fun(trainer: Trainer, epoch: integer)"),
    .function("loss", \.loss, "the mean loss of a batch, a scalar tensor, in place of the task's; labels are int32 classes (in the model's order) or tokens, or scores of the logits' shape", type: "fun(logits: Tensor, labels: Tensor, model: Model): Tensor"),
    .function("compute_metrics", \.computeMetrics, "metrics of an evaluation set by name, beside the task's: from predicted classes (from 0, in the task's order) or scores, the labels, and the logits [examples, labels]", type: "fun(predictions: number[], labels: number[], logits: Tensor?): table<string, number>"),
  ] + Field.fields(of: \.arguments).map { $0.name == "lr_scheduler_type" ? scheduler : $0 }

  static var foreignNames: [String: ForeignName] { TrainingArguments.foreignNames }

  func validate() throws(EngineError) {
    try arguments.validate()
    try checkFunctions()
  }

  var hasCallbacks: Bool { onStep != nil || onEvaluate != nil || onEpoch != nil }

  /// Model and task; both are required fields.
  func subject() throws -> (TrainableModel, TrainingTask) {
    guard let model, let task else { throw EngineError(.argument, "trainer options: missing field 'model' or 'task'") }
    return (model, task.task)
  }

  /// The arguments with the session's seed where the script gives none.
  func arguments(in session: Session) -> TrainingArguments {
    var arguments = self.arguments
    arguments.seed = arguments.seed ?? session.seed
    return arguments
  }
}

extension Session {
  /// Trains, or takes the stored result of an equal training.
  func fit(_ options: FitOptions) throws -> FitResult {
    let (model, task) = try options.subject()
    try model.requireIdle("trainer.fit")
    let arguments = options.arguments(in: self)
    try tell(of: model, task, trains: true)
    let (name, inputs) = try nextFit()
    var callbacks = scriptCallbacks(options)
    let key = StageKey(name: name, inputs: try fitInputs(model, task, arguments, inputs, options))
    if mode == .check { return try planFit(key, model, task, arguments, options, callbacks) }
    try runDirectory?.checkStage(key)
    let opened = try store.open(
      key,
      onWait: { [progress] pid in progress.note("\(name): waiting for process \(pid.map(String.init) ?? "?"), which runs the same stage") },
      shouldStop: { Interrupt.isRequested })
    switch opened {
    case .finished(let stored):
      let result = try reuse(stored, model)
      try restoreRows(of: name, Trainer.logHistory(in: stored.folder), step: .max)
      progress.note("\(name): reused (\(result.summary))")
      for warning in result.warnings { progress.note("\(name): warning: \(warning)") }
      return try finish(result, stored)
    case .begun(let work):
      defer { work.close() }
      if !work.isResumed { sayWhy(key) }
      observe(&callbacks, name)
      fitName = name
      defer { fitName = nil }
      collect()
      let trainer = try Trainer(
        model: model, task: task, arguments: arguments, functions: options.functions, callbacks: callbacks,
        store: WorkStore(work) { try self.metrics()?.flush() })
      fitsUnderWay += 1
      defer { fitsUnderWay -= 1 }
      let metrics = try trainer.run()
      let counts = model.network.parameterCounts()
      let result = FitResult(
        stage: name, model: model, metrics: metrics, trainable: counts.trainable, total: counts.total,
        steps: trainer.state.step, tokens: trainer.state.tokens, seconds: trainer.state.seconds,
        peakTensorMB: trainer.peakBytes >> 20, bestStep: trainer.restoredStep, endings: trainer.endings, warnings: trainer.warnings,
        isReused: false, key: key.digest.hex)
      model.lineage.append(name)
      let stored = try work.finish(result.facts) { try save(model, trainer, to: $0) }
      progress.end(result.summary)
      for warning in result.warnings { progress.note("\(name): warning: \(warning)") }
      return try finish(result, stored)
    }
  }

  /// Says what the user should know of a model's head and labels before it works on a task. What trains takes the task's names
  /// of labels, where it has none.
  func tell(of model: TrainableModel, _ task: TrainingTask, trains: Bool) throws {
    if let note = try model.labelNote(task) { noteOnce(note) }
    guard trains else { return }
    try model.adoptLabels(of: task)
    if model.hasRandomFrozenHead {
      noteOnce("task '\(task.name)': the model's head is random and frozen: unless it trains, the rest has to learn around it")
    }
  }

  /// Says why a stage runs that ran before.
  private func sayWhy(_ key: StageKey) {
    guard let differences = store.why(key), !differences.isEmpty else { return }
    let shown = differences.prefix(4).map(\.description)
    let more = differences.count > shown.count ? ["\(differences.count - shown.count) more differences"] : []
    progress.note("\(key.name) runs again: " + (shown + more).joined(separator: "; "))
  }

  /// Everything that the result depends on.
  private func fitInputs(
    _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments, _ inputs: JSONValue, _ options: FitOptions
  ) throws -> JSONValue {
    let isScripted = model.adapters.contains { $0.method is LuaMethod }
    let arguments = arguments.keyValues(isMasked: task.modelTask == .maskedLM, isScripted: isScripted)
    var values: JSONObject = [
      "engine": .string(Runner.version), "model": try model.identity(), "task": task.identity,
      "arguments": .object(JSONObject(arguments.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) })),
      "precision": .string(Precision.current.rawValue), "tokenizer": .string(model.tokenizer.digest().hex),
    ]
    if inputs != .null { values["inputs"] = inputs }
    let functions = try options.functionIdentities(model)
    if !functions.keys.isEmpty { values["functions"] = .object(functions) }
    return .object(values)
  }

  /// Makes the model what the stored training left.
  private func reuse(_ stored: StoredStage, _ model: TrainableModel) throws -> FitResult {
    // What the stage saved depends on what trained in the end, which callbacks may have changed.
    let whole = stored.folder + "/" + Self.modelFolder + "/model.safetensors"
    let isWhole = fileExists(whole)
    let file = try SafetensorsFile(isWhole ? whole : stored.folder + "/" + Self.weightsFile)
    try model.takeResult(summary: stored.folder, values: file.names.map { ($0, try file.tensor($0)) })
    let facts = stored.facts
    func texts(_ name: String) -> [String] { (facts[name]?.arrayValue ?? []).compactMap(\.stringValue) }
    let counts = model.network.parameterCounts()
    model.lineage.append(stored.key.name)
    let metrics = (facts["metrics"]?.objectValue ?? JSONObject()).members.map { ($0, $1.doubleValue ?? .nan) }
    return FitResult(
      stage: stored.key.name, model: model, metrics: Dictionary(metrics, uniquingKeysWith: { a, _ in a }),
      trainable: counts.trainable, total: counts.total, steps: facts["steps"]?.intValue ?? 0,
      tokens: facts["tokens"]?.intValue ?? 0, seconds: facts["seconds"]?.doubleValue ?? 0,
      peakTensorMB: facts["peak_tensor_mb"]?.intValue, bestStep: facts["best_step"]?.intValue, endings: texts("endings"),
      warnings: texts("warnings"), isReused: true, key: stored.key.digest.hex)
  }

  private func finish(_ result: FitResult, _ stored: StoredStage) throws -> FitResult {
    record(result)
    try begin()
    try runDirectory?.publish(stored)
    // What was found is found again: of a finished sweep, nobody waits for the disk at every point.
    if result.isReused {
      try metrics()?.write()
      if Date().timeIntervalSince(lastWritten) >= 1 { try writeResults() }
    } else {
      try metrics()?.flush()
      try writeResults()
    }
    return result
  }

  private static let weightsFile = "weights.safetensors"
  private static let modelFolder = "model"

  /// The stage's files: what trained, how it went, the tokenizer; adapters in PEFT's format, or the whole model where its body
  /// trained and no adapter is attached.
  private func save(_ model: TrainableModel, _ trainer: Trainer, to folder: String) throws {
    if model.isWhole {
      try model.saveModel(to: folder + "/" + Self.modelFolder)
    } else {
      try SafetensorsFile.write(tensors: trainer.trainedParameters(), to: folder + "/" + Self.weightsFile)
      let changed = try model.changedBodyParameter()
      if let changed {
        progress.note("no adapter folder: '\(changed)' of the model itself was trained too; merge and save the whole model")
      }
      for adapter in model.adapters where adapter.method.peftType != nil && changed == nil {
        let name = adapter.name == "default" ? "adapter" : "adapter-" + adapter.name
        try model.write(adapter, to: folder + "/" + name)
      }
      try model.tokenizer.save(to: folder)
    }
    try trainer.writeSummary(to: folder)
  }

  private func scriptCallbacks(_ options: FitOptions) -> TrainerCallbacks {
    var callbacks = TrainerCallbacks()
    callbacks.mayUnfreeze = options.hasCallbacks
    if let function = options.onStep { callbacks.onStep = { trainer in _ = try function.call([.object(trainer)]) } }
    if let function = options.onEvaluate {
      callbacks.onEvaluate = { trainer, metrics in
        let table = LuaTable(fields: metrics.mapValues { .number($0) })
        _ = try function.call([.object(trainer), .table(table)])
      }
    }
    if let function = options.onEpoch {
      callbacks.onEpoch = { trainer, epoch in _ = try function.call([.object(trainer), .integer(epoch)]) }
    }
    return callbacks
  }

  /// Adds progress and metrics rows to the script's own callbacks.
  private func observe(_ callbacks: inout TrainerCallbacks, _ name: String) {
    let script = callbacks.onStep
    callbacks.onBegin = { [self] trainer, total, done in
      try begin()
      progress.begin(name, total: total, step: done, tokens: trainer.state.tokens)
      try restoreRows(of: name, trainer.state.logHistory, step: done)
    }
    callbacks.onStep = { [progress] trainer in
      progress.update(
        step: trainer.state.step, loss: trainer.state.loss, learningRate: try trainer.learningRate, tokens: trainer.state.tokens)
      try script?(trainer)
    }
    let evaluated = callbacks.onEvaluate
    callbacks.onEvaluate = { [progress] trainer, metrics in
      let state = trainer.state
      // The last one's metrics are the result's, unless other weights are taken.
      let isShown = state.step < trainer.totalSteps && !state.shouldStop || trainer.arguments.loadBestModelAtEnd
      if isShown { progress.note("\(name): step \(state.step) of \(trainer.totalSteps): \(FitResult.text(of: metrics, withLoss: true))") }
      try evaluated?(trainer, metrics)
    }
    callbacks.drawing = drawing
    callbacks.onWarning = { [progress] in progress.note("\(name): \($0)") }
    callbacks.onLog = { [self] row in try log(Self.row(row, of: name)) }
  }

  private static func row(_ row: JSONObject, of stage: String) -> JSONObject {
    JSONObject([("stage", .string(stage))] + row.members.map { ($0, $1) })
  }

  /// Makes `metrics.jsonl` hold a stage's rows up to here: those of a run that was killed may lack some, or have some of steps
  /// that will be repeated; another run's folder has none. Rows that the script adds for the stage stay up to the step.
  private func restoreRows(of stage: String, _ history: [JSONObject], step: Int) throws {
    guard let metrics = try metrics() else { return }
    func isTrainers(_ row: JSONObject) -> Bool {
      row["stage"]?.stringValue == stage && row["epoch"] != nil && (row["grad_norm"] != nil || row["eval_loss"] != nil)
    }
    func isKept(_ row: JSONObject) -> Bool { row["stage"]?.stringValue != stage || (row["step"]?.intValue ?? 0) <= step }
    let rows = history.map { Self.row($0, of: stage) }
    if try metrics.rows().filter(isTrainers) == rows { return try metrics.keepRows(where: isKept) }
    try metrics.keepRows { !isTrainers($0) && isKept($0) }
    for row in rows { metrics.append(row) }
  }

  /// Notes what would be trained. The result is the stored one, where there is one; else it has the metrics' names, without
  /// values.
  private func planFit(
    _ key: StageKey, _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments, _ options: FitOptions,
    _ callbacks: TrainerCallbacks
  ) throws -> FitResult {
    let name = key.name
    // The weights of a stage that is still to be trained are part of the keys of those that build on it.
    let isKnown = unstoredStages.isDisjoint(with: model.lineage)
    let stored = isKnown ? try store.lookup(key) : nil
    let trainer = try Trainer(model: model, task: task, arguments: arguments, functions: options.functions, callbacks: callbacks)
    let counts = model.network.parameterCounts()
    plan.append(
      PlannedFit(
        stage: name, trainable: counts.trainable, total: counts.total, examples: trainer.exampleCount,
        steps: trainer.totalSteps, tokens: trainer.tokensPerEpoch, memoryBytes: try trainer.estimatedMemory(),
        stored: stored != nil ? .yes : !isKnown ? .unknown : store.hasState(key) ? .state : .no,
        remarks: model.adapters.map(\.summary) + [try trainer.truncation()].compactMap(\.self)))
    if let stored { return try reuse(stored, model) }
    try trainer.tryFunctions()
    unstoredStages.insert(name)
    model.lineage.append(name)
    let names = ["loss"] + task.metricNames + (task.metricNames.isEmpty ? ["accuracy"] : [])
      + (try options.metricNames(model, task, arguments))
    return FitResult(
      stage: name, model: model, metrics: Dictionary(names.map { ("eval_" + $0, Double.nan) }, uniquingKeysWith: { a, _ in a }),
      trainable: counts.trainable, total: counts.total, steps: trainer.totalSteps, tokens: 0, seconds: 0, isReused: false, key: "")
  }
}

/// Saved states of a trainer in the stage store.
private final class WorkStore: TrainerStore {
  private let work: StageWork
  private let flushMetrics: () throws -> Void

  init(_ work: StageWork, flushMetrics: @escaping () throws -> Void) { (self.work, self.flushMetrics) = (work, flushMetrics) }

  func saveState(_ write: (String) throws -> Void) throws {
    // Whoever reads the log while the run works, or after it was killed, finds all rows up to the state.
    try flushMetrics()
    try work.saveState { try write($0) }
  }
  func stateFolder() throws -> String? { try work.loadState()?.folder }
  var scratchFolder: String? { work.scratchFolder }
}

extension LuaValue {
  /// The value for a canonical description; functions and objects are refused.
  func json(_ place: String) throws -> JSONValue {
    switch self {
    case .function, .object, .bytes:
      throw EngineError(.argument, "\(place): a \(typeName) cannot be part of it: expected numbers, texts, booleans and tables of them")
    case .table(let table):
      if table.fields.isEmpty { return .array(try table.list.map { try $0.json(place) }) }
      var object = JSONObject(try table.fields.sorted { $0.key < $1.key }.map { ($0.key, try $0.value.json(place)) })
      for (i, value) in table.list.enumerated() { object[String(i + 1)] = try value.json(place) }
      return .object(object)
    default: return configValue.json
    }
  }
}

extension JSONValue {
  /// The value for a script.
  var lua: LuaValue {
    switch self {
    case .null: return .nil
    case .bool(let value): return .bool(value)
    case .int(let value): return .integer(value)
    case .double(let value): return .number(value)
    case .string(let value): return .string(value)
    case .array(let values): return .table(LuaTable(list: values.map(\.lua)))
    case .object(let object):
      return .table(LuaTable(fields: Dictionary(object.members.map { ($0, $1.lua) }, uniquingKeysWith: { a, _ in a })))
    }
  }
}
