import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore

/// What changes while a trainer runs, apart from parameters and the optimizer's moments.
public struct TrainerState {
  /// Updates done.
  public var step = 0
  /// The schedule's highest step size; callbacks may change it.
  public var learningRate = 0.0
  /// Tokens trained on so far.
  public var tokens = 0
  /// Seconds of training and evaluation, over all processes that worked on the run.
  public var seconds = 0.0
  /// The last update's loss, and the norm of its gradient before clipping.
  public var loss = 0.0
  public var gradientNorm = 0.0
  /// Set by a callback or by early stopping.
  public var shouldStop = false
  var lossSum = 0.0
  var lossCount = 0
  var evaluationsWithoutImprovement = 0
  /// What is still to be done after the last update.
  var due: Set<Due> = []
  /// What was logged so far, one row each, as Transformers keeps it.
  public internal(set) var logHistory: [JSONObject] = []
  public var lastEvaluation: (step: Int, metrics: [String: Double])?
  /// Evaluation sets for which the weights of the last evaluation predict one class, in words.
  var singleClasses: [String] = []
  /// The most memory that tensors of this run held so far, in bytes, over all processes that worked on it.
  public internal(set) var peakBytes = 0
  public var best: Best?

  /// What comes after an update, in this order.
  enum Due: String, CaseIterable {
    case onStep = "on_step"
    case log
    case evaluation
    case onEvaluate = "on_evaluate"
    case onEpoch = "on_epoch"
  }

  /// The best evaluation so far.
  public struct Best {
    public var step: Int
    public var value: Double
    public var metrics: [String: Double]
    var singleClasses: [String]
    /// The trainable parameters at that step; empty unless they are to be restored.
    var values: [(name: String, tensor: Tensor)]
  }
}

extension Trainer {
  private static let parameters = "parameters.safetensors"
  private static let moments = "optimizer.safetensors"
  private static let methods = "methods.safetensors"
  private static let bestParameters = "best.safetensors"
  fileprivate static let file = "trainer_state.json"

  /// Writes everything that the rest of the run depends on into a folder.
  func write(to folder: String) throws {
    try SafetensorsFile.write(tensors: trainedParameters(), to: folder + "/" + Self.parameters)
    try SafetensorsFile.write(tensors: optimizer.state(), to: folder + "/" + Self.moments)
    let methods = try methodStates()
    if !methods.isEmpty { try SafetensorsFile.write(tensors: methods, to: folder + "/" + Self.methods) }
    if let best = state.best, !best.values.isEmpty {
      try SafetensorsFile.write(tensors: best.values, to: folder + "/" + Self.bestParameters)
    }
    try writeSummary(to: folder)
  }

  /// The parameters that the run has changed or may change: those that train, and those that a callback froze after they
  /// had trained.
  public func trainedParameters() -> [(name: String, tensor: Tensor)] {
    let names = Set(model.changedParameters.map(\.name)).union(optimizer.updatedParameters)
    return model.network.namedParameters().filter { names.contains($0.name) }
  }

  /// What the adapters' methods keep beside parameters, by adapter and name.
  private func methodStates() throws -> [(name: String, tensor: Tensor)] {
    try model.adapters.flatMap { adapter in
      try (adapter.training?.state() ?? []).map { (adapter.name + "/" + $0.name, $0.tensor) }
    }
  }

  private func restoreMethods(from folder: String) throws {
    let path = folder + "/" + Self.methods
    let file = fileExists(path) ? try SafetensorsFile(path) : nil
    for adapter in model.adapters {
      guard let training = adapter.training else { continue }
      let own = (file?.names ?? []).filter { $0.hasPrefix(adapter.name + "/") }
      let values = try own.map { (String($0.dropFirst(adapter.name.count + 1)), try file?.tensor($0).copy()) }
      try training.load(Dictionary(uniqueKeysWithValues: values.compactMap { name, value in value.map { (name, $0) } }))
    }
  }

