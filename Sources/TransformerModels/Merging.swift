import Diagnostics
import NN
import TensorCore

extension TransformerModel {
  /// Puts all active adapters into the weights. If that fails, the weights are bit for bit what they were.
  ///
  /// - Parameters:
  ///   - probe: a batch whose logits, in float32, must stay the same; nil: no check.
  ///   - tolerance: how far they may move: absolute for logits up to 1, else relative to the
  ///     largest. The adapter's `mergeTolerance`.
  /// - Throws: `EngineError` for an update that is not finite, or logits that moved further than
  ///   rounding explains.
  public func merge(probe: Batch? = nil, tolerance: Double = 1e-4) throws {
    let linears = namedModules().compactMap { path, module in
      (module as? Linear).map { (path: path, linear: $0) }
    }
    .filter { !$0.linear.activeAdapters.isEmpty }
    try requireMergeable()
    let before = try probe.map { try predictInFloat32($0) }
    var changed: [(linear: Linear, before: Linear.MergeState)] = []
    do {
      for (path, linear) in linears {
        changed.append((linear, linear.mergeState))
        do { try linear.merge() } catch let error as EngineError { throw error.at(path) }
      }
      if let probe, let before {
        if let difference = try before.difference(from: predictInFloat32(probe), tolerance: tolerance) {
          throw EngineError(
            .argument, "merge: the logits moved by \(difference), more than rounding explains; nothing was merged",
            hint: "keep the adapter unmerged")
        }
      }
    } catch {
      for (linear, before) in changed { linear.restore(before) }
      throw error
    }
  }

  /// Logits that two forms of one model share: bfloat16 rounds a merged weight otherwise than its parts.
  public func predictInFloat32(_ batch: Batch) throws -> Tensor { try Precision.inFloat32 { try predict(batch) } }

  /// Takes merged adapters out of the weights again; see `Linear.unmerge`.
  public func unmerge() throws {
    for (_, module) in namedModules() { try (module as? Linear)?.unmerge() }
  }

  /// Throws where an active adapter sits on something else than a linear layer: no weight can hold it.
  private func requireMergeable() throws {
    for (path, module) in namedModules() {
      guard !(module is Linear), let host = module as? AdapterHost else { continue }
      for (name, adapter) in host.activeAdapters where !(adapter is SharedParameters) {
        throw EngineError(
          .argument, "merge: adapter '\(name)' acts at '\(path)', not on the weight of a linear layer: it cannot be merged",
          hint: "keep it attached, and save it with save_adapter")
      }
    }
  }
}

extension Tensor {
  /// The largest difference from other logits, where it is more than `tolerance` (absolute for logits up to 1, else relative
  /// to the largest); nil where they agree.
  public func difference(from other: Tensor, tolerance: Double) -> Double? {
    let (a, b) = (values, other.values)
    guard a.count == b.count else { return .infinity }
    let bound = tolerance * max(1, a.map(abs).max() ?? 0)
    // A comparison with NaN is false, so that NaN differs.
    if zip(a, b).allSatisfy({ abs($0 - $1) <= bound }) { return nil }
    return zip(a, b).map { abs($0 - $1) }.max()
  }
}
