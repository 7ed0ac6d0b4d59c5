import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import Metrics
import NN
import Pipelines
import Tasks
import TensorCore
import Training
import TransformerModels

/// What a training is asked to do: the trainer's inputs, and what else its key depends on.
package struct FitRequest {
  package var model: TrainableModel
  package var task: TrainingTask
  /// With a seed.
  package var arguments: TrainingArguments
  package var functions = TrainerFunctions()
  package var callbacks = TrainerCallbacks()
  /// What `functions` and `callbacks` compute, by role; part of the key.
  package var functionIdentities = JSONObject()
  /// Whether a method of the model's adapters runs code that is not the engine's, so that the key needs all that it may see.
  package var isScripted = false
  /// Names of the metrics that `functions` add; asked only where nothing is trained.
  package var metricNames: () throws -> [String] = { [] }
  /// Evaluations after which the training is paused; no part of the key.
  package var pauseAfter: Int?

  package init(model: TrainableModel, task: TrainingTask, arguments: TrainingArguments) {
    (self.model, self.task, self.arguments) = (model, task, arguments)
  }
}

extension Session {
  /// Trains, or takes the stored result of an equal training.
  package func fit(_ request: FitRequest) throws -> FitResult {
    let (model, task, arguments) = (request.model, request.task, request.arguments)
    try model.requireIdle("trainer.fit")
    try tell(of: model, task, trains: true)
    let (name, inputs) = try nextFit("fit", isPausable: request.pauseAfter != nil)
    let key = StageKey(name: name, inputs: try fitInputs(request, inputs))
    if mode == .check { return try planFit(key, request) }
    if request.pauseAfter != nil, reach != .trains {
      if reach == .looks { throw turnAway(key, nil, isPausable: true) }
      // Another process may have gone further, and be at work.
      if case (let state?, false, _) = try store.newest(key.digest, verifies: true),
        let paused = try pauseReached(request, key, in: state, orIsThere: true)
      {
        return paused
      }
    }
    switch try open(key) {
    case .finished(let stored):
      if let paused = try pauseReached(request, key, in: stored.folder) { return paused }
      let result = try reuse(stored, model)
      try tellBegin(of: key, request, Trainer.logHistory(in: stored.folder), step: .max)
      progress.note("\(name): reused (\(result.summary))")
      return try finish(result, stored, request)
    case .begun(let work, let state):
      defer { work?.close() }
      try requireSharedLoss(request, name)
      if request.pauseAfter != nil, let state = try work?.loadState()?.folder ?? state, let paused = try pauseReached(request, key, in: state) {
        return paused
      }
      if let work, !work.isResumed { sayWhy(key) }
      var callbacks = request.callbacks
      observe(&callbacks, key, request)
      fitName = name
      defer { fitName = nil }
      collect()
      let trainer = try Trainer(
        model: model, task: task, arguments: arguments, functions: request.functions, callbacks: callbacks,
        store: WorkStore(work, state) { for listener in try self.listeners() { try listener.keep() } }, group: group)
      fitsUnderWay += 1
      defer { fitsUnderWay -= 1 }
      trainer.pauseAfter = request.pauseAfter
      let metrics = try trainer.run()
      if trainer.isPaused {
        let state = trainer.state
        return try pause(
          request, key, metrics, tokens: state.tokens, seconds: state.seconds, step: state.step, of: trainer.totalSteps, peak: trainer.peakBytes >> 20
        )
      }
      let counts = model.network.parameterCounts()
      let result = FitResult(
        stage: name, model: model, metrics: metrics, trainable: counts.trainable, total: counts.total,
        steps: trainer.state.step, tokens: trainer.state.tokens, seconds: trainer.state.seconds,
        peakTensorMB: trainer.peakBytes >> 20, bestStep: trainer.restoredStep, endings: trainer.endings, warnings: trainer.warnings,
        isReused: false, key: key.digest.hex)
      model.lineage.append(name)
      try agreeOnWeights(of: trainer, key)
      let stored = try publish(key, work) { work in try work.finish(result.facts) { try save(model, trainer, to: $0) } }
      progress.end(result.summary)
      return try finish(result, stored, request)
    }
  }

  /// Throws where a script's own loss would be shared out: what it draws, and what it keeps from batch to batch, would be another thing in
  /// each process.
  private func requireSharedLoss(_ request: FitRequest, _ name: String) throws {
    guard group.count > 1, request.functions.loss != nil else { return }
    throw EngineError(
      .argument, "stage '\(name)': a script's own loss is not shared out by \(group.count) processes",
      hint: "train this stage by one process; the others then find its result")
  }

