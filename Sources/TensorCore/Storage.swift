import CKernels
import CLimits
import Diagnostics

/// A block of bytes that tensors share. Own blocks come from the kernels' allocator (64-byte aligned, reused
/// from step to step); borrowed ones belong to an owner that the storage keeps alive, such as a mapped file; and those of a
/// matrix in 4 bits, or of one that a file has in another form, are computed when somebody reads them.
public final class Storage {
  /// The bytes' address. Those that were computed stay where they are until `giveBack()`.
  public var pointer: UnsafeMutableRawPointer { fixed ?? expanded() }
  public let byteCount: Int
  /// What the bytes are computed from, if they are.
  package let quantized: QuantizedMatrix?
  package let stored: StoredMatrix?
  /// Whether the bytes are computed when somebody reads them.
  var isComputed: Bool { quantized != nil || stored != nil }
  /// Where the bytes are.
  public var device: Device { !isComputed && fixed == nil ? .meta : .cpu }
  private let fixed: UnsafeMutableRawPointer?
  private var expansion: UnsafeMutableRawPointer?
  private let owner: AnyObject?
  /// Whether the bytes may be written.
  public let isWritable: Bool
  /// Whether another storage writes the same bytes.
  package var isLent: Bool { owner is Storage }
  private let whenUnneeded: (() -> Void)?
  /// Counts writes to the bytes, through whichever tensor.
  package var version = 0
  /// Trainings under way that read the bytes and would not store them: scripts may not write them meanwhile.
  package var locks = 0

  /// Uninitialised bytes. Throws where memory is exhausted.
  public init(byteCount: Int) throws {
    guard let pointer = pg_allocate(byteCount) else { throw Memory.exhausted() }
    fixed = pointer
    self.byteCount = byteCount
    (quantized, stored) = (nil, nil)
    owner = nil
    isWritable = true
    whenUnneeded = nil
  }

  /// Bytes that belong to `owner`. They must never be written through this storage.
  ///
  /// - Parameter whenUnneeded: called when the bytes have been read and will not be read again soon; a mapped file gives
  ///   its pages back.
  public init(borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject, whenUnneeded: (() -> Void)? = nil) {
    fixed = UnsafeMutableRawPointer(mutating: bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64)!)
    byteCount = bytes.count
    (quantized, stored) = (nil, nil)
    self.owner = owner
    isWritable = false
    self.whenUnneeded = whenUnneeded
  }

  /// Bytes that belong to `owner` and may be written, such as those of a scratch file.
  public init(mapping bytes: UnsafeMutableRawBufferPointer, owner: AnyObject) {
    fixed = bytes.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 64)!
    byteCount = bytes.count
    (quantized, stored) = (nil, nil)
    self.owner = owner
    isWritable = true
    whenUnneeded = nil
  }

  /// The bytes of another storage, to be read only.
  fileprivate init(lending other: Storage) {
    fixed = other.pointer
    byteCount = other.byteCount
    (quantized, stored) = (nil, nil)
    owner = other
    isWritable = false
    whenUnneeded = nil
  }

  /// No bytes at all.
  init() {
    fixed = nil
    byteCount = 0
    (quantized, stored) = (nil, nil)
    owner = nil
    isWritable = true
    whenUnneeded = nil
  }

  /// The float32 elements of a matrix in 4 bits. They must never be written.
  package init(_ matrix: QuantizedMatrix) {
    (quantized, stored) = (matrix, nil)
    byteCount = matrix.count * 4
    fixed = nil
    owner = nil
    isWritable = false
    whenUnneeded = nil
  }

  /// The float32 elements of a matrix of a file. They must never be written.
  init(_ matrix: StoredMatrix) {
    (quantized, stored) = (nil, matrix)
    byteCount = matrix.count * 4
    fixed = nil
    owner = nil
    isWritable = false
    whenUnneeded = matrix.whenUnneeded
  }

  private func expanded() -> UnsafeMutableRawPointer {
    precondition(isComputed, "a tensor on the device meta has no elements")
    if let expansion { return expansion }
    guard let memory = pg_allocate(byteCount), (try? compute(into: memory.assumingMemoryBound(to: Float.self))) != nil
    else { cl_end_without_memory(byteCount) }
    expansion = memory
    return memory
  }

  /// Writes the elements of a matrix in 4 bits, or of a file's.
  func compute(into target: UnsafeMutablePointer<Float>) throws {
    try quantized?.dequantize(into: target)
    stored?.read(into: target)
  }

  /// Tells the owner that the bytes will not be read again soon. They can still be read, but `pointer` may change: do not keep it.
  package func giveBack() {
    whenUnneeded?()
    pg_free(expansion, byteCount)
    expansion = nil
  }

  /// What is said of a tensor that cannot be written.
  package var whyReadOnly: String {
    isLent ? "is not the script's own" : quantized == nil ? "belongs to a file" : "is held in 4 bits"
  }

  deinit {
    if isComputed { pg_free(expansion, byteCount) } else if owner == nil { pg_free(fixed, byteCount) }
  }
}

extension Tensor {
  /// The same elements, and the same place in the graph, for a function that must not change them: it, and every view of it,
  /// cannot be written.
  package func lent() throws -> Tensor {
    // What is computed may move.
    let source = storage.isComputed ? try copy() : self
    return Tensor(
      shape: shape, dtype: source.dtype, storage: Storage(lending: source.storage), byteOffset: source.byteOffset, count: count,
      slot: slot)
  }
}

extension Storage {
  /// Bytes of memory that are its own: not those of a file, or of another storage.
  var heldBytes: Int { quantized?.byteCount ?? (owner == nil && stored == nil ? byteCount : 0) }
}
