import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import Tasks
import TensorCore
import Tokenizers
import Training
import TransformerModels

/// What every adapter must do, checked for one method on a tiny model: by `perigee test-adapter` for methods of scripts, and by
/// tests for all methods of the catalogue on all families.
package struct AdapterConformance {
  /// What a check found.
  package enum Outcome: Equatable {
    case passed
    /// The check says nothing about this method, and why.
    case notApplicable(String)
    case failed(String)
  }

  /// A check did not hold.
  private struct Failure: Error {
    let text: String
  }

  private let method: any AdapterMethod
  private let targets: AdapterTargets
  /// The adapter that the method builds on, attached before it.
  private let underlying: LoRA?
  /// Whether gradients are those of the loss.
  private let exactGradient: Bool
  /// Finds the method in a folder.
  private let reading: AdapterMethodReader
  private let family: ConformanceFamily
  private var task: TrainingTask { family.task }
  /// Tokens of an example at most.
  private static let maxLength = 12

  package init(
    _ method: any AdapterMethod, targets: AdapterTargets = AdapterTargets(), over underlying: LoRA? = nil, on family: ConformanceFamily,
    exactGradient: Bool = true, reading: @escaping AdapterMethodReader = { _, _ in nil }
  ) {
    (self.method, self.targets, self.underlying, self.family) = (method, targets, underlying, family)
    (self.exactGradient, self.reading) = (exactGradient, reading)
  }

  /// The checks, in the order in which they are shown.
  package static let checks: [(name: String, run: @Sendable (AdapterConformance) throws -> Outcome)] = [
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

  /// Runs one check; an error is a failure. `describe`: the text of errors of other kinds than the engine's; nil for those that end
  /// the program.
  package func outcome(
    _ check: (AdapterConformance) throws -> Outcome, describe: (any Error) -> String? = { _ in nil }
  ) throws -> Outcome {
    do {
      return try check(self)
    } catch let failure as Failure {
      return .failed(failure.text)
    } catch let error as EngineError where error.kind != .interrupted {
      return .failed("\(error)")
    } catch {
      guard let text = describe(error) else { throw error }
      return .failed(text)
    }
  }

  /// Why the model does not take the method; nil: it does.
  package func refusal() throws -> String? {
    do {
      _ = try adaptedModel()
      return nil
    } catch let error as EngineError where error.kind == .argument {
      return "\(error)"
    }
  }

  // MARK: Models

  private func plainModel() throws -> TrainableModel {
    TrainableModel(
      task.type, network: try family.base.make(task.type.head, headSeed: 3), base: family.base, tokenizer: family.tokenizer)
  }

  /// A model without the adapter, but with the one that it builds on, whose values are random.
  private func baseModel(_ targets: AdapterTargets? = nil) throws -> TrainableModel {
    let model = try plainModel()
    if let underlying { try perturb(model.addAdapter(underlying, name: "lora", targets: targets ?? self.targets, seed: 4), seed: 8) }
    return model
  }

  /// A model with the adapter, and random values in everything that trains.
  private func adaptedModel(targets: AdapterTargets? = nil) throws -> (TrainableModel, AttachedAdapter) {
    let model = try baseModel(targets)
    let attached = try model.addAdapter(method, targets: targets ?? self.targets, seed: 1)
    try perturb(attached, seed: 5)
    return (model, attached)
  }

  /// The targets for an adapter without a head and biases of its own, which can be taken off without a trace.
  private var bareTargets: AdapterTargets {
    var targets = targets
    (targets.modulesToSave, targets.bias) = ([], .none)
    return targets
  }

  /// Moves what trains, so that nothing is zero by accident.
  private func perturb(_ attached: AttachedAdapter, seed: UInt64) throws {
    for (name, tensor) in attached.state() where tensor.requiresGrad {
      let noise = try Tensor.randn(tensor.shape, std: 0.2, RandomSource(seed: seed, stream: RandomSource.stream(named: name)))
      try Autograd.noGrad { try tensor.addInPlace(noise) }
    }
  }

  private func batch() throws -> Batch {
    let data = try task.encoded(task.train, tokenizer: family.tokenizer, maxLength: Self.maxLength)
    return try data.batch([0, 1, 2], for: task.type, Preparation(RandomSource(seed: 1, stream: 0), family.tokenizer, mlmProbability: 0.15))
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
    let model = try baseModel()
    let before = try logits(model)
    try model.addAdapter(method, targets: targets, seed: 1)
    try requireEqual(logits(model), before, 1e-5, "a new adapter")
    return .passed
  }

  /// The gradient of each parameter against differences of the loss: along the gradient, which has to have the right size, and in
  /// a random direction, in which every element takes part.
  private func gradients() throws -> Outcome {
    let (model, attached) = try adaptedModel()
    let path = LossPath(model: model, batch: try batch())
    try path.backward()
    let own = Set(attached.state().map { ObjectIdentifier($0.tensor) })
    for (name, tensor) in model.network.namedParameters() {
      guard tensor.requiresGrad || tensor.grad == nil else { throw Failure(text: "'\(name)' does not train, and gets a gradient") }
      guard !tensor.requiresGrad || own.contains(ObjectIdentifier(tensor)) else { throw Failure(text: "'\(name)' trains and is not saved") }
    }
    let draws = (method as? any DrawsParameters)?.drawsParameters ?? false
    let gradients = try attached.state().filter(\.tensor.requiresGrad).map { ($0.name, $0.tensor, try $0.tensor.grad?.copy()) }
    for (name, tensor, gradient) in gradients {
      if gradient == nil, draws { continue }
      if Self.mayStay(name, in: model) { continue }
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

  /// Whether a parameter may train and stay as it is: a key's bias shifts all scores of a row alike, GLoRA's D multiplies a bias,
  /// which is 0 in a new model, a B that is equal along a row multiplies the sum of a norm's output, which is 0 there, and AdaLoRA sets
  /// E back to 0 where it cuts.
  private static func mayStay(_ name: String, in model: TrainableModel) -> Bool {
    if ["glora_D.X", "glora_B.X", "lora_E"].contains(where: name.hasSuffix) { return true }
    let owner = name.replacingOccurrences(of: ".base_layer.", with: ".")
    return model.network.namedModules().contains { path, module in path + ".bias" == owner && (module as? Linear)?.role == .key }
  }

  private func training() throws -> Outcome {
    let model = try baseModel()
    let attached = try model.addAdapter(method, targets: targets, seed: 1)
    let before = try values(model.network.namedParameters())
    _ = try train(model, steps: 4)
    let own = Set(attached.state().map { ObjectIdentifier($0.tensor) })
    let changed = Set(model.changedParameters.map(\.name))
    let draws = (method as? any DrawsParameters)?.drawsParameters ?? false
    for ((name, old), (_, tensor)) in zip(before, model.network.namedParameters()) {
      if !own.contains(ObjectIdentifier(tensor)) {
        guard sameBits(old, tensor) || changed.contains(name) else { throw Failure(text: "training changed '\(name)', which is not the adapter's") }
      } else if tensor.requiresGrad {
        guard !sameBits(old, tensor) || Self.mayStay(name, in: model) || draws else {
          throw Failure(text: "'\(name)' trains, and four updates did not change it")
        }
      } else if !changed.contains(name) {
        guard sameBits(old, tensor) else { throw Failure(text: "training changed '\(name)', which is frozen") }
      }
    }
    return .passed
  }

  private func disabled() throws -> Outcome {
    guard method.hasSites else { return .notApplicable("the method attaches nothing") }
    let plain = try logits(plainModel())
    let (model, attached) = try adaptedModel(targets: bareTargets)
    guard try logits(model) != plain else { throw Failure(text: "the adapter changes nothing") }
    try model.network.setAdapters(enabled: false)
    guard attached.chosenParameters.isEmpty else { return .notApplicable("the method trains parameters of the base model") }
    try requireEqual(logits(model), plain, 1e-6, "disabled")
    return .passed
  }

  private func merging() throws -> Outcome {
    let (model, attached) = try adaptedModel()
    let before = try values(model.network.namedParameters())
    let unmerged = try logits(model)
    guard method.isMergeable else {
      do { try model.network.merge() } catch let error as EngineError where error.message.contains("cannot be merged") {
        guard try logits(model) == unmerged else { throw Failure(text: "a refused merge changed the model") }
        return .notApplicable("no weight can hold what the method learns: merging is refused")
      }
      throw Failure(text: "merging was not refused")
    }
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
    guard method.peftType != nil else { return .notApplicable("the method has no adapter to save") }
    return try withScratchFolder { folder in
      let (model, attached) = try adaptedModel()
      try model.save(attached, to: folder + "/a")
      let other = try plainModel()
      try other.loadAdapter(folder + "/a", name: "default", head: .saved, reading: reading)
      // What other tensors amount to is rounded once more.
      try requireEqual(logits(other), logits(model), method is any SavesResult ? 1e-6 : 0, "loaded again")
      if method.savesParameters, other.network.trainableParameters().map(\.name) != model.network.trainableParameters().map(\.name) {
        throw Failure(text: "what was loaded trains other parameters")
      }
      guard underlying == nil else { return .passed }
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
      } catch let error as EngineError
        where ["is not linear in x", "cannot be written as a LoRA", "adapts no layer", "no adapter to save"]
        .contains(where: error.message.contains)
      {
        return .notApplicable(error.message)
      }
      let other = try plainModel()
      try other.loadAdapter(folder + "/lora", name: "default", head: .saved)
      try requireEqual(logits(other), logits(model), 1e-4, "as a LoRA")
      return .passed
    }
  }

  private func coexisting() throws -> Outcome {
    guard method.hasSites else { return .notApplicable("the method attaches nothing") }
    let model = try plainModel()
    try perturb(model.addAdapter(LoRA(), name: "first", seed: 2), seed: 6)
    if let underlying { try perturb(model.addAdapter(underlying, name: "lora", targets: bareTargets, seed: 4), seed: 8) }
    let one = try logits(model)
    let second = try model.addAdapter(method, name: "second", targets: bareTargets, seed: 1)
    try perturb(second, seed: 7)
    let both = try logits(model)
    guard both != one else { throw Failure(text: "the second adapter changes nothing") }
    if method.isMergeable {
      do {
        try model.network.merge()
        try requireEqual(logits(model), both, second.mergeTolerance, "both merged")
        try model.network.unmerge()
      } catch let error as EngineError where error.message.contains("is not linear in x") {}
    }
    try second.detach()
    guard underlying == nil, second.chosenParameters.isEmpty else { return .passed }
    try requireEqual(logits(model), one, 1e-5, "with the second adapter detached")
    return .passed
  }

  private func resuming() throws -> Outcome {
    try withScratchFolder { folder in
      func result(_ store: TrainerStore?, stopAt: Int? = nil) throws -> [(name: String, tensor: Tensor)] {
        let model = try baseModel()
        try model.addAdapter(method, targets: targets, seed: 1)
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
    try model.loss(batch()).backward()
    return .passed
  }

  /// A layer that is not square.
  private func otherShapes() throws -> Outcome {
    guard case .linear = method.placement, underlying == nil else { return .notApplicable("the method does not choose a layer by its name") }
    let plain = try plainModel().network
    let layers = plain.namedModules().compactMap { path, module in (module as? Linear).map { (path, $0) } }
    guard
      let (path, _) = layers.first(where: { path, linear in
        linear.inFeatures != linear.outFeatures && linear.role != .head
          && !plain.headModules.contains { path == $0 || path.hasPrefix($0 + ".") || path.hasSuffix("." + $0) }
      })
    else { return .notApplicable("the model has no layer that is not square") }
    var targets = targets
    targets.targetModules = .suffixes([path])
    let (model, attached): (TrainableModel, AttachedAdapter)
    do {
      (model, attached) = try adaptedModel(targets: targets)
    } catch let error as EngineError where error.message.contains("is none of the target layers") {
      return .notApplicable(error.message)
    }
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
    arguments.maxLength = Self.maxLength
    var callbacks = TrainerCallbacks()
    callbacks.onStep = { if $0.state.step == stopAt { throw Stop() } }
    _ = try Trainer(model: model, task: task, arguments: arguments, callbacks: callbacks, store: store).run()
    return model.network.namedParameters()
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
