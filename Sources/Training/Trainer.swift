import Adapters
import Diagnostics
import Files
import Foundation
import Metrics
import NN
import Optimizers
import Tasks
import TensorCore
import Tokenizers
import TransformerModels

/// The training loop: batches, updates, evaluations, saved states. One instance trains once.
///
/// The result is a function of the model's values, the task and the arguments: an interrupted run that goes on from a saved
/// state ends with the same bits as one that was not interrupted.
public final class Trainer {
  public let model: TrainableModel
  public let task: TrainingTask
  public let arguments: TrainingArguments
  /// What a script computes in the trainer's place.
  public let functions: TrainerFunctions
  /// Updates of the whole run, and of one epoch.
  public let totalSteps: Int
  public let stepsPerEpoch: Int
  /// What changes as the run goes on.
  public internal(set) var state = TrainerState()
  let optimizer: Optimizer
  let callbacks: TrainerCallbacks
  private let group: any ProcessGroup
  private let store: TrainerStore?
  let data: EncodedDataset
  let sampler: BatchSampler
  private var epochBatches: (epoch: Int, batches: [[Int]])?
  private var lastSave = Date()
  /// Memory of tensors that were there before and are not the model's.
  var foreignBytes = 0
  /// Whether this trainer computes the loss: not where a script does.
  public private(set) var hasLoss = false
  /// Evaluations after which `run` saves the state and returns; nil: it trains to the end.
  public var pauseAfter: Int?
  /// Whether `run` returned before the end, for `pauseAfter`.
  public private(set) var isPaused = false
  private var movement = MovementCheck()
  /// Whether the processes of the group have found that they compute the same.
  private var hasComparedGradients = false
  /// Multipliers of the last updates, if a script's function gives them.
  private var multipliers: [Int: Double] = [:]
  /// What frozen layers compute, for the training set and for each evaluation set.
  private let budget: HiddenStateCache.Budget
  private let trainingStates: HiddenStateCache?
  private var frozen: TrainingGuard?
  private var evaluationStates: [Int: HiddenStateCache] = [:]

  /// `group`: the processes that train together; the state is saved by the first of them alone. Throws for a model that does not fit the
  /// task, nothing to train, or an unknown metric: before the first step.
  public init(
    model: TrainableModel, task: TrainingTask, arguments: TrainingArguments, functions: TrainerFunctions = TrainerFunctions(),
    callbacks: TrainerCallbacks = TrainerCallbacks(), store: TrainerStore? = nil, group: any ProcessGroup = SingleProcess()
  ) throws {
    self.model = model
    self.task = task
    self.arguments = arguments
    self.functions = functions
    self.callbacks = callbacks
    self.store = store
    self.group = group
    try Self.check(model, task, arguments, functions)
    try LoRAPlus(arguments)?.check(model.network.namedParameters(), allowsFrozen: callbacks.mayUnfreeze)
    try arguments.parameterGroups?.check(model.network.namedParameters(), allowsFrozen: callbacks.mayUnfreeze)
    data = try task.encoded(task.train, model.tokenizer, arguments)
    guard data.count > 0 else { throw EngineError(.data, "\(task.train.path): no examples to train on") }
    sampler = BatchSampler(
      lengths: data.lengths, batchSize: arguments.trainBatchSize, sampling: arguments.trainSamplingStrategy,
      seed: arguments.usedSeed)
    totalSteps = try arguments.totalSteps(examples: data.count)
    stepsPerEpoch = arguments.stepsPerEpoch(examples: data.count)
    budget = HiddenStateCache.Budget(bytes: arguments.frozenCacheMebibytes << 20, folder: store?.scratchFolder)
    let firstEpoch = sampler.batches(epoch: 0)
    epochBatches = (0, firstEpoch)
    trainingStates =
      type(of: task.type).altersTokens
      ? nil
      : HiddenStateCache(
        groups: firstEpoch.flatMap(arguments.pieces), budget: budget, keepsDropout: arguments.frozenLayerDropout,
        isKeeping: totalSteps > stepsPerEpoch, batch: data.batch)
    state.learningRate = arguments.learningRate
    optimizer = try arguments.optimizer(scratchFolder: store?.scratchFolder)
    try regroup()
    for training in model.activeTrainings { try training.begin(place()) }
  }

