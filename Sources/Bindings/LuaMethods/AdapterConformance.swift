import Adapters
import Diagnostics
import Engine
import Files
import Foundation
import LuaHost
import NN
import Tasks
import TensorCore
import Tokenizers
import Training
import TransformerModels

/// What every adapter must do, checked for one method on a tiny model.
struct AdapterConformance {
  /// What a check found.
  enum Outcome: Equatable {
    case passed
    /// The check says nothing about this method, and why.
    case notApplicable(String)
    case failed(String)
  }

  /// A check did not hold.
  private struct Failure: Error {
    let text: String
  }

  let method: any AdapterMethod
  /// Whether gradients are those of the loss.
  let exactGradient: Bool
  /// Finds the method in a folder.
  let reading: AdapterMethodReader
  private let base: PretrainedModel
  private let tokenizer: Tokenizer
  private let task: TrainingTask
  private static let modelName = BuiltInModel.name

  init(
    _ method: any AdapterMethod, exactGradient: Bool = true,
    reading: @escaping AdapterMethodReader = { _, _ in nil }, seed: UInt64
  ) throws {
    (self.method, self.exactGradient, self.reading) = (method, exactGradient, reading)
    let builtIn = try BuiltInModel.make(Self.modelName, seed: seed)
    let dropout: JSONObject = ["hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1]
    base = try PretrainedModel(config: builtIn.base.config.changed(dropout), name: Self.modelName, seed: seed)
    tokenizer = builtIn.tokenizer
    task = .synthetic(count: 16, length: 9, vocabulary: 5..<Int32(tokenizer.vocabularySize), labels: 2, seed: 1)
  }

  /// The checks, in the order in which they are shown.
  static let checks: [(name: String, run: @Sendable (AdapterConformance) throws -> Outcome)] = [
    ("fresh equals base", { try $0.freshAdapter() }),
    ("gradients", { try $0.gradients() }),
    ("trains only its own", { try $0.training() }),
    ("disabled equals base", { try $0.disabled() }),
    ("merged equals unmerged", { try $0.merging() }),
    ("saved and loaded", { try $0.saving() }),
    ("exported as LoRA", { try $0.exporting() }),
    ("beside another adapter", { try $0.coexisting() }),
    ("resumed equals unbroken", { try $0.resuming() }),
    ("bfloat16", { try $0.narrowPrecision() }),
    ("other layer shapes", { try $0.otherShapes() }),
  ]

  /// Runs one check; an error of the script or the engine is a failure.
  func outcome(_ check: (AdapterConformance) throws -> Outcome) throws -> Outcome {
    do {
      return try check(self)
    } catch let failure as Failure {
      return .failed(failure.text)
    } catch let error as LuaError where !error.isInterruption {
      return .failed(error.message)
    } catch let error as EngineError where error.kind != .interrupted {
      return .failed("\(error)")
    }
  }

  // MARK: Models

  private func plainModel() throws -> TrainableModel {
    TrainableModel(task.type, network: try base.make(task.type.head, headSeed: 3), base: base, tokenizer: tokenizer)
  }

  /// A model with the adapter, and random values in everything that trains.
  private func adaptedModel(targets: AdapterTargets = AdapterTargets()) throws -> (TrainableModel, AttachedAdapter) {
    let model = try plainModel()
    let attached = try model.addAdapter(method, targets: targets, seed: 1)
    try perturb(attached, seed: 5)
    return (model, attached)
  }

  /// Moves what trains, so that nothing is zero by accident.
  private func perturb(_ attached: AttachedAdapter, seed: UInt64) throws {
    for (name, tensor) in attached.state() where tensor.requiresGrad {
      let noise = try Tensor.randn(tensor.shape, std: 0.2, RandomSource(seed: seed, stream: RandomSource.stream(named: name)))
      try Autograd.noGrad { try tensor.addInPlace(noise) }
    }
  }

  private func batch() throws -> Batch {
    let ids: [Int32] = [0, 17, 45, 99, 2, 0, 8, 23, 51, 60, 77, 2, 0, 111, 2]
    return try Batch(ids: ids, offsets: Offsets(values: [0, 5, 12, 15]), labels: Tensor([0, 1, 1] as [Int32], [3]))
  }

  private func logits(_ model: TrainableModel) throws -> [Double] { try model.network.predict(batch()).values }

  private func requireEqual(_ a: [Double], _ b: [Double], _ tolerance: Double, _ what: String) throws {
    let bound = tolerance * max(1, b.map(abs).max() ?? 0)
    let difference = zip(a, b).map { abs($0 - $1) }.max() ?? 0
    // A comparison with NaN is false, so that NaN fails too.
    guard a.count == b.count, zip(a, b).allSatisfy({ abs($0 - $1) <= bound }) else {
      throw Failure(text: "\(what): the logits differ by \(difference), more than \(bound)")
    }
  }

  private func values(_ parameters: [(name: String, tensor: Tensor)]) throws -> [(name: String, tensor: Tensor)] {
    try parameters.map { ($0.name, try $0.tensor.copy()) }
  }

  private func sameBits(_ a: Tensor, _ b: Tensor) -> Bool {
    a.shape == b.shape && a.dtype == b.dtype && memcmp(a.pointer, b.pointer, a.count * a.dtype.size) == 0
  }

  // MARK: Checks

  private func freshAdapter() throws -> Outcome {
    guard method.freshEqualsBase else { return .notApplicable("fresh_equals_base = false") }
    let model = try plainModel()
    let before = try logits(model)
    try model.addAdapter(method, seed: 1)
    try requireEqual(logits(model), before, 1e-5, "a new adapter")
    return .passed
  }

  /// The gradient of each parameter against differences of the loss: along the gradient, which has to have the right size, and in
  /// a random direction, in which every element takes part.
  private func gradients() throws -> Outcome {
    let (model, attached) = try adaptedModel()
    let path = LossPath(model: model, batch: try batch())
    try path.backward()
    let gradients = try attached.state().filter(\.tensor.requiresGrad).map { ($0.name, $0.tensor, try $0.tensor.grad?.copy()) }
    for (name, tensor, gradient) in gradients {
      guard let gradient else { throw Failure(text: "'\(name)' trains, and gets no gradient") }
      let norm = gradient.sumOfSquares.squareRoot()
      guard norm.isFinite, norm > 0 else { throw Failure(text: "'\(name)' trains, and the norm of its gradient is \(norm)") }
      guard exactGradient else { continue }
      let random = try Tensor.randn(tensor.shape, std: 1, RandomSource(seed: 9, stream: RandomSource.stream(named: name)))
      // A random direction meets the square root of an element's share of the gradient.
      let share = norm / Double(tensor.count).squareRoot()
      for (direction, least, tolerance) in [(gradient, norm, 0.02), (random, share, 0.05)] {
        let error = try path.error(of: tensor, along: direction, least: least, tolerance: tolerance)
        guard error < tolerance else {
          throw Failure(text: "'\(name)': the gradient is off by \(Int(min(error, 1e6) * 100)) % of what differences of the loss say")
        }
      }
    }
    return exactGradient ? .passed : .notApplicable("exact_gradient = false; every parameter that trains has a gradient")
  }

  private func training() throws -> Outcome {
    let model = try plainModel()
    let attached = try model.addAdapter(method, seed: 1)
    let before = try values(model.network.namedParameters())
    _ = try train(model, steps: 4)
    let own = Set(attached.state().map { ObjectIdentifier($0.tensor) })
    let changed = Set(model.changedParameters.map(\.name))
    for ((name, old), (_, tensor)) in zip(before, model.network.namedParameters()) {
      if !own.contains(ObjectIdentifier(tensor)) {
        guard sameBits(old, tensor) else { throw Failure(text: "training changed '\(name)', which is not the adapter's") }
      } else if tensor.requiresGrad {
        guard !sameBits(old, tensor) else { throw Failure(text: "'\(name)' trains, and four updates did not change it") }
      } else if !changed.contains(name) {
        guard sameBits(old, tensor) else { throw Failure(text: "training changed '\(name)', which is frozen") }
      }
    }
    return .passed
  }

  private func disabled() throws -> Outcome {
    let plain = try logits(plainModel())
    var targets = AdapterTargets()
    targets.modulesToSave = []
    let (model, _) = try adaptedModel(targets: targets)
    guard try logits(model) != plain else { throw Failure(text: "the adapter changes nothing") }
    try model.network.setAdapters(enabled: false)
    try requireEqual(logits(model), plain, 1e-6, "disabled")
    return .passed
  }

  private func merging() throws -> Outcome {
    let (model, attached) = try adaptedModel()
    let before = try values(model.network.namedParameters())
    let unmerged = try logits(model)
    do {
      try model.network.merge(probe: batch(), tolerance: attached.mergeTolerance)
    } catch let error as EngineError where error.message.contains("is not linear in x") {
      return .notApplicable(error.message)
    }
    try requireEqual(logits(model), unmerged, attached.mergeTolerance, "merged")
    try model.network.unmerge()
    for ((name, old), (_, tensor)) in zip(before, model.network.namedParameters()) where !sameBits(old, tensor) {
      throw Failure(text: "unmerge did not restore '\(name)' bit for bit")
    }
    return .passed
  }

  private func saving() throws -> Outcome {
    try withScratchFolder { folder in
      let (model, attached) = try adaptedModel()
      try model.save(attached, to: folder + "/a")
      let other = try plainModel()
      try other.loadAdapter(folder + "/a", name: "default", head: .saved, reading: reading)
      try requireEqual(logits(other), logits(model), 0, "loaded again")
      try other.save(try other.adapter(named: nil), to: folder + "/b")
      guard try Digest(ofFolder: folder + "/a") == Digest(ofFolder: folder + "/b") else {
        throw Failure(text: "what was loaded and saved again is another folder")
      }
      return .passed
    }
  }

  private func exporting() throws -> Outcome {
    try withScratchFolder { folder in
      let (model, attached) = try adaptedModel()
      do {
        try model.export(attached, to: folder + "/lora")
      } catch let error as EngineError where error.message.contains("is not linear in x") {
        return .notApplicable(error.message)
      }
      let other = try plainModel()
      try other.loadAdapter(folder + "/lora", name: "default", head: .saved)
      try requireEqual(logits(other), logits(model), 1e-4, "as a LoRA")
      return .passed
    }
  }

  private func coexisting() throws -> Outcome {
    let model = try plainModel()
    try perturb(model.addAdapter(LoRA(), name: "first", seed: 2), seed: 6)
    let one = try logits(model)
    var targets = AdapterTargets()
    targets.modulesToSave = []
    let second = try model.addAdapter(method, name: "second", targets: targets, seed: 1)
    try perturb(second, seed: 7)
    let both = try logits(model)
    guard both != one else { throw Failure(text: "the second adapter changes nothing") }
    do {
      try model.network.merge()
      try requireEqual(logits(model), both, second.mergeTolerance, "both merged")
      try model.network.unmerge()
    } catch let error as EngineError where error.message.contains("is not linear in x") {}
    try second.detach()
    try requireEqual(logits(model), one, 1e-5, "with the second adapter detached")
    return .passed
  }

  private func resuming() throws -> Outcome {
    try withScratchFolder { folder in
      func result(_ store: TrainerStore?, stopAt: Int? = nil) throws -> [(name: String, tensor: Tensor)] {
        let model = try plainModel()
        try model.addAdapter(method, seed: 1)
        return try train(model, steps: 6, store: store, stopAt: stopAt)
      }
      let unbroken = try result(nil)
      let store = FolderStore(folder)
      do {
        _ = try result(store, stopAt: 3)
      } catch is Stop {}
      guard try store.stateFolder() != nil else { throw Failure(text: "no state was saved") }
      for ((name, tensor), (_, other)) in zip(unbroken, try result(store)) where !sameBits(tensor, other) {
        throw Failure(text: "'\(name)' differs after a resumed training")
      }
      return .passed
    }
  }

  private func narrowPrecision() throws -> Outcome {
    let (model, _) = try adaptedModel()
    let exact = try logits(model)
    let before = Precision.current
    Precision.current = .bf16
    defer { Precision.current = before }
    try requireEqual(logits(model), exact, 0.2, "in bfloat16")
    try model.loss(batch()).loss.backward()
    return .passed
  }

  /// A layer that is not square.
  private func otherShapes() throws -> Outcome {
    var targets = AdapterTargets()
    targets.targetModules = .suffixes(["intermediate.dense"])
    let (model, attached) = try adaptedModel(targets: targets)
    let unmerged = try logits(model)
    do {
      try model.network.merge()
    } catch let error as EngineError where error.message.contains("is not linear in x") {
      return .passed
    }
    try requireEqual(logits(model), unmerged, attached.mergeTolerance, "merged")
    return .passed
  }

  // MARK: Training

  private struct Stop: Error {}

  private func train(
    _ model: TrainableModel, steps: Int, store: TrainerStore? = nil, stopAt: Int? = nil
  ) throws -> [(name: String, tensor: Tensor)] {
    var arguments = TrainingArguments()
    (arguments.maxSteps, arguments.trainBatchSize, arguments.learningRate, arguments.saveSeconds) = (steps, 4, 1e-2, 0)
    var callbacks = TrainerCallbacks()
    callbacks.onStep = { if $0.state.step == stopAt { throw Stop() } }
    _ = try Trainer(model: model, task: task, arguments: arguments, callbacks: callbacks, store: store).run()
    return model.network.namedParameters()
  }

  private func withScratchFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.path + "/perigee-" + UUID().uuidString
    try createFolder(folder)
    defer { removeTree(folder) }
    return try body(folder)
  }
}

