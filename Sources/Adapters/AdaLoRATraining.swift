import Diagnostics
import Foundation
import NN
import TensorCore

/// What AdaLoRA does in training: the penalty, the importances, and the cuts.
final class AdaLoRATraining: MethodTraining {
  private let layers: [(path: String, adapter: AdaLoRAAdapter)]
  private let method: AdaLoRA
  /// Updates of the run; 0 before the first run.
  private(set) var totalSteps = 0
  /// Averages of importance and uncertainty, shaped as the parameter, by `path.name`. Empty: zeros.
  private var averages: [String: (importance: Tensor, uncertainty: Tensor)] = [:]
  /// |w| before the update, for the paper's definition.
  private var earlier: [String: Tensor] = [:]

  init(_ attached: AttachedAdapter, _ method: AdaLoRA) {
    layers = attached.linearAdapters.compactMap { path, _, adapter in (adapter as? AdaLoRAAdapter).map { (path, $0) } }
    self.method = method
  }

  /// Layers that train; a frozen adapter only computes.
  private var trained: [(path: String, adapter: AdaLoRAAdapter)] {
    layers.filter { $0.adapter.isTrained && $0.adapter.r > 0 }
  }

  private static func parts(_ adapter: AdaLoRAAdapter) -> [(name: String, tensor: Tensor)] {
    [("lora_A", adapter.a), ("lora_B", adapter.b), ("lora_E", adapter.e)]
  }

  override func begin(_ place: TrainingPlace) throws {
    totalSteps = place.totalSteps
    // A training is a function of the model's values: another one before it leaves nothing here.
    averages = [:]
    guard !trained.isEmpty else { return }
    guard method.tinit < totalSteps - method.tfinal else {
      throw EngineError(
        .argument,
        "adalora: tinit = \(method.tinit) and tfinal = \(method.tfinal) leave none of the run's \(totalSteps) steps to cut ranks in",
        hint: "make them smaller, or train longer")
    }
  }

  // MARK: Penalty

  override func regularization() throws -> Tensor? {
    let matrices = try trained.flatMap { [try Self.excess($0.adapter.a), try Self.excess($0.adapter.b.transpose(0, 1))] }
    guard method.orthRegWeight > 0, let first = matrices.first else { return nil }
    let isPaper = method.definition == .paper
    func size(_ matrix: Tensor) throws -> Tensor { try isPaper ? matrix.mul(matrix).sum() : matrix.norm() }
    let sum = try matrices.dropFirst().reduce(size(first)) { try $0.add(size($1)) }
    return try sum.mul(method.orthRegWeight / (isPaper ? 1 : Double(matrices.count)))
  }

  /// `M M^T - I`.
  private static func excess(_ matrix: Tensor) throws -> Tensor {
    try matrix.matmul(matrix.transpose(0, 1)).sub(Tensor.eye(matrix.shape[0], matrix.dtype))
  }

  // MARK: Importance

  override func beforeUpdate(_ place: TrainingPlace) throws {
    guard method.definition == .paper, isScoring(place.step) else { return }
    for (path, adapter) in trained {
      for (name, tensor) in Self.parts(adapter) { earlier[path + "." + name] = try tensor.copy() }
    }
  }

  override func afterUpdate(_ place: TrainingPlace) throws {
    guard !trained.isEmpty else { return }
    try Autograd.noGrad {
      if isScoring(place.step) { try score(place) }
      try cut(place.step)
    }
    earlier = [:]
  }

  /// Scores no longer change in the last phase.
  private func isScoring(_ step: Int) -> Bool { step < totalSteps - method.tfinal }