  /// Trainable parameters in groups; again after parameters were frozen or unfrozen, or the learning rate changed.
  func regroup() throws {
    try completeBest()
    let (parameters, norms) = (model.network.trainableParameters(), model.network.normParameters)
    optimizer.groups =
      LoRAPlus(arguments)?.groups(
        of: parameters, norms: norms, learningRate: state.learningRate, factor: learningRateFactor, weightDecay: arguments.weightDecay)
      ?? (arguments.parameterGroups ?? []).groups(
        of: parameters, norms: norms, factor: learningRateFactor, weightDecay: arguments.weightDecay)
    frozen?.lock(besides: Set(trainedParameters().map(\.name)))
  }

  /// What callbacks made of the learning rate, as a factor: the parameter groups' own rates follow it.
  private var learningRateFactor: Double {
    arguments.learningRate > 0 ? state.learningRate / arguments.learningRate : 1
  }

  /// The learning rate of the next update. Throws what a script's schedule throws.
  public var learningRate: Double {
    get throws { try stepSize(after: state.step) }
  }

  private func stepSize(after done: Int) throws -> Double {
    optimizer.rule.stepSize(state.learningRate * (try multiplier(done)), step: done + 1)
  }

  /// The schedule's multiplier of the update after `done` updates. A script's function is called once for each.
  private func multiplier(_ done: Int) throws -> Double {
    guard let function = functions.schedule else { return arguments.schedule(totalSteps: totalSteps).multiplier(done) }
    // After the last update, what it had is shown.
    let step = max(0, min(done, totalSteps - 1))
    if let known = multipliers[step] { return known }
    let value = try drawing("lr_scheduler_type", step: step) { try function(step, totalSteps) }
    multipliers = multipliers.filter { $0.key == step - 1 }
    multipliers[step] = value
    return value
  }

  /// Where the run stands, for what methods do in training.
  private func place(gradientScale: Double = 1) -> TrainingPlace {
    TrainingPlace(step: state.step, totalSteps: totalSteps, seed: arguments.usedSeed, gradientScale: gradientScale)
  }

  /// Freezes or unfreezes parameters from a callback; see `TrainableModel.setTrainable`.
  public func setTrainable(_ trainable: Bool, matching name: String) throws {
    try model.setTrainable(trainable, matching: name)
    try requireSomethingToTrain()
    try regroup()
  }

  private func requireSomethingToTrain() throws {
    guard model.network.parameterCounts().trainable > 0 else {
      throw EngineError(.argument, "freeze: nothing is left to train", hint: "stop() ends the training")
    }
  }

  /// Throws where a frozen parameter does not hold what it held before the training.
  private func requireFrozen() throws {
    guard let name = frozen?.changedParameter else { return }
    throw EngineError(
      .argument, "a callback changed '\(name)', which is frozen: no stored result would hold this change",
      hint: "unfreeze it, or change it before or after the training")
  }

  /// Trains to the end, from the last saved state if the store has one. Returns the last evaluation's metrics.
  public func run() throws -> [String: Double] {
    try model.requireIdle("trainer.fit")
    let network = model.network
    network.context.seed = arguments.usedSeed
    network.context.isTraining = true
    network.context.gradientCheckpointing = arguments.gradientCheckpointing
    hasLoss = true
    defer { network.context.isTraining = false }
    if let folder = try store?.stateFolder() { try restore(from: folder) }
    frozen = callbacks.runsScript ? TrainingGuard(model) : nil
    defer { frozen?.end() }
    frozen?.lock(besides: Set(trainedParameters().map(\.name)))
    foreignBytes = max(0, Memory.liveBytes - Memory.bytes(of: network.namedParameters().map(\.tensor)))
    Memory.resetPeak()
    try callbacks.onBegin?(self, totalSteps, state.step)
    for remark in try beginningRemarks() + [arguments.idleRemark(of: group)].compactMap(\.self) { callbacks.onWarning?(remark) }
    lastSave = Date()
    do {
      // What was cut off comes first.
      try doDue()
      while state.step < totalSteps, !state.shouldStop {
        try Interrupt.check()
        if let pauseAfter, Self.evaluations(in: state.logHistory).count >= pauseAfter {
          try save()
          isPaused = true
          return state.lastEvaluation?.metrics ?? [:]
        }
        try update()
        try doDue()
        if store != nil, Date().timeIntervalSince(lastSave) >= arguments.saveSeconds { try save() }
      }
      network.zeroGrad()
      if state.shouldStop { try requireFinite() }
      if state.lastEvaluation?.step != state.step { state.due.insert(.evaluation) }
      try doDue()
      try requireFrozen()
    } catch let error as EngineError where error.kind == .interrupted {
      try save()
      throw error
    }
    if arguments.loadBestModelAtEnd, let best = state.best { try restoreBest(best) }
    return state.lastEvaluation?.metrics ?? [:]
  }

