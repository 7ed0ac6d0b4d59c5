import CKernels
import Diagnostics

/// A contiguous row-major array with a shape, and a place in the graph of gradients.
///
/// Operations return new tensors and throw `EngineError` for shapes or types that do not fit. A tensor whose
/// `requiresGrad` is set is a leaf whose `grad` `backward()` fills; results of operations on such tensors
/// require gradients too, while `Autograd.isEnabled`.
public final class Tensor {
  public let shape: [Int]
  public let dtype: DType
  public private(set) var storage: Storage
  /// Position of the first element in `storage`, in bytes.
  public private(set) var byteOffset: Int
  /// Number of elements.
  public let count: Int
  /// Its place in the graph, which most tensors of a backward pass never need; nil: it has none yet.
  package private(set) var knownSlot: GradientSlot?
  /// Its place in the graph.
  package var slot: GradientSlot {
    if let knownSlot { return knownSlot }
    let slot = GradientSlot(shape: shape, dtype: dtype)
    knownSlot = slot
    return slot
  }
  /// Whether a script said that this never trains: a parameter that it makes for an adapter stays frozen.
  public var staysFrozen = false
  /// Layouts for matrix products, made on first use while the tensor is frozen; parameters of models have them,
  /// and models that share a frozen weight share its layouts.
  package var packed: PackedLayouts?
  /// Counts writes through operations in place, optimizers and loaders, so that packed layouts notice. Tensors that
  /// share memory share the count.
  package var version: Int {
    get { storage.version }
    set { storage.version = newValue }
  }

  package init(
    shape: [Int], dtype: DType, storage: Storage, byteOffset: Int = 0, count: Int, slot: GradientSlot? = nil
  ) {
    self.shape = shape
    self.dtype = dtype
    self.storage = storage
    self.byteOffset = byteOffset
    self.count = count
    knownSlot = slot
  }

  /// Uninitialised elements.
  public convenience init(uninitialized shape: [Int], _ dtype: DType = .float32, on device: Device = .cpu) throws {
    let count = try elementCount(shape)
    let (bytes, overflow) = count.multipliedReportingOverflow(by: dtype.size)
    guard !overflow else { throw EngineError(.shape, "shape \(shape) has too many elements") }
    self.init(shape: shape, dtype: dtype, storage: device == .meta ? Storage() : try Storage(byteCount: bytes), count: count)
  }

  /// Bytes of a mapped file or another owner, not copied. The tensor must not be written to. `whenUnneeded`: see `Storage`.
  public convenience init(
    borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject, shape: [Int], _ dtype: DType, whenUnneeded: (() -> Void)? = nil
  ) throws {
    let count = try elementCount(shape)
    guard count.multipliedReportingOverflow(by: dtype.size) == (bytes.count, false) else {
      throw EngineError(.shape, "\(bytes.count) bytes for shape \(shape) of \(dtype.rawValue)")
    }
    self.init(shape: shape, dtype: dtype, storage: Storage(borrowing: bytes, owner: owner, whenUnneeded: whenUnneeded), count: count)
  }

  /// Bytes of another owner, not copied, which the tensor may write: those of a scratch file.
  public convenience init(mapping bytes: UnsafeMutableRawBufferPointer, owner: AnyObject, shape: [Int], _ dtype: DType) throws {
    let count = try elementCount(shape)
    guard count.multipliedReportingOverflow(by: dtype.size) == (bytes.count, false) else {
      throw EngineError(.shape, "\(bytes.count) bytes for shape \(shape) of \(dtype.rawValue)")
    }
    self.init(shape: shape, dtype: dtype, storage: Storage(mapping: bytes, owner: owner), count: count)
  }

  public var device: Device { storage.device }
  public var rank: Int { shape.count }
  /// Size of the last axis; 1 for a scalar.
  public var columns: Int { shape.last ?? 1 }
  /// Number of rows along all other axes.
  public var rows: Int { columns == 0 ? 0 : count / columns }

  /// Bytes of its elements.
  var byteCount: Int { count * dtype.size }

