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
    let divisor = try Self.divisor(of: labels, classes: classes, divisor)
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

  /// What a mean over labels is divided by. Throws for a label that is no class.
  private static func divisor(of labels: [Int32], classes: Int, _ given: Double?) throws -> Double {
    if let bad = labels.first(where: { $0 != ignoredLabel && ($0 < 0 || Int($0) >= classes) }) {
      throw EngineError(.data, "cross_entropy: label \(bad) is outside 0..<\(classes)")
    }
    return given ?? Double(max(labels.reduce(0) { $0 + ($1 == ignoredLabel ? 0 : 1) }, 1))
  }

  /// `linear(weight, bias).crossEntropy(labels, ...)`, the same bit for bit, of a weight and a bias that are frozen; the scores of some
  /// rows alone exist at a time.
  ///
  /// - `self`: [n, C]; `weight`: [V, C]; `bias`: [V] or nil. Result: a scalar.
  /// - Where a gradient is wanted, it is computed at once, from scores that are there already; the backward pass multiplies it.
  public func linearCrossEntropy(
    _ weight: Tensor, _ bias: Tensor? = nil, _ labels: [Int32], labelSmoothing: Double = 0, divisor: Double? = nil
  ) throws -> Tensor {
    precondition(!weight.requiresGrad && bias?.requiresGrad != true, "the weight's gradient needs all scores")
    guard rank == 2, weight.rank == 2, columns == weight.columns, labels.count == rows, bias.map({ $0.shape == [weight.rows] }) ?? true else {
      throw EngineError(
        .shape,
        "cross_entropy: input \(shape), weight \(weight.shape), bias \(bias?.shape ?? []) and \(labels.count) labels: "
          + "expected [n, C], [V, C], [V] and n")
    }
    try requireSameDType("cross_entropy", [self, weight] + (bias.map { [$0] } ?? []))
    let divisor = try Self.divisor(of: labels, classes: weight.rows, divisor)
    let losses = try Tensor(uninitialized: [rows], dtype)
    let gradient = Autograd.records([self]) ? try Tensor(uninitialized: shape, dtype) : nil
    let head = try FrozenHead(weight, bias, hasGradient: gradient != nil)
    // Enough rows for the speed of products: their scores are 77 MB where the vocabulary has 50,000 words.
    let most = 384
    let scores = try Tensor(uninitialized: [min(most, rows), weight.rows], dtype)
    for first in stride(from: 0, to: rows, by: most) {
      let (count, size) = (min(most, rows - first), dtype.size)
      let (x, out) = (pointer + first * columns * size, losses.pointer + first * size)
      try head.scores(x, count, scores)
      try labels.withUnsafeBufferPointer { labels in
        let labels = labels.baseAddress.map { $0 + first }
        guard let gradient else {
          let unused = try Tensor(uninitialized: [count], dtype)
          return pg_cross_entropy(
            dtype.kernel, count, weight.rows, scores.pointer, labels, ignoredLabel, labelSmoothing, out, unused.pointer)
        }
        pg_cross_entropy_and_gradient(
          dtype.kernel, count, weight.rows, scores.pointer, labels, ignoredLabel, labelSmoothing, out, 1 / divisor, head.isNarrow)
        try head.inputGradient(scores, count, gradient.pointer + first * columns * size)
      }
    }
    let result = try Tensor.full([], pg_sum(dtype.kernel, rows, losses.pointer) / divisor, dtype)
    guard let gradient else { return result }
    Autograd.attach("cross_entropy", to: result, inputs: [self]) { factor in
      factor.element(0) == 1 ? [gradient] : [try gradient.mul(factor.element(0))]
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

/// A frozen weight [V, C] and its bias, and the two products of a head with them.
private struct FrozenHead {
  private let weight: Tensor
  private let bias: Tensor?
  private let forward, back: PackedMatrix?
  /// Whether gradients of scores are wanted in bfloat16, with the stride of the float32 scores: nothing else is read of them.
  let isNarrow: Bool

  init(_ weight: Tensor, _ bias: Tensor?, hasGradient: Bool) throws {
    forward = try weight.packedMatrix(transposed: false)
    back = hasGradient ? try weight.packedMatrix(transposed: true) : nil
    self.weight = forward == nil ? try weight.dequantized() : weight
    self.bias = bias
    isNarrow = back != nil && Precision.current == .bf16
  }

  /// The scores of `count` rows of C elements, in the first rows of `scores`.
  func scores(_ x: UnsafeMutableRawPointer, _ count: Int, _ scores: Tensor) throws {
    let (size, classes) = (weight.columns, weight.rows)
    if let forward {
      try Memory.require(
        pg_packed_multiply(forward.handle, count, PG_F32, x, size, bias?.floats.baseAddress, 0, PG_F32, scores.pointer))
    } else {
      let type = weight.dtype.kernel
      try Memory.require(
        pg_gemm(type, false, true, count, classes, size, 1, x, size, weight.pointer, size, 0, scores.pointer, classes))
      if let bias { pg_add_rows(type, count, classes, scores.pointer, bias.pointer, scores.pointer) }
    }
  }

  /// The gradient of those rows, from that of their scores.
  func inputGradient(_ scores: Tensor, _ count: Int, _ dx: UnsafeMutableRawPointer) throws {
    let (size, classes, type) = (weight.columns, weight.rows, weight.dtype.kernel)
    if let back {
      try Memory.require(
        isNarrow
          ? pg_packed_multiply(back.handle, count, PG_BF16, scores.pointer, 2 * classes, nil, 0, PG_F32, dx)
          : pg_packed_multiply(back.handle, count, PG_F32, scores.pointer, classes, nil, 0, PG_F32, dx))
    } else {
      try Memory.require(
        pg_gemm(type, false, false, count, size, classes, 1, scores.pointer, classes, weight.pointer, size, 0, dx, size))
    }
  }
}