  /// The batches of the next update, or their pieces, with their labels.
  public func nextBatches() throws -> [Batch] {
    for training in model.activeTrainings { try training.beforeStep(place()) }
    let epoch = state.step / stepsPerEpoch
    if epochBatches?.epoch != epoch { epochBatches = (epoch, sampler.batches(epoch: epoch)) }
    let first = state.step % stepsPerEpoch * arguments.gradientAccumulationSteps
    let type = try model.fittedType(of: task)
    let group = (epochBatches?.batches ?? []).dropFirst(first).prefix(arguments.gradientAccumulationSteps)
    return try group.flatMap(arguments.pieces).enumerated().map { i, indices in
      var batch = try data.batch(
        indices, for: type, arguments.preparation("masks", batch: i, step: state.step, model.tokenizer))
      batch.hiddenStates = trainingStates
      return batch
    }
  }

  /// One update: the batches of its group forward and backward, then the optimizer. One that is cut off leaves no trace.
  private func update() throws {
    let started = Date()
    let (passes, tokens, done) = (model.network.context.step, state.tokens, state.step)
    do {
      try drawing("update", step: done) { try tryUpdate() }
    } catch let error as EngineError where error.kind == .interrupted && state.step == done {
      model.network.context.resume(after: passes)
      state.tokens = tokens
      throw error
    }
    state.seconds += Date().timeIntervalSince(started)
    if state.step == totalSteps { try requireFinite() }
    state.due = [.onStep]
    if state.step % arguments.loggingSteps == 0 || state.step == totalSteps { state.due.insert(.log) }
    if isEvaluationDue { state.due.insert(.evaluation) }
    if endsEpoch { state.due.insert(.onEpoch) }
  }

  private func tryUpdate() throws {
    let batches = try nextBatches()
    let divisor = Double(max(1, batches.reduce(0) { $0 + $1.labelCount }))
    optimizer.zeroGrad()
    let passes = model.network.context.step
    // Each piece draws dropout by its number, whoever computes it and whatever a script's loss draws for the others.
    let separately = arguments.microBatchSize != nil || group.count > 1
    let compute = { [self] (i: Int) throws -> Double in
      if separately { model.network.context.resume(after: passes + UInt64(i)) }
      let mean = try functions.loss(model, batches[i], labelSmoothing: arguments.labelSmoothing(of: model), divisor: divisor)
      let loss = try model.addingTerms(to: mean, batches[i], divisor: divisor)
      let value = try loss.item()
      guard value.isFinite else { throw notFinite("the loss is \(value)", batches[i]) }
      try loss.backward()
      return value
    }
    if !hasComparedGradients {
      try group.requireEqualGradients(of: trainedParameters()) { try compute(batches.startIndex) }
      hasComparedGradients = true
    }
    let total = try group.sum(of: batches.indices, into: trainedParameters().map(\.tensor), separately: separately, compute)
    if separately { model.network.context.resume(after: passes + UInt64(batches.count)) }
    state.tokens += batches.reduce(0) { $0 + $1.ids.count }
    let norm = optimizer.gradientNorm()
    guard norm.isFinite else { throw notFinite("the gradient's norm is \(norm)", batches[0]) }
    try applyUpdate(norm: norm)
    state.loss = total
    state.lossSum += total
    state.lossCount += 1
  }

