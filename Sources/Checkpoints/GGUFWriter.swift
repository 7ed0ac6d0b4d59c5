import Diagnostics
import Files
import Foundation

/// A value of a GGUF file's table of facts.
public enum GGUFValue: Sendable {
  case uint32(Int)
  case int32s([Int])
  case float32(Float)
  case float32s([Float])
  case bool(Bool)
  case string(String)
  case strings([String])
}

/// Writes files of llama.cpp: the format GGUF, version 3 (ggml-org/ggml: docs/gguf.md).
///
/// magic "GGUF", version, counts of tensors and facts; facts: key, type, value; tensors: name, dimensions with the innermost first, type,
/// offset; then the tensors' bytes, each at a multiple of 32.
public enum GGUFFile {
  private static let alignment = 32

  /// Writes a file whole or not at all.
  ///
  /// - Parameters:
  ///   - facts: by key, in this order.
  ///   - tensors: float32 or float16.
  /// - Throws: `EngineError` (`.argument`) for a tensor of another type, or two of one name; `.file` where the file cannot be written.
  public static func write(_ facts: [(key: String, value: GGUFValue)], _ tensors: [TensorToSave], to path: String) throws {
    var header = Data("GGUF".utf8)
    header.append(UInt32(3))
    header.append(UInt64(tensors.count))
    header.append(UInt64(facts.count))
    for (key, value) in facts {
      header.append(key)
      header.append(value)
    }
    var (offset, names) = (0, Set<String>())
    for tensor in tensors {
      let types: [ScalarType: UInt32] = [.float32: 0, .float16: 1]
      guard let type = types[tensor.dtype], let size = tensor.dtype.byteCount(ofShape: tensor.shape), names.insert(tensor.name).inserted else {
        throw EngineError(.argument, "\(path): tensor '\(tensor.name)' \(tensor.shape) of \(tensor.dtype.rawValue) cannot be written")
      }
      header.append(tensor.name)
      header.append(UInt32(tensor.shape.count))
      for dimension in tensor.shape.reversed() { header.append(UInt64(dimension)) }
      header.append(type)
      header.append(UInt64(offset))
      offset = padded(offset + size)
    }
    header.append(Data(count: padded(header.count) - header.count))
    let whole = header.count + offset
    try AtomicFile.write(
      to: path,
      { writer in
        try writer.write(header)
        for tensor in tensors {
          try tensor.withBytes { bytes in
            guard bytes.count == tensor.dtype.byteCount(ofShape: tensor.shape) else {
              throw EngineError(.argument, "\(path): tensor '\(tensor.name)' has \(bytes.count) bytes, which do not fit \(tensor.shape)")
            }
            try writer.write(bytes)
            try writer.write(Data(count: padded(bytes.count) - bytes.count))
          }
        }
      },
      verify: { temporary in
        guard try MappedFile(temporary).bytes.count == whole else {
          throw EngineError(.file, "\(path): the file has not the size of what was written", hint: "check the disk")
        }
      })
  }

  private static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
}

/// Little-endian, as x86 and ARM are.
extension Data {
  fileprivate mutating func append(_ number: some BitwiseCopyable) { Swift.withUnsafeBytes(of: number) { append(contentsOf: $0) } }

  fileprivate mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }

  /// The type's number, and the value.
  fileprivate mutating func append(_ value: GGUFValue) {
    func list<Element>(_ type: UInt32, _ elements: [Element], _ add: (inout Data, Element) -> Void) {
      append(UInt32(9))
      append(type)
      append(UInt64(elements.count))
      for element in elements { add(&self, element) }
    }
    switch value {
    case .uint32(let number):
      append(UInt32(4))
      append(UInt32(clamping: number))
    case .int32s(let numbers): list(5, numbers) { $0.append(Int32(clamping: $1)) }
    case .float32(let number):
      append(UInt32(6))
      append(number)
    case .float32s(let numbers): list(6, numbers) { $0.append($1) }
    case .bool(let flag):
      append(UInt32(7))
      append(UInt8(flag ? 1 : 0))
    case .string(let text):
      append(UInt32(8))
      append(text)
    case .strings(let texts): list(8, texts) { $0.append($1) }
    }
  }
}
