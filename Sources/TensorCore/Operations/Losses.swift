import CKernels
import Diagnostics

/// Labels with this value do not count in a cross-entropy (PyTorch's `ignore_index`).
public let ignoredLabel: Int32 = -100

extension Tensor {
  /// Mean cross-entropy of logits against class indices.
  ///
  /// `loss_i = (1 - e) * -log softmax(x_i)[y_i] + e * mean_c(-log softmax(x_i)[c])`, e = `labelSmoothing`.
  /// - `self`: [n, C]; `labels`: n values in 0..<C, or -100 for rows that do not count. Result: a scalar.
  /// - `divisor`: what the sum is divided by; nil: the number of rows that count (0 if none does, as a zero loss).
  public func crossEntropy(_ labels: [Int32], labelSmoothing: Double = 0, divisor: Double? = nil) throws -> Tensor {
    guard rank == 2, labels.count == shape[0] else {
      throw EngineError(.shape, "cross_entropy: logits \(shape) with \(labels.count) labels: expected [n, C] and n labels")
    }
    try requireSameDType("cross_entropy", [self])
    let (n, classes) = (shape[0], shape[1])
    if let bad = labels.first(where: { $0 != ignoredLabel && ($0 < 0 || Int($0) >= classes) }) {
      throw EngineError(.data, "cross_entropy: label \(bad) is outside 0..<\(classes)")
    }
    let counted = labels.reduce(0) { $0 + ($1 == ignoredLabel ? 0 : 1) }
    let divisor = divisor ?? Double(max(counted, 1))
    let losses = try Tensor(uninitialized: [n], dtype)
    let logSum = try Tensor(uninitialized: [n], dtype)
    pg_cross_entropy(
      dtype.kernel, n, classes, pointer, labels, ignoredLabel, labelSmoothing, losses.pointer, logSum.pointer)
    let result = try Tensor.full([], pg_sum(dtype.kernel, n, losses.pointer) / divisor, dtype)
    let logits = detach()
    Autograd.attach("cross_entropy", to: result, inputs: [self], saving: [logits]) { [dtype] gradient in
      let dx = try Tensor(uninitialized: logits.shape, dtype)
      pg_cross_entropy_backward(
        dtype.kernel, n, classes, logits.pointer, labels, ignoredLabel, labelSmoothing, logSum.pointer,
        gradient.element(0) / divisor, dx.pointer)
      return [dx]
    }
    return result
  }

  /// Mean squared error against targets of the same number of elements. Result: a scalar.
  public func mseLoss(_ targets: Tensor, divisor: Double? = nil) throws -> Tensor {
    guard targets.count == count, !targets.requiresGrad else {
      throw EngineError(.shape, "mse_loss: \(shape) against targets \(targets.shape): expected as many frozen targets")
    }
    try requireSameDType("mse_loss", [self, targets])
    let divisor = divisor ?? Double(max(count, 1))
    let difference = try Tensor(uninitialized: shape, dtype)
    pg_axpby(dtype.kernel, count, 1, pointer, -1, targets.pointer, difference.pointer)
    let result = try Tensor.full([], pg_sum_squares(dtype.kernel, count, difference.pointer) / divisor, dtype)
    Autograd.attach("mse_loss", to: result, inputs: [self]) { [dtype, shape, count] gradient in
      let dx = try Tensor(uninitialized: shape, dtype)
      pg_scale(dtype.kernel, count, 2 * gradient.element(0) / divisor, difference.pointer, 0, dx.pointer)
      return [dx]
    }
    return result
  }
}
