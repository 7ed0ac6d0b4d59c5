import CKernels

/// A matrix as a file has it, where that is not as products take it: the other way round, or in bfloat16. A tensor of it takes no
/// memory: layouts for products are made of the file's bytes, and elements are computed for those who read them.
package final class StoredMatrix {
  private let bytes: UnsafeRawBufferPointer
  private let owner: AnyObject
  private let type: DType
  private let isTransposed: Bool
  /// Of the tensor, not of what lies in the file.
  private let shape: [Int]
  let whenUnneeded: (() -> Void)?

  var count: Int { shape[0] * shape[1] }

  /// - Parameters:
  ///   - stored: a borrowed matrix in float32 or bfloat16, aligned to its elements.
  ///   - isTransposed: whether the tensor is its transpose.
  fileprivate init(_ stored: Tensor, isTransposed: Bool) {
    precondition(stored.rank == 2 && stored.dtype != .float64 && stored.dtype != .int32)
    bytes = UnsafeRawBufferPointer(start: stored.pointer, count: stored.count * stored.dtype.size)
    (owner, type, self.isTransposed) = (stored.storage, stored.dtype, isTransposed)
    shape = isTransposed ? stored.shape.reversed() : stored.shape
    whenUnneeded = { stored.storage.giveBack() }
  }

  /// The tensor as an operand. Valid as long as this object lives.
  var factor: pg_factor {
    pg_factor(data: bytes.baseAddress, type: type.kernel, transposed: isTransposed, stride: shape[isTransposed ? 0 : 1])
  }

  /// Writes all elements, row-major.
  func read(into target: UnsafeMutablePointer<Float>) {
    pg_read_matrix(factor, shape[0], shape[1], target)
    whenUnneeded?()
  }
}

extension Tensor {
  /// A frozen float32 matrix with the elements of a borrowed one in float32 or bfloat16, or of its transpose.
  package convenience init(stored: Tensor, isTransposed: Bool) {
    let matrix = StoredMatrix(stored, isTransposed: isTransposed)
    self.init(
      shape: isTransposed ? stored.shape.reversed() : stored.shape, dtype: .float32, storage: Storage(matrix), count: stored.count)
  }
}