/// The loss along a straight line through a parameter's value.
///
/// The difference between the ends is compared with the integral of what the gradients along the line say. Unlike a derivative
/// at one point, that holds for functions with kinks as well, such as those with a ReLU.
private struct LossPath {
  let model: TrainableModel
  let batch: Batch

  /// Halves of the line's length, of which the best counts: long ones meet what the points between see too little of, short
  /// ones the rounding of the loss.
  private static let reaches = [0.1, 0.02, 0.5, 0.004]
  private static let points = 8

  private func loss() throws -> Double { try Autograd.noGrad { try model.loss(batch).loss.item() } }

  /// Gradients at the present values.
  func backward() throws {
    model.network.zeroGrad()
    try model.loss(batch).loss.backward()
  }

  /// How far the gradients are off, as a share of the slope.
  ///
  /// - Parameters:
  ///   - direction: of any length.
  ///   - least: the slope that the difference is at least compared with.
  ///   - tolerance: what is good enough.
  func error(of tensor: Tensor, along direction: Tensor, least: Double, tolerance: Double) throws -> Double {
    let before = try tensor.copy()
    defer { try? Autograd.noGrad { try tensor.assign(before) } }
    let length = direction.sumOfSquares.squareRoot()
    func move(_ distance: Double) throws {
      try Autograd.noGrad {
        try tensor.assign(before)
        try tensor.addInPlace(direction, alpha: distance / length)
      }
    }
    var best = Double.infinity
    for reach in Self.reaches {
      let ends = try [reach, -reach].map { distance in
        try move(distance)
        return try loss()
      }
      let slope = (ends[0] - ends[1]) / (2 * reach)
      var sum = 0.0
      for point in 0..<Self.points {
        try move(reach * (Double(2 * point + 1) / Double(Self.points) - 1))
        try backward()
        guard let gradient = tensor.grad else { continue }
        sum += zip(gradient.floats, direction.floats).reduce(0) { $0 + Double($1.0) * Double($1.1) } / length
      }
      let error = abs(slope - sum / Double(Self.points)) / max(abs(slope), least)
      best = min(best, error)
      if best < tolerance { break }
    }
    return best
  }
}

/// States of a training, in a folder.
private final class FolderStore: TrainerStore {
  private let folder: String
  var scratchFolder: String? { nil }

  init(_ folder: String) { self.folder = folder }

  func saveState(_ write: (String) throws -> Void) throws {
    try AtomicFolder.write(to: folder + "/state") { try write($0) }
  }

  func stateFolder() throws -> String? {
    fileExists(folder + "/state") ? folder + "/state" : nil
  }
}