  /// `I = |w g|`, `mean <- beta1 mean + (1 - beta1) I`, `spread <- beta2 spread + (1 - beta2) |I - mean|`.
  private func score(_ place: TrainingPlace) throws {
    for (path, adapter) in trained {
      for (name, tensor) in Self.parts(adapter) {
        guard let gradient = tensor.grad else { continue }
        let key = path + "." + name
        let weight = earlier[key] ?? tensor.detach()
        let importance = try weight.mul(gradient.detach()).mul(place.gradientScale).unary(.abs)
        let before = try averages[key] ?? (Tensor.zeros(tensor.shape), Tensor.zeros(tensor.shape))
        let mean = try before.importance.mul(method.beta1).add(importance.mul(1 - method.beta1))
        let spread = try before.uncertainty.mul(method.beta2)
          .add(importance.sub(mean).unary(.abs).mul(1 - method.beta2))
        averages[key] = (mean, spread)
      }
    }
  }

  // MARK: Budget

  /// How many triplets all layers may keep together after a step, and whether the others are cut then.
  private func budget(_ step: Int) -> (kept: Int, cuts: Bool) {
    let first = trained.reduce(0) { $0 + $1.adapter.r }
    let last = min(method.targetR * trained.count, first)
    let end = totalSteps - method.tfinal
    if step <= method.tinit { return (first, false) }
    if step > end { return (last, true) }
    // Equation 14 lets the budget fall from tfinal steps later on.
    let done = method.definition == .paper ? step - method.tinit - method.tfinal : step - method.tinit
    let left = 1 - Double(done) / Double(end - method.tinit)
    let kept = Int((Double(first - last) * left * left * left + Double(last)).rounded(.down))
    return (min(max(kept, last), first), step % method.deltaT == 0)
  }

  private func cut(_ step: Int) throws {
    let end = totalSteps - method.tfinal
    if method.definition == .peft, step >= end {
      if step == end {
        try cutLeastImportant(budget(step).kept)
        averages = [:]
      }
      // What grew since then goes.
      for (_, adapter) in trained { try adapter.e.mulInPlace(adapter.mask.reshape([adapter.r, 1])) }
      return
    }
    let (kept, cuts) = budget(step)
    if cuts { try cutLeastImportant(kept) }
  }

  /// Sets E of all but the most important triplets to 0. Those with the score of the last one that goes, go with it.
  private func cutLeastImportant(_ kept: Int) throws {
    let trained = trained
    let importances = try trained.map { try scores($0.path, $0.adapter) }
    let sorted = importances.joined().sorted()
    guard sorted.count > kept else { return }
    let threshold = sorted[sorted.count - kept - 1]
    for ((_, adapter), values) in zip(trained, importances) {
      for (i, value) in values.enumerated() {
        let isKept = value > threshold
        adapter.mask.set(isKept ? 1 : 0, at: i)
        if !isKept { adapter.e.set(0, at: i) }
      }
    }
  }

  /// A triplet's importance: that of E, and the means of those of A's row and B's column.
  private func scores(_ path: String, _ adapter: AdaLoRAAdapter) throws -> [Double] {
    func score(_ name: String, _ axis: Int) throws -> [Double] {
      guard let average = averages[path + "." + name] else { return [Double](repeating: 0, count: adapter.r) }
      return try average.importance.mul(average.uncertainty).mean([axis]).values
    }
    let (ofE, ofA, ofB) = (try score("lora_E", 1), try score("lora_A", 1), try score("lora_B", 0))
    return (0..<adapter.r).map { i in Double(Float(ofE[i]) + (Float(ofA[i]) + Float(ofB[i]))) }
  }

  // MARK: State

  override func state() throws -> [(name: String, tensor: Tensor)] {
    averages.sorted { $0.key < $1.key }.flatMap { key, value in
      [("importance." + key, value.importance), ("uncertainty." + key, value.uncertainty)]
    }
  }

  override func load(_ state: [String: Tensor]) throws {
    averages = [:]
    for (path, adapter) in layers {
      for (name, tensor) in Self.parts(adapter) {
        let key = path + "." + name
        guard let importance = state["importance." + key] else { continue }
        guard let uncertainty = state["uncertainty." + key], importance.shape == tensor.shape, uncertainty.shape == tensor.shape else {
          throw EngineError(.data, "adalora: the saved importance of '\(key)' does not have its shape \(tensor.shape)")
        }
        averages[key] = (importance, uncertainty)
      }
    }
  }
}