  /// Clips the gradients, updates the parameters and goes to the next step. Returns the norm before clipping, which is
  /// computed unless it is given.
  @discardableResult
  public func applyUpdate(norm known: Double? = nil) throws -> Double {
    let norm = known ?? optimizer.gradientNorm()
    let scale = optimizer.clippingScale(norm: norm, limit: arguments.maxGradNorm)
    let place = place(gradientScale: scale)
    let multiplier = try multiplier(state.step)
    if !movement.isDone,
      let warning = movement.observe(
        model.steadyParameters, learningRate: try learningRate, isLast: state.step + 1 == totalSteps)
    {
      callbacks.onWarning?(warning)
    }
    // The update happens as a whole or not at all, because an interrupted `after_step` of a script cannot be resumed.
    try Interrupt.hold {
      for training in model.activeTrainings { try training.beforeUpdate(place) }
      try optimizer.step(learningRate: state.learningRate, multiplier: multiplier, gradientScale: scale)
      for training in model.activeTrainings { try training.afterUpdate(place) }
      optimizer.zeroGrad()
      state.step += 1
    }
    state.gradientNorm = norm
    return norm
  }

  /// Changes the schedule's highest step size for all later updates; those of parameter groups change by the same factor.
  public func setLearningRate(_ value: Double) throws {
    state.learningRate = value
    try regroup()
  }

  /// Ends the run after the current update.
  public func stop() { state.shouldStop = true }

  /// Metrics of a model on a task's evaluation sets.
  public static func evaluate(
    _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments,
    functions: TrainerFunctions = TrainerFunctions(), onText: TextObserver? = nil
  ) throws -> [String: Double] {
    try check(model, task, arguments, functions, trains: false)
    return try Evaluator(model: model, task: task, arguments: arguments, functions: functions, onText: onText)()
  }

  /// Does what is due after an update. Whatever is cut off stays due.
  private func doDue() throws {
    for due in TrainerState.Due.allCases where state.due.contains(due) {
      try drawing(due.rawValue, step: state.step) { try perform(due) }
      state.due.remove(due)
    }
  }

  private func perform(_ due: TrainerState.Due) throws {
    switch due {
    case .onStep: try call { try callbacks.onStep?(self) }
    case .log: try log()
    case .evaluation: try evaluate()
    case .onEvaluate: try call { try callbacks.onEvaluate?(self, state.lastEvaluation?.metrics ?? [:]) }
    case .onEpoch: try call { try callbacks.onEpoch?(self, state.step / stepsPerEpoch) }
    }
  }

  /// Calls a callback. What one that is cut off did to the run is taken back: a resumed run calls it again.
  private func call(_ callback: () throws -> Void) throws {
    let before = state
    // The walk through the model is left out of steps in which nothing can be frozen or unfrozen.
    let flags = callbacks.mayUnfreeze ? model.network.namedParameters().map { ($0.tensor, $0.tensor.requiresGrad) } : []
    do {
      try callback()
      guard callbacks.mayUnfreeze else { return }
      if flags.contains(where: { $0.requiresGrad != $1 }) {
        // The model's own methods leave this to the trainer.
        try requireSomethingToTrain()
        try regroup()
      }
      try requireFrozen()
    } catch let error as EngineError where error.kind == .interrupted {
      for (tensor, flag) in flags where tensor.requiresGrad != flag { try tensor.setTrainable(flag) }
      state = before
      try regroup()
      throw error
    }
  }

  private var endsEpoch: Bool { state.step % stepsPerEpoch == 0 }

  private var isEvaluationDue: Bool {
    switch arguments.evalStrategy {
    case .no: false
    case .epoch: endsEpoch
    case .steps: state.step % arguments.usedEvalSteps == 0
    }
  }

  private func log() throws {
    var row: JSONObject = ["step": .int(state.step), "epoch": .double(Double(state.step) / Double(stepsPerEpoch))]
    row["loss"] = .double(state.lossSum / Double(max(1, state.lossCount)))
    let multiplier = try multiplier(state.step - 1)
    row["learning_rate"] = .double(try stepSize(after: state.step - 1))
    if let plus = LoRAPlus(arguments) {
      row["group_learning_rates"] = .array([.double(plus.ratio * state.learningRate * multiplier)])
    } else if let groups = arguments.parameterGroups {
      let rates = groups.map { ($0.learningRate.map { $0 * learningRateFactor } ?? state.learningRate) * multiplier }
      row["group_learning_rates"] = .array(rates.map { .double($0) })
    }
    row["grad_norm"] = .double(state.gradientNorm)
    row["tokens"] = .int(state.tokens)
    (state.lossSum, state.lossCount) = (0, 0)
    try record(row)
  }