  /// The elements' address.
  public var pointer: UnsafeMutableRawPointer { storage.pointer + byteOffset }
  /// The elements of a float32 tensor.
  public var floats: UnsafeMutableBufferPointer<Float> {
    precondition(dtype == .float32)
    return UnsafeMutableBufferPointer(start: pointer.assumingMemoryBound(to: Float.self), count: count)
  }
  /// The elements of a float64 tensor.
  public var doubles: UnsafeMutableBufferPointer<Double> {
    precondition(dtype == .float64)
    return UnsafeMutableBufferPointer(start: pointer.assumingMemoryBound(to: Double.self), count: count)
  }
  /// The elements of an int32 tensor.
  public var int32s: UnsafeMutableBufferPointer<Int32> {
    precondition(dtype == .int32)
    return UnsafeMutableBufferPointer(start: pointer.assumingMemoryBound(to: Int32.self), count: count)
  }

  /// "[2, 3] float32", for messages.
  public var summary: String { Self.summary(shape, dtype) }

  static func summary(_ shape: [Int], _ dtype: DType) -> String { "\(shape) \(dtype.rawValue)" }
}

// MARK: - Creation and access

extension Tensor {
  /// Every element is `value`. Throws where the type cannot hold it.
  public static func full(_ shape: [Int], _ value: Double, _ dtype: DType = .float32) throws -> Tensor {
    if dtype == .int32, Int32(exactly: value) == nil {
      throw EngineError(.argument, "full: \(value) is not an int32")
    }
    let result = try Tensor(uninitialized: shape, dtype)
    result.fill(value)
    return result
  }

  public static func zeros(_ shape: [Int], _ dtype: DType = .float32) throws -> Tensor {
    try full(shape, 0, dtype)
  }

  public static func ones(_ shape: [Int], _ dtype: DType = .float32) throws -> Tensor {
    try full(shape, 1, dtype)
  }

  /// Values in row-major order. Throws where their number is not the shape's.
  public convenience init(_ values: [Float], _ shape: [Int]) throws {
    try self.init(uninitialized: shape, .float32)
    try checkCount(values.count)
    _ = floats.initialize(from: values)
  }

  public convenience init(_ values: [Double], _ shape: [Int]) throws {
    try self.init(uninitialized: shape, .float64)
    try checkCount(values.count)
    _ = doubles.initialize(from: values)
  }

  public convenience init(_ values: [Int32], _ shape: [Int]) throws {
    try self.init(uninitialized: shape, .int32)
    try checkCount(values.count)
    _ = int32s.initialize(from: values)
  }

  /// The identity matrix `[size, size]`.
  public static func eye(_ size: Int, _ dtype: DType = .float32) throws -> Tensor {
    let result = try zeros([size, size], dtype)
    for i in 0..<size { result.set(1, at: i * size + i) }
    return result
  }

  private func checkCount(_ given: Int) throws {
    guard given == count else { throw EngineError(.shape, "\(given) values for shape \(shape), which has \(count)") }
  }

  /// Sets every element. Integers saturate; not a number becomes 0.
  public func fill(_ value: Double) {
    guard device == .cpu else { return }
    switch dtype {
    case .float32, .float64: pg_fill(dtype.kernel, count, value, pointer)
    case .int32: int32s.update(repeating: Int32(saturating: value))
    case .bfloat16:
      let bits = bfloat16Bits(Float(value))
      pointer.assumingMemoryBound(to: UInt16.self).update(repeating: bits, count: count)
    }
    version += 1
  }

  /// The element at a row-major index.
  public func element(_ index: Int) -> Double {
    precondition(index >= 0 && index < count)
    switch dtype {
    case .float32: return Double(floats[index])
    case .float64: return doubles[index]
    case .int32: return Double(int32s[index])
    case .bfloat16:
      let bits = pointer.assumingMemoryBound(to: UInt16.self)[index]
      return Double(Float(bitPattern: UInt32(bits) << 16))
    }
  }

  /// Sets the element at a row-major index. Integers saturate; not a number becomes 0.
  public func set(_ value: Double, at index: Int) {
    precondition(index >= 0 && index < count)
    switch dtype {
    case .float32: floats[index] = Float(value)
    case .float64: doubles[index] = value
    case .int32: int32s[index] = Int32(saturating: value)
    case .bfloat16: pointer.assumingMemoryBound(to: UInt16.self)[index] = bfloat16Bits(Float(value))
    }
    version += 1
  }

  /// All elements in row-major order.
  public var values: [Double] { (0..<count).map(element) }

  /// The only element. Throws for any other count.
  public func item() throws -> Double {
    guard count == 1 else { throw EngineError(.shape, "item() of \(summary): expected one element") }
    return element(0)
  }

