import Diagnostics
import Foundation
import TensorCore

/// Keeps a model's structure and its frozen parameters as they are while a training of it is under way, or it writes: no result would hold
/// what callbacks change of them, and a run that was cut off could not go on with it.
final class TrainingGuard {
  private let model: TrainableModel
  /// What no result will hold, with what it held before the training.
  private var frozen: [(name: String, tensor: Tensor, before: Storage, offset: Int, version: Int)] = []
  private var locked: [Storage] = []

  init(_ model: TrainableModel, _ occupation: TrainableModel.Occupation = .training) {
    self.model = model
    model.occupation = occupation
  }

  /// Locks what is frozen and not among the names of what the result will hold. Called again after each change of either.
  func lock(besides saved: Set<String>) {
    unlock()
    let known = Dictionary(frozen.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let all = model.network.namedParameters()
    // Parameters may share their elements with one that trains.
    let changing = Set(all.filter { saved.contains($0.name) }.map { ObjectIdentifier($0.tensor.storage) })
    let kept = all.filter { !saved.contains($0.name) && $0.tensor.quantized == nil && !changing.contains(ObjectIdentifier($0.tensor.storage)) }
    frozen = kept.map { name, tensor in
      if let old = known[name], old.tensor === tensor { return old }
      return (name, tensor, tensor.storage, tensor.byteOffset, tensor.storage.version)
    }
    locked = frozen.map(\.tensor.storage).filter(\.isWritable)
    for storage in locked { storage.locks += 1 }
  }

  /// The first frozen parameter that does not hold what it held before the training; nil: there is none.
  var changedParameter: String? {
    frozen.first { entry in
      let now = entry.tensor.storage
      if now === entry.before { return now.version != entry.version || entry.tensor.byteOffset != entry.offset }
      // Another place, as after a moment in which it could train, is no other content.
      let before = entry.before.pointer + entry.offset
      return entry.before.version != entry.version
        || memcmp(before, entry.tensor.pointer, entry.tensor.count * entry.tensor.dtype.size) != 0
    }?.name
  }

  func end() {
    unlock()
    frozen = []
    model.occupation = nil
  }

  private func unlock() {
    for storage in locked { storage.locks -= 1 }
    locked = []
  }
}

extension TrainableModel {
  /// Throws while a training of the model is under way, or it writes. `what`: what somebody wants to do.
  public func requireIdle(_ what: String) throws {
    switch occupation {
    case nil: return
    case .training:
      throw EngineError(
        .argument, "\(what): the model is being trained: no stored result would hold this change",
        hint: "do it before or after the training; callbacks may freeze, unfreeze, change the learning rate, evaluate and stop")
    case .paused:
      throw EngineError(
        .argument, "\(what): the model's training is paused, and its weights are not the result's", hint: "train it to its end, without pause_after")
    case .writing:
      throw EngineError(.argument, "\(what): the model is writing: what it has read would be that of another model", hint: "do it before or after")
    }
  }

  /// Throws where the model's training is paused: what it answers would be no result's.
  public func requireResult(_ what: String) throws {
    if occupation == .paused { try requireIdle(what) }
  }

  /// Marks the model as one whose training is paused.
  public func pause() { occupation = .paused }

  /// Runs a part in which the model writes, and a script's function may be called that must leave it as it is.
  public func unchanged<Result>(_ body: () throws -> Result) throws -> Result {
    try requireResult("writing")
    guard occupation == nil else { return try body() }
    let guardian = TrainingGuard(self, .writing)
    defer { guardian.end() }
    guardian.lock(besides: [])
    return try body()
  }
}

extension Trainer {
  /// Runs a part in which a script may be called, with random numbers that are a function of the seed, the part and the step:
  /// a run that was cut off and one that was not draw the same.
  func drawing<Result>(_ part: String, step: Int, _ body: () throws -> Result) throws -> Result {
    guard let draw = callbacks.drawing else { return try body() }
    var result: Result?
    let source = RandomSource(seed: arguments.usedSeed, stream: RandomSource.stream(named: part), step: UInt64(step))
    try draw(source.bits(8).reduce(0) { $0 << 8 ^ UInt64($1) }) { result = try body() }
    guard let result else { throw EngineError(.argument, "\(part): the script was not called") }
    return result
  }
}