  private func record(_ row: JSONObject) throws {
    state.logHistory.append(row)
    try callbacks.onLog?(row)
  }

  /// Evaluates, keeps the best weights, and decides on early stopping.
  private func evaluate() throws {
    guard !task.evaluation.isEmpty else { return }
    let started = Date()
    state.singleClasses = []
    var evaluator = Evaluator(model: model, task: task, arguments: arguments, functions: functions, hiddenStates: hiddenStates)
    evaluator.onText = callbacks.onText
    evaluator.onSingleClass = { self.state.singleClasses.append($0.text) }
    let metrics = try evaluator()
    state.seconds += Date().timeIntervalSince(started)
    state.lastEvaluation = (state.step, metrics)
    var row: JSONObject = ["step": .int(state.step), "epoch": .double(Double(state.step) / Double(stepsPerEpoch))]
    for (name, value) in metrics.sorted(by: { $0.key < $1.key }) { row[name] = .double(value) }
    try record(row)
    let name = bestMetricName
    if functions.metrics != nil, arguments.metricForBestModel != nil, metrics[name] == nil {
      throw EngineError(
        .argument, "metric_for_best_model = '\(name)': the evaluation has no such metric",
        hint: suggestion(for: name, among: metrics.keys.sorted()))
    }
    if let value = metrics[name] {
      // The first evaluation is the best so far, whatever it gave; after that, what is not a number is worse than any number.
      let best = state.best.map { $0.value.isNaN ? (isGreaterBetter ? -.infinity : .infinity) : $0.value }
      let isBetter = best.map { isGreaterBetter ? value > $0 : value < $0 } ?? true
      let isImprovement = isBetter && best.map { abs(value - $0) > arguments.earlyStoppingThreshold } ?? true
      state.evaluationsWithoutImprovement = isImprovement ? 0 : state.evaluationsWithoutImprovement + 1
      if isBetter { try keepBest(value) }
      if let patience = arguments.earlyStoppingPatience, state.evaluationsWithoutImprovement >= patience { state.shouldStop = true }
    }
    state.due.insert(.onEvaluate)
  }

  private func hiddenStates(ofEvaluationSet set: Int, _ data: EncodedDataset, _ batches: [[Int]]) -> HiddenStateCache? {
    guard !type(of: task.type).altersTokens else { return nil }
    let cache = evaluationStates[set] ?? HiddenStateCache(groups: batches, budget: budget, batch: data.batch)
    evaluationStates[set] = cache
    // At the latest, the end of training evaluates again.
    cache.isKeeping = arguments.evalStrategy != .no && state.step < totalSteps && !state.shouldStop
    return cache
  }

  private func keepBest(_ value: Double) throws {
    let values =
      arguments.loadBestModelAtEnd
      ? try model.changedParameters.map { ($0.name, try $0.tensor.copy()) } : []
    state.best = TrainerState.Best(
      step: state.step, value: value, metrics: state.lastEvaluation?.metrics ?? [:], singleClasses: state.singleClasses, values: values)
  }

  /// Adds what trains only since the best evaluation to the weights that it had: those are still the same.
  private func completeBest() throws {
    guard arguments.loadBestModelAtEnd, let best = state.best else { return }
    let known = Set(best.values.map(\.name))
    state.best?.values += try model.changedParameters.filter { !known.contains($0.name) }.map { ($0.name, try $0.tensor.copy()) }
  }

  private func restoreBest(_ best: TrainerState.Best) throws {
    try model.network.load(best.values)
    state.lastEvaluation = (best.step, best.metrics)
    state.singleClasses = best.singleClasses
  }

  private func save() throws {
    // All processes know the same.
    guard let store, group.rank == 0 else { return }
    let started = Date()
    try store.saveState { try write(to: $0) }
    // Large states are saved less often, so that saving takes a few per cent of the time at most.
    lastSave = Date().addingTimeInterval(20 * Date().timeIntervalSince(started))
  }
}
