import Checkpoints
import Diagnostics
import Files
import Foundation
import TensorCore

extension TensorFile {
  /// A tensor of the file as float32. Stored float32 is not copied: the tensor reads the mapped file.
  public func float32(_ entry: TensorEntry) throws -> Tensor {
    let elements = try elements(of: entry)
    defer { withExtendedLifetime(elements.owner) {} }
    let bytes = elements.bytes
    let isAligned = UInt(bitPattern: bytes.baseAddress) % 4 == 0
    switch entry.dtype {
    case .float32 where isAligned || bytes.isEmpty:
      return try Tensor(borrowing: bytes, owner: elements.owner, shape: entry.shape, .float32, whenUnneeded: elements.whenUnneeded)
    case .float32, .float64, .bfloat16, .float16:
      let aligned = try Storage(byteCount: max(bytes.count, 1))
      if let base = bytes.baseAddress { aligned.pointer.copyMemory(from: base, byteCount: bytes.count) }
      let source = UnsafeRawBufferPointer(start: aligned.pointer, count: bytes.count)
      if entry.dtype == .float16 { return try Tensor(float16: source, shape: entry.shape) }
      let dtype: DType = entry.dtype == .float32 ? .float32 : entry.dtype == .float64 ? .float64 : .bfloat16
      return try Tensor(borrowing: source, owner: aligned, shape: entry.shape, dtype).converted(to: .float32)
    default:
      throw EngineError(.data, "\(path): tensor '\(entry.name)' has type \(entry.dtype.rawValue), expected a floating-point type")
    }
  }

  /// A matrix that a file has transposed, or in bfloat16, as float32 that takes no memory while nobody reads its elements; nil where
  /// there is no such way to have it. The tensor reads the mapped file.
  public func storedMatrix(_ entry: TensorEntry, isTransposed: Bool) throws -> Tensor? {
    guard entry.shape.count == 2, entry.dtype == .bfloat16 || entry.dtype == .float32 && isTransposed else { return nil }
    let elements = try elements(of: entry)
    let dtype: DType = entry.dtype == .float32 ? .float32 : .bfloat16
    guard !elements.bytes.isEmpty, UInt(bitPattern: elements.bytes.baseAddress) % UInt(dtype.size) == 0 else { return nil }
    let stored = try Tensor(
      borrowing: elements.bytes, owner: elements.owner, shape: entry.shape, dtype, whenUnneeded: elements.whenUnneeded)
    return Tensor(stored: stored, isTransposed: isTransposed)
  }

  /// A tensor of the file by name, in the type that it is stored in (integers become int32).
  public func tensor(_ name: String) throws -> Tensor {
    let entry = try entry(name)
    let elements = try elements(of: entry)
    defer { withExtendedLifetime(elements.owner) {} }
    let bytes = elements.bytes
    switch entry.dtype {
    case .float32, .float16: return try float32(entry)
    case .float64, .bfloat16, .int32:
      let copy = try Tensor(uninitialized: entry.shape, entry.dtype == .float64 ? .float64 : entry.dtype == .int32 ? .int32 : .bfloat16)
      if let base = bytes.baseAddress { copy.pointer.copyMemory(from: base, byteCount: bytes.count) }
      return copy
    case .int64:
      let values = (0..<entry.shape.reduce(1, *)).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self) }
      let narrow = values.compactMap { Int32(exactly: $0) }
      guard narrow.count == values.count else {
        throw EngineError(.data, "\(path): tensor '\(name)' has values that do not fit int32")
      }
      return try Tensor(narrow, entry.shape)
    default:
      throw EngineError(.data, "\(path): tensor '\(name)' has type \(entry.dtype.rawValue), which tensors do not hold")
    }
  }

}

extension SafetensorsFile {
  /// Writes tensors by name; see `write(_:metadata:to:)`.
  public static func write(
    tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = ["format": "pt"], to path: String
  ) throws {
    try write(
      tensors.map { name, tensor in
        let dtype: ScalarType =
          switch tensor.dtype {
          case .float32: .float32
          case .float64: .float64
          case .bfloat16: .bfloat16
          case .int32: .int32
          }
        return TensorToSave(name, dtype: dtype, shape: tensor.shape) { body in
          defer { tensor.storage.giveBack() }
          try body(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
        }
      }, metadata: metadata, to: path)
  }
}

extension Tensor {
  /// Half-precision bytes as float32.
  convenience init(float16 bytes: UnsafeRawBufferPointer, shape: [Int]) throws {
    try self.init(uninitialized: shape, .float32)
    fillFromFloat16(bytes)
  }
}

extension Module {
  /// Copies values into the parameters of these names. Throws, before anything is changed, for names that the model
  /// lacks and for other shapes.
  public func load(_ values: [(name: String, tensor: Tensor)]) throws {
    let parameters = Dictionary(uniqueKeysWithValues: namedParameters())
    for (name, tensor) in values {
      guard let parameter = parameters[name] else {
        throw EngineError(
          .data, "unexpected tensor '\(name)'", hint: nearestName(to: name, among: parameters.keys).map { "did you mean '\($0)'?" })
      }
      guard parameter.shape == tensor.shape else {
        throw EngineError(.data, "\(name): the file has shape \(tensor.shape), the model expects \(parameter.shape)")
      }
    }
    for (name, tensor) in values {
      guard let parameter = parameters[name] else { continue }
      try parameter.makeExclusive()
      try parameter.assign(tensor)
    }
  }
}