  private func stateJSON() -> JSONValue {
    func metrics(_ values: [String: Double]) -> JSONValue {
      .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .double($0.value)) }))
    }
    var json: JSONObject = [
      "global_step": .int(state.step), "max_steps": .int(totalSteps),
      "epoch": .double(Double(state.step) / Double(stepsPerEpoch)), "learning_rate": .double(state.learningRate),
      "num_input_tokens_seen": .int(state.tokens), "train_runtime": .double(state.seconds), "loss": .double(state.loss),
      "grad_norm": .double(state.gradientNorm), "should_training_stop": .bool(state.shouldStop),
      "loss_sum": .double(state.lossSum), "loss_count": .int(state.lossCount),
      "evaluations_without_improvement": .int(state.evaluationsWithoutImprovement),
      "forward_passes": .int(Int(model.network.context.step)),
      "trainable": .array(model.network.trainableParameters().map { .string($0.name) }),
    ]
    json["due"] = .array(TrainerState.Due.allCases.filter(state.due.contains).map { .string($0.rawValue) })
    json["log_history"] = .array(state.logHistory.map { .object($0) })
    json["peak_tensor_bytes"] = .int(peakBytes)
    func texts(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }
    json["single_classes"] = texts(state.singleClasses)
    if let last = state.lastEvaluation { json["last_evaluation"] = ["step": .int(last.step), "metrics": metrics(last.metrics)] }
    if let best = state.best {
      json["best"] = [
        "step": .int(best.step), "value": .double(best.value), "metrics": metrics(best.metrics), "single_classes": texts(best.singleClasses),
      ]
    }
    return .object(json)
  }

  /// Goes on from a folder that `write(to:)` filled.
  func restore(from folder: String) throws {
    let json = try JSONValue(file: folder + "/" + Self.file)
    func number(_ key: String) throws -> Double {
      guard let value = json[key]?.doubleValue else {
        throw EngineError(.data, "\(folder)/\(Self.file): missing number '\(key)'")
      }
      return value
    }
    func metrics(_ value: JSONValue?) -> [String: Double] {
      Dictionary(uniqueKeysWithValues: (value?.objectValue ?? [:]).members.map { ($0, $1.doubleValue ?? .nan) })
    }
    let network = model.network
    try model.restoreTrainable(json)
    state.learningRate = try number("learning_rate")
    try regroup()
    func tensors(_ file: String) throws -> [(name: String, tensor: Tensor)] {
      let file = try SafetensorsFile(folder + "/" + file)
      return try file.names.map { ($0, try file.tensor($0)) }
    }
    try network.load(tensors(Self.parameters))
    try optimizer.load(Dictionary(uniqueKeysWithValues: tensors(Self.moments)))
    try restoreMethods(from: folder)
    state.step = Int(try number("global_step"))
    state.tokens = Int(try number("num_input_tokens_seen"))
    state.seconds = try number("train_runtime")
    (state.loss, state.gradientNorm) = (try number("loss"), try number("grad_norm"))
    (state.lossSum, state.lossCount) = (try number("loss_sum"), Int(try number("loss_count")))
    state.shouldStop = json["should_training_stop"]?.boolValue ?? false
    state.evaluationsWithoutImprovement = Int(try number("evaluations_without_improvement"))
    state.due = Set((json["due"]?.arrayValue ?? []).compactMap { $0.stringValue.flatMap(TrainerState.Due.init) })
    state.logHistory = Self.logHistory(json)
    state.peakBytes = Int(try number("peak_tensor_bytes"))
    func texts(_ value: JSONValue?) -> [String] { (value?.arrayValue ?? []).compactMap(\.stringValue) }
    state.singleClasses = texts(json["single_classes"])
    network.context.resume(after: UInt64(try number("forward_passes")))
    if let last = json["last_evaluation"] {
      state.lastEvaluation = (last["step"]?.intValue ?? 0, metrics(last["metrics"]))
    }
    if let best = json["best"] {
      let values = arguments.loadBestModelAtEnd ? try tensors(Self.bestParameters).map { ($0.name, try $0.tensor.copy()) } : []
      state.best = TrainerState.Best(
        step: best["step"]?.intValue ?? 0, value: best["value"]?.doubleValue ?? .nan, metrics: metrics(best["metrics"]),
        singleClasses: texts(best["single_classes"]), values: values)
    }
  }
}

extension TrainableModel {
  /// Lets those parameters train that a state or summary names, and freezes all others.
  fileprivate func restoreTrainable(_ json: JSONValue) throws {
    let trainable = Set((json["trainable"]?.arrayValue ?? []).compactMap(\.stringValue))
    for (name, tensor) in network.namedParameters() where tensor.requiresGrad != trainable.contains(name) {
      try tensor.setTrainable(trainable.contains(name))
    }
  }