  /// A copy with its own elements, outside the graph.
  public func copy() throws -> Tensor {
    let result = try Tensor(uninitialized: shape, dtype, on: device)
    guard device == .cpu else { return result }
    if storage.isComputed, byteOffset == 0, storage.byteCount == count * 4 {
      try storage.compute(into: result.floats.baseAddress!)
      return result
    }
    result.pointer.copyMemory(from: pointer, byteCount: count * dtype.size)
    return result
  }

  /// Overwrites the elements with those of `other`, converting their type.
  public func assign(_ other: Tensor) throws {
    guard other.shape == shape else {
      throw EngineError(.shape, "cannot copy \(other.summary) into \(summary)")
    }
    guard device == .cpu else { return }
    guard storage.isWritable else { throw EngineError(.argument, "cannot write to \(summary): it \(storage.whyReadOnly)") }
    let source = try other.converted(to: dtype)
    pointer.copyMemory(from: source.pointer, byteCount: count * dtype.size)
    version += 1
  }

  /// The same elements outside the graph; memory is shared.
  public func detach() -> Tensor {
    Tensor(shape: shape, dtype: dtype, storage: storage, byteOffset: byteOffset, count: count)
  }

  /// A leaf of another model on the same elements, layouts for products included. Before either of them trains,
  /// `makeExclusive()` gives it elements of its own.
  package func sharedParameter() -> Tensor {
    let result = detach()
    if packed == nil { packed = PackedLayouts() }
    result.packed = packed
    return result
  }

  /// Whether the elements are all of a block that nobody else has.
  var isOnlyOwner: Bool { storage.isWritable && isKnownUniquelyReferenced(&storage) && storage.byteCount == byteCount }

  /// Copies elements that a file or another tensor owns too, so that they can be written.
  package func makeExclusive() throws {
    guard device == .cpu else { return }
    if packed != nil { packed = PackedLayouts() }
    if storage.isWritable, isKnownUniquelyReferenced(&storage) { return }
    let own = try copy()
    (storage, byteOffset) = (own.storage, own.byteOffset)
  }

  /// Takes the elements of another tensor of the same shape and type in place of its own; memory is shared.
  package func share(_ other: Tensor) {
    precondition(other.shape == shape && other.dtype == dtype)
    (storage, byteOffset, packed) = (other.storage, other.byteOffset, other.packed)
  }

  /// The same elements with another shape, outside the graph; memory is shared.
  package func view(_ shape: [Int]) -> Tensor {
    Tensor(shape: shape, dtype: dtype, storage: storage, byteOffset: byteOffset, count: count)
  }

  /// The elements in another type, outside the graph; `self` where the type is the same.
  package func converted(to target: DType) throws -> Tensor {
    if target == dtype { return self }
    let result = try Tensor(uninitialized: shape, target)
    switch (dtype, target) {
    case (.float32, .float64): pg_f32_to_f64(count, floats.baseAddress, result.doubles.baseAddress)
    case (.float64, .float32): pg_f64_to_f32(count, doubles.baseAddress, result.floats.baseAddress)
    case (.float32, .bfloat16):
      pg_f32_to_bf16(count, floats.baseAddress, result.pointer.assumingMemoryBound(to: UInt16.self))
    case (.bfloat16, .float32):
      pg_bf16_to_f32(count, pointer.assumingMemoryBound(to: UInt16.self), result.floats.baseAddress)
    case (.float64, .bfloat16), (.bfloat16, .float64):
      return try converted(to: .float32).converted(to: target)
    default:
      for i in 0..<count {
        let value = element(i)
        if target == .int32, Int32(exactly: value.rounded(.towardZero)) == nil {
          throw EngineError(.data, "cannot convert \(value) to int32")
        }
        result.set(target == .int32 ? value.rounded(.towardZero) : value, at: i)
      }
    }
    return result
  }
}

extension Int32 {
  fileprivate init(saturating value: Double) {
    self = value.isNaN ? 0 : Int32(Swift.min(Swift.max(value.rounded(.towardZero), -2_147_483_648), 2_147_483_647))
  }
}

private func bfloat16Bits(_ value: Float) -> UInt16 {
  var input = value
  var output: UInt16 = 0
  pg_f32_to_bf16(1, &input, &output)
  return output
}

extension Tensor {
  /// Fills a float32 tensor from IEEE half-precision bytes of as many elements.
  package func fillFromFloat16(_ bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == count * 2)
    if let source = bytes.bindMemory(to: UInt16.self).baseAddress { pg_f16_to_f32(count, source, floats.baseAddress) }
    version += 1
  }
}
