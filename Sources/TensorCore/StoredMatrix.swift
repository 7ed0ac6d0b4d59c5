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

  fileprivate var firstNonFinite: Int? {
    let index = pg_find_nonfinite(type.kernel, count, bytes.baseAddress)
    whenUnneeded?()
    return index < count ? index : nil
  }

  /// Some rows of a tensor of this shape; nil where they do not lie so in the file.
  func gather(_ ids: [Int32], of shape: [Int]) throws -> Tensor? {
    guard !isTransposed, shape == self.shape else { return nil }
    let rows = try Tensor(uninitialized: [ids.count, shape[1]], type)
    pg_gather_rows(type.kernel, ids.count, shape[1], ids, bytes.baseAddress, false, rows.pointer)
    return try rows.converted(to: .float32)
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

  /// The place in the file's order of the first element that is not finite; nil if all are. The tensor is one of `init(stored:isTransposed:)`.
  package var firstStoredNonFinite: Int? { storage.stored?.firstNonFinite }
}