  /// Makes the model what a training left, without training: the values that it changed, what trained in the end, and the
  /// number of the last forward pass.
  ///
  /// - Parameters:
  ///   - summary: the folder that `Trainer.writeSummary` wrote to.
  ///   - values: parameters by name.
  public func takeResult(summary folder: String, values: [(name: String, tensor: Tensor)]) throws {
    let path = folder + "/" + Trainer.file
    let json = try JSONValue(file: path)
    guard let passes = json["forward_passes"]?.intValue, passes >= 0 else {
      throw EngineError(.data, "\(path): missing number 'forward_passes'")
    }
    try restoreTrainable(json)
    try network.load(values)
    network.context.resume(after: UInt64(passes))
  }
}

extension Trainer {
  /// The rows that a finished training logged, from the folder that `writeSummary` wrote to.
  public static func logHistory(in folder: String) throws -> [JSONObject] { logHistory(try JSONValue(file: folder + "/" + file)) }

  /// How a training went, from a saved state of it or its result: what it logged, the updates that it should have in all, and its seconds.
  public static func course(in folder: String) throws -> (history: [JSONObject], totalSteps: Int, seconds: Double) {
    let json = try JSONValue(file: folder + "/" + file)
    return (logHistory(json), json["max_steps"]?.intValue ?? 0, json["train_runtime"]?.doubleValue ?? 0)
  }

  /// The rows of a history that evaluations logged, in their order.
  public static func evaluations(in history: [JSONObject]) -> [JSONObject] { history.filter { $0["grad_norm"] == nil } }

  private static func logHistory(_ json: JSONValue) -> [JSONObject] { (json["log_history"]?.arrayValue ?? []).compactMap(\.objectValue) }

  /// Examples of the training set.
  public var exampleCount: Int { sampler.lengths.count }
  /// Tokens of one pass over it.
  public var tokensPerEpoch: Int { sampler.lengths.reduce(0, +) }

  /// Writes `trainer_state.json`: how the run ended.
  public func writeSummary(to folder: String) throws {
    // Rows keep the order of their names: they are written to `metrics.jsonl` again.
    try AtomicFile.write(stateJSON().encoded(.indented) + "\n", to: folder + "/" + Self.file)
  }

  /// Bytes that training will need, roughly: weights as stored (in 4 bits, or packed), gradients and the optimizer's state of
  /// what trains, and the
  /// activations of the longest batch.
  public func estimatedMemory() throws -> Int {
    let counts = model.network.parameterCounts()
    let layout = model.network.layout
    // A token goes through one stack.
    let stacks = (model.network.encoderLayout.map { [$0.stack] } ?? []) + [layout]
    let (hidden, layers) = (layout.layer.size, stacks.map(\.layers.count).max() ?? 0)
    let intermediate = stacks.map(\.layer.inner).max() ?? 0
    let longest = sampler.lengths.sorted(by: >).prefix(arguments.trainBatchSize).reduce(0, +)
    let vocabulary = layout.embeddings.vocabulary
    let size = Precision.current == .bf16 ? 2 : 4
    // For each token and layer: queries, keys, values, attention, two normalised sums, the input, the feed-forward's inner
    // tensor; and once what is computed with.
    let layer = 7 * hidden + intermediate
    let kept = arguments.gradientCheckpointing ? layer + layers * hidden : layers * layer
    let activations = longest * size * (kept + 2 * intermediate + 6 * hidden)
    // Frozen layers are laid out for both products, and the file's pages given back; embeddings are read from the file.
    let embeddings = min(vocabulary * hidden, counts.total)
    let moments = optimizer.stateBytes(of: model.network.trainableParameters().map(\.tensor.shape))
    // Weights in 4 bits are laid out for one product at a time.
    let quantized = model.network.quantizedWeights.map(\.matrix)
    let elements = quantized.map { $0.shape.reduce(1, *) }
    let held = quantized.reduce(0) { $0 + $1.byteCount } + (elements.max() ?? 0) * size
    let frozen = max(0, counts.total - counts.trainable - embeddings - elements.reduce(0, +))
    return embeddings * 4 + frozen * 2 * size + held + counts.trainable * 2 * 4 + moments + activations
  }
}
