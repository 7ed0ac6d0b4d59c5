import Diagnostics
import NN
import TensorCore

extension TransformerModel {
  /// Adds all adapters to the weights. If that fails, the weights are bit for bit what they were.
  ///
  /// - Parameters:
  ///   - probe: a batch whose logits must stay the same; nil: no check.
  ///   - tolerance: how far they may move: absolute for logits up to 1, else relative to the
  ///     largest. The adapter's `mergeTolerance`.
  /// - Throws: `EngineError` for an update that is not finite, or logits that moved further than
  ///   rounding explains.
  public func merge(probe: Batch? = nil, tolerance: Double = 1e-4) throws {
    let linears = namedModules().compactMap { path, module in
      (module as? Linear).map { (path: path, linear: $0) }
    }
    .filter { !$0.linear.adapters.isEmpty && $0.linear.merged.count < $0.linear.adapters.count }
    let before = try probe.map { try predict($0) }
    var changed: [(linear: Linear, weight: Tensor, merged: [String])] = []
    do {
      for (path, linear) in linears {
        changed.append((linear, try linear.weight.copy(), linear.merged))
        do { try linear.merge() } catch let error as EngineError { throw error.at(path) }
      }
      if let probe, let before { try compare(before, predict(probe), tolerance) }
    } catch {
      for (linear, weight, merged) in changed { try linear.restore(weight, merged: merged) }
      throw error
    }
  }

  /// Takes merged adapters out of the weights again, up to rounding.
  public func unmerge() throws {
    for (_, module) in namedModules() { try (module as? Linear)?.unmerge() }
  }

  private func compare(_ before: Tensor, _ after: Tensor, _ tolerance: Double) throws {
    let (a, b) = (before.values, after.values)
    let bound = tolerance * max(1, a.map(abs).max() ?? 0)
    let difference = zip(a, b).map { abs($0 - $1) }.max() ?? 0
    // A comparison with NaN is false, so that NaN fails too.
    guard zip(a, b).allSatisfy({ abs($0 - $1) <= bound }) else {
      throw EngineError(
        .argument,
        "merge: the logits moved by \(difference), more than the \(bound) that rounding explains; nothing was merged",
        hint: "keep the adapter unmerged")
    }
  }
}
