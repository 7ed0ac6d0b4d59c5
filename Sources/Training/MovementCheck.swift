import Diagnostics
import TensorCore

/// Finds parameters that are said to train and cannot: those that no gradient reaches in the first updates.
///
/// Several updates, because a gradient may be zero until another parameter has moved (LoRA's A while B is 0).
struct MovementCheck {
  /// Updates with a step size above 0 that are looked at.
  static let updates = 4

  private var seen = 0
  /// Trainable parameters without a gradient so far; whether they had one that was zero.
  private var still: [(name: String, hadGradient: Bool)]?

  /// Whether there is nothing more to look at.
  var isDone: Bool { seen == Self.updates }

  /// Looks at the gradients of an update. Returns a warning after the last one that is looked at, if something stood still.
  mutating func observe(_ parameters: [(name: String, tensor: Tensor)], learningRate: Double, isLast: Bool) -> String? {
    guard !isDone else { return nil }
    let waiting = still.map { Dictionary($0.map { ($0.name, $0.hadGradient) }, uniquingKeysWith: { $0 || $1 }) }
    still = parameters.compactMap { name, tensor in
      guard let before = waiting.map({ $0[name] }) ?? false else { return nil }
      guard let gradient = tensor.grad else { return (name, before) }
      return gradient.sumOfSquares == 0 ? (name, true) : nil
    }
    let hasMoved = seen > 0
    if learningRate > 0 { seen += 1 }
    if still?.isEmpty ?? true { seen = Self.updates }
    // Before anything has moved, a gradient of 0 says nothing.
    guard isLast || isDone, let still = still?.filter({ hasMoved || !$0.hadGradient }), !still.isEmpty else { return nil }
    seen = Self.updates
    let isUnreached = still.allSatisfy { !$0.hadGradient }
    return "\(still.count) parameter\(still.count == 1 ? "" : "s") cannot move, "
      + (isUnreached ? "no gradient reaches" : "the gradient is 0 for") + ": \(listed(still.map(\.name)))"
  }
}
