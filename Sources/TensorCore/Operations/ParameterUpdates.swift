import CKernels
import Diagnostics

extension Tensor {
  /// `self += scale * a b` for matrices, outside the graph; returns `self`. `a`: [m, k]; `b`: [k, n]; `self`: [m, n].
  @discardableResult
  public func addingProduct(_ a: Tensor, _ b: Tensor, scale: Double = 1) throws -> Tensor {
    guard a.rank == 2, b.rank == 2, a.shape[1] == b.shape[0], shape == [a.shape[0], b.shape[1]] else {
      throw EngineError(.shape, "addmm: \(a.summary) times \(b.summary) onto \(summary): expected [m, k], [k, n] and [m, n]")
    }
    try requireSameDType("addmm", [self, a, b])
    let (m, n, k) = (shape[0], shape[1], a.shape[1])
    try Memory.require(pg_gemm(dtype.kernel, false, false, m, n, k, scale, a.pointer, k, b.pointer, n, 1, pointer, n))
    version += 1
    return self
  }

  /// Row-major index of the first element that is not finite; nil if all are.
  public var firstNonFinite: Int? {
    guard dtype.isComputed else { return nil }
    let index = pg_find_nonfinite(dtype.kernel, count, pointer)
    return index < count ? index : nil
  }

  /// The sum of the squares of all elements.
  public var sumOfSquares: Double {
    precondition(dtype.isComputed)
    return pg_sum_squares(dtype.kernel, count, pointer)
  }
}

extension Tensor {
  /// One AdamW update of this float32 parameter and its moments; see `Optimizers.AdamW`.
  package func adamWInPlace(
    gradient: Tensor, m: Tensor, v: Tensor, learningRate: Double, beta1: Double, beta2: Double, eps: Double,
    weightDecay: Double, gradientScale: Double, step: Int
  ) throws {
    guard dtype == .float32, gradient.dtype == .float32, gradient.count == count, m.count == count, v.count == count else {
      throw EngineError(.shape, "adamw: parameter \(summary), gradient \(gradient.summary): expected the same shape in float32")
    }
    let options = pg_adamw_options(
      learning_rate: learningRate, beta1: beta1, beta2: beta2, eps: eps, weight_decay: weightDecay,
      gradient_scale: gradientScale, step: Int64(step))
    pg_adamw(count, options, floats.baseAddress, gradient.floats.baseAddress, m.floats.baseAddress, v.floats.baseAddress)
    Profile.count(.optimizer, bytes: 7 * byteCount)
    version += 1
  }
}