  /// Throws where the processes have not ended with the same bits.
  private func agreeOnWeights(of trainer: Trainer, _ key: StageKey) throws {
    guard group.count > 1 else { return }
    let digests = trainer.trainedParameters().map { name, tensor in
      (name, JSONValue.string(Digest(of: UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size)).hex))
    }
    try group.agree(
      on: "the weights of stage '\(key.name)'", .object(JSONObject(digests)),
      hint: "the machines compute differently, or a function of the script does; nothing was stored")
  }

  /// The pause that a training is to make, where a stored result or state of it has gone further: what was computed then does not
  /// depend on what came after.
  ///
  /// - Parameter orIsThere: whether one that stands exactly there is told of, too.
  private func pauseReached(_ request: FitRequest, _ key: StageKey, in folder: String, orIsThere: Bool = false) throws -> FitResult? {
    guard let count = request.pauseAfter else { return nil }
    let (history, total, seconds) = try Trainer.course(in: folder)
    let evaluations = Trainer.evaluations(in: history)
    guard evaluations.count > (orIsThere ? count - 1 : count), let step = evaluations[count - 1]["step"]?.intValue else { return nil }
    // Rows of one step: what was logged, and then the evaluation.
    let rows = history.filter { ($0["step"]?.intValue ?? 0) <= step }
    var metrics: [String: Double] = [:]
    for (name, value) in evaluations[count - 1].members where !["step", "epoch"].contains(name) { metrics[name] = value.doubleValue ?? .nan }
    try tellBegin(of: key, request, rows, step: step)
    // Nobody wrote down when it came by here.
    let share = Double(step) / Double(max(1, history.last?["step"]?.intValue ?? step))
    let tokens = rows.last { $0["tokens"] != nil }?["tokens"]?.intValue ?? 0
    return try pause(request, key, metrics, tokens: tokens, seconds: seconds * share, step: step, of: total)
  }

  /// What is known of a training that is paused. Its state is kept, the model is of no use.
  private func pause(
    _ request: FitRequest, _ key: StageKey, _ metrics: [String: Double], tokens: Int, seconds: Double, step: Int, of total: Int, peak: Int? = nil
  ) throws -> FitResult {
    let counts = request.model.network.parameterCounts()
    request.model.pause()
    let result = FitResult(
      stage: key.name, model: request.model, metrics: metrics, trainable: counts.trainable, total: counts.total, steps: step, tokens: tokens,
      seconds: seconds, peakTensorMB: peak, endings: ["paused at step \(step) of \(total)"], isReused: false, isPaused: true, key: key.digest.hex)
    record(result.facts)
    for listener in try listeners() { try listener.keep() }
    try writeResults()
    if peak == nil { progress.note("\(key.name): \(result.summary)") } else { progress.end(result.summary) }
    return result
  }

  /// A stage's result, or the right to make it. Throws where a finished run has another under this name, and where the stage is not to be
  /// waited for.
  func openAlone(_ key: StageKey) throws -> StageStore.Opened {
    try runDirectory?.checkStage(key)
    let onTakeOver = { [progress] (silent: LeaseName) in
      progress.note("\(key.name): \(silent.holder) shows no sign of life: its work goes on here")
    }
    // A training inside of another one is waited for: nothing of the outer one is lost.
    switch fitsUnderWay > 0 ? .trains : reach {
    case .trains:
      let onWait = { [progress] (holder: LeaseName?) in
        progress.note("\(key.name): waiting for \(holder?.holder ?? "process ?"), which runs the same stage")
      }
      return try store.open(key, onWait: onWait, onTakeOver: onTakeOver, shouldStop: { Interrupt.isRequested })
    case .attempts:
      switch try store.attempt(key, onTakeOver: onTakeOver) {
      case .held(let holder): throw turnAway(key, holder)
      case .opened(let opened):
        if case .begun(let work) = opened { attempted = work }
        return opened
      }
    case .looks:
      guard let stored = try store.lookup(key) else { throw turnAway(key, nil) }
      return .finished(stored)
    }
  }

  /// Says what the user should know of a model's head and labels before it works on a task. What trains takes the task's names
  /// of labels, where it has none.
  package func tell(of model: TrainableModel, _ task: TrainingTask, trains: Bool) throws {
    if let note = try model.labelNote(task) { noteOnce(note) }
    guard trains else { return }
    try model.adoptLabels(of: task)
    if model.hasRandomFrozenHead {
      noteOnce("task '\(task.name)': the model's head is random and frozen: unless it trains, the rest has to learn around it")
    }
  }

  /// Says why a stage runs that ran before. Where both model and task are others, another script merely has a stage of that name.
  func sayWhy(_ key: StageKey) {
    guard saysWhy, let differences = store.why(key), !differences.isEmpty else { return }
    let parts = Set(differences.compactMap { $0.path.split(separator: ".").first })
    if parts.isSuperset(of: ["model", "task"]) { return }
    let shown = differences.prefix(4).map(\.description)
    let more = differences.count > shown.count ? ["\(differences.count - shown.count) more differences"] : []
    progress.note("\(key.name) runs again: " + (shown + more).joined(separator: "; "))
  }

  /// Everything that the result depends on.
  private func fitInputs(_ request: FitRequest, _ inputs: JSONValue) throws -> JSONValue {
    let (model, task) = (request.model, request.task)
    let arguments = request.arguments.keyValues(for: task.type, isScripted: request.isScripted)
    var values: JSONObject = [
      "engine": .string(EngineSetup.version), "model": try model.identity(), "task": task.identity,
      "arguments": .object(JSONObject(arguments.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) })),
      "precision": .string(Precision.current.rawValue), "tokenizer": .string(model.tokenizer.digest().hex),
    ]
    if inputs != .null { values["inputs"] = inputs }
    let remarks = request.arguments.generation == nil ? [] : try task.textRemarks
    if !remarks.isEmpty { values["metrics"] = .array(remarks.map { .string($0) }) }
    if !request.functionIdentities.keys.isEmpty { values["functions"] = .object(request.functionIdentities) }
    return .object(values)
  }

  /// Makes the model what the stored training left.
  private func reuse(_ stored: StoredStage, _ model: TrainableModel) throws -> FitResult {
    // What the stage saved depends on what trained in the end, which callbacks may have changed.
    let whole = stored.folder + "/" + Self.modelFolder
    let values: [(name: String, tensor: Tensor)]
    if fileExists(whole) {
      values = try model.network.savedParameters(in: whole)
    } else {
      let file = try SafetensorsFile(stored.folder + "/" + Self.weightsFile)
      values = try file.names.map { ($0, try file.tensor($0)) }
    }
    try model.takeResult(summary: stored.folder, values: values)
    let facts = stored.facts
    func texts(_ name: String) -> [String] { (facts[name]?.arrayValue ?? []).compactMap(\.stringValue) }
    let counts = model.network.parameterCounts()
    model.lineage.append(stored.key.name)
    return FitResult(
      stage: stored.key.name, model: model, metrics: stored.metrics,
      trainable: counts.trainable, total: counts.total, steps: facts["steps"]?.intValue ?? 0,
      tokens: facts["tokens"]?.intValue ?? 0, seconds: facts["seconds"]?.doubleValue ?? 0,
      peakTensorMB: facts["peak_tensor_mb"]?.intValue, bestStep: facts["best_step"]?.intValue, endings: texts("endings"),
      warnings: texts("warnings"), isReused: true, key: stored.key.digest.hex)
  }

  private func finish(_ result: FitResult, _ stored: StoredStage, _ request: FitRequest) throws -> FitResult {
    for warning in result.warnings { progress.note("\(result.stage): warning: \(warning)") }
    let card = ModelCard(
      stage: stored, task: request.task, base: result.model.base,
      command: runDirectory?.arguments ?? [], history: try Trainer.logHistory(in: stored.folder))
    cards.remember(card, of: result.model)
    try conclude(result.facts, isReused: result.isReused, stored) { folder, earlier in try card.write(in: folder, earlier: earlier) }
    return result
  }

  /// Puts a stage's result into the run directory, and its numbers into `results.json`.
  func conclude(
    _ facts: JSONObject, isReused: Bool, _ stored: StoredStage, complete: (_ folder: String, _ earlier: String) throws -> Void = { _, _ in }
  ) throws {
    record(facts)
    try begin()
    try runDirectory?.publish(stored, complete: complete)
    for listener in try listeners() { try listener.stageEnded(facts, isReused: isReused) }
    // Of a finished sweep, nobody waits for the disk at every point.
    if !isReused || Date().timeIntervalSince(lastWritten) >= 1 { try writeResults() }
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

  /// Adds progress and metrics rows to the script's own callbacks.
  private func observe(_ callbacks: inout TrainerCallbacks, _ key: StageKey, _ request: FitRequest) {
    let name = key.name
    let script = callbacks.onStep
    callbacks.onBegin = { [self] trainer, total, done in
      try begin()
      // The first one removes no state that another is still reading.
      try group.agree(on: "the beginning of stage '\(name)'", ["step": .int(done)], hint: "all processes have to read the same store")
      progress.begin(name, total: total, step: done, tokens: trainer.state.tokens)
      try tellBegin(of: key, request, trainer.state.logHistory, step: done)
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
      if let best = state.best {
        progress.noteBest("\(EvaluationName.bare(trainer.bestMetricName)) \(numberText(best.value))", step: best.step)
      }
      try evaluated?(trainer, metrics)
    }
    callbacks.drawing = drawing
    callbacks.onWarning = { [progress] in progress.note("\(name): \($0)") }
    callbacks.onText = showTexts
    callbacks.onLog = { [self] row in try log(Self.row(row, of: name)) }
  }

  /// Shows how far texts are that a model writes.
  package func showTexts(done: Int, total: Int, tokens: Int) { progress.updatePart("texts", done: done, of: total, tokens: tokens) }

  private static func row(_ row: JSONObject, of stage: String) -> JSONObject {
    JSONObject([("stage", .string(stage))] + row.members.map { ($0, $1) })
  }

  /// `history`: the rows that the training has logged so far.
  private func tellBegin(of key: StageKey, _ request: FitRequest, _ history: [JSONObject], step: Int) throws {
    let rows = history.map { Self.row($0, of: key.name) }
    var settings = TrainingSettings()
    settings.arguments = key.inputs["arguments"]?.objectValue ?? JSONObject()
    settings.modelConfig = .object(request.model.base.config.values)
    settings.others = parameters ?? JSONObject()
    for facts in request.model.adapters.map(\.facts) {
      for (name, value) in (facts["options"]?.objectValue ?? [:]).members where value.objectValue == nil {
        settings.others[(facts["method"]?.stringValue ?? "") + "." + name] = value
      }
    }
    for listener in try listeners() { try listener.stageBegan(key.name, rows: rows, step: step, settings: settings) }
  }

  /// A stage's stored result, and what a plan says of it.
  func lookUp(_ key: StageKey, _ model: TrainableModel) throws -> (stored: StoredStage?, status: PlannedStage.Stored) {
    // The weights of a stage that is still to be trained are part of the keys of those that build on it.
    guard unstoredStages.isDisjoint(with: model.lineage) else { return (nil, .unknown) }
    let stored = try store.lookup(key)
    return (stored, stored != nil ? .yes : store.hasState(key) ? .state : .no)
  }

  /// Notes what would be trained. The result is the stored one, where there is one; else it has the metrics' names, without
  /// values.
  private func planFit(_ key: StageKey, _ request: FitRequest) throws -> FitResult {
    let (model, task) = (request.model, request.task)
    let name = key.name
    let (stored, status) = try lookUp(key, model)
    // A training that is paused comes again.
    let isPlanned = plan.contains { $0.stage == name }
    let trainer = try Trainer(
      model: model, task: task, arguments: request.arguments, functions: request.functions, callbacks: request.callbacks)
    let counts = model.network.parameterCounts()
    if !isPlanned {
      plan.append(
        PlannedStage(
          stage: name, trainable: counts.trainable, total: counts.total, examples: trainer.exampleCount,
          steps: trainer.totalSteps, tokens: trainer.tokensPerEpoch, memoryBytes: try trainer.estimatedMemory(),
          stored: status,
          remarks: model.adapters.map(\.summary) + [try trainer.truncation()].compactMap(\.self)))
    }
    if let stored { return try pauseReached(request, key, in: stored.folder) ?? reuse(stored, model) }
    try trainer.tryFunctions()
    unstoredStages.insert(name)
    model.lineage.append(name)
    let names = try task.evaluatedNames(writes: request.arguments.generation != nil) + request.metricNames()
    return FitResult(
      stage: name, model: model, metrics: Dictionary(names.map { (EvaluationName.of($0), Double.nan) }, uniquingKeysWith: { a, _ in a }),
      trainable: counts.trainable, total: counts.total, steps: trainer.totalSteps, tokens: 0, seconds: 0, isReused: false, key: "")
  }
}

extension StoredStage {
  /// The metrics among its facts, by name.
  var metrics: [String: Double] {
    Dictionary((facts["metrics"]?.objectValue ?? JSONObject()).members.map { ($0, $1.doubleValue ?? .nan) }, uniquingKeysWith: { a, _ in a })
  }
}

/// Saved states of a trainer in the stage store.
private final class WorkStore: TrainerStore {
  /// nil: another process has it, which saves.
  private let work: StageWork?
  private let state: String?
  private let keepRows: () throws -> Void

  package init(_ work: StageWork?, _ state: String?, keepRows: @escaping () throws -> Void) {
    (self.work, self.state, self.keepRows) = (work, state, keepRows)
  }

  package func saveState(_ write: (String) throws -> Void) throws {
    guard let work else { return }
    // Whoever reads the log while the run works, or after it was killed, finds all rows up to the state.
    try keepRows()
    try work.saveState { try write($0) }
  }
  package func stateFolder() throws -> String? { try work?.loadState()?.folder ?? state }
  package var scratchFolder: String? { work?.scratchFolder }
}
