import CKernels
import Diagnostics

extension Tensor {
  /// `self += alpha * other`, outside the graph. Throws for other shapes or types.
  public func addInPlace(_ other: Tensor, alpha: Double = 1) throws {
    guard other.shape == shape, other.dtype == dtype, dtype.isComputed else {
      throw EngineError(.shape, "add_: \(other.summary) onto \(summary): expected the same shape and type")
    }
    pg_axpby(dtype.kernel, count, 1, pointer, alpha, other.pointer, pointer)
    version += 1
  }

  /// Row-major index of the first element that is not finite; nil if all are.
  public var firstNonFinite: Int? {
    guard dtype.isComputed else { return nil }
    let index = pg_first_nonfinite(dtype.kernel, count, pointer)
    return index < count ? index : nil
  }

  /// The sum of the squares of all elements.
  public var sumOfSquares: Double {
    precondition(dtype.isComputed)
    return pg_sum_squares(dtype.kernel, count, pointer)
  }
}
