import Diagnostics
import Files
import Foundation

/// A tensor to be saved: name, dtype, shape, and a way to get at its bytes (row-major,
/// little-endian).
public struct TensorToSave {
  public let name: String
  public let dtype: ScalarType
  public let shape: [Int]
  let withBytes: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void

  /// - Parameter withBytes: calls its argument once with the tensor's bytes. It runs while the file
  ///   is written, so that a tensor can be converted then, and only one conversion is in memory at
  ///   a time.
  public init(
    _ name: String, dtype: ScalarType, shape: [Int],
    withBytes: @escaping ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
  ) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.withBytes = withBytes
  }

  /// A tensor whose bytes are held by `data` (`[UInt8]`, `[Float]`, `Data`, ...).
  public init(_ name: String, dtype: ScalarType, shape: [Int], data: some ContiguousBytes) {
    self.init(name, dtype: dtype, shape: shape) { body in try data.withUnsafeBytes { try body($0) }
    }
  }
}

extension SafetensorsFile {
  /// Writes a file whose bytes are those that the reference library would write: tensors by dtype
  /// and name, the header padded to 8 bytes.
  ///
  /// The file takes the old one's place only after it was read back and the number of tensors and
  /// the digest of each one agreed with what was to be written.
  ///
  /// - Parameter metadata: strings for `__metadata__`. Transformers refuses files without a
  ///   `format`.
  ///
  /// Throws `EngineError`: `.argument` for two tensors of one name or bytes that do not fit a
  /// shape, `.file` if the file cannot be written; the old file is then unchanged.
  public static func write(
    _ tensors: [TensorToSave], metadata: [String: String] = ["format": "pt"], to path: String
  ) throws {
    let ordered = tensors.sorted { a, b in
      a.dtype.layoutRank != b.dtype.layoutRank
        ? a.dtype.layoutRank > b.dtype.layoutRank
        : a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
    }
    let header = try header(of: ordered, metadata: metadata, path: path)
    var digests: [String: Digest] = [:]
    try AtomicFile.write(
      to: path,
      { writer in
        try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try writer.write($0) }
        try writer.write(Data(header))
        for tensor in ordered {
          digests[tensor.name] = try write(tensor, with: writer)
        }
      },
      verify: { try verify($0, digests: digests, path: path) })
  }

  private static func header(
    of tensors: [TensorToSave], metadata: [String: String], path: String
  ) throws -> [UInt8] {
    var members = JSONObject()
    if !metadata.isEmpty {
      members["__metadata__"] = .object(
        JSONObject(metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
    }
    var offset = 0
    for tensor in tensors {
      func failure(_ what: String) -> EngineError {
        EngineError(.argument, "\(path): tensor '\(tensor.name)': \(what)")
      }
      if tensor.name == "__metadata__" { throw failure("the name is reserved") }
      if members[tensor.name] != nil { throw failure("two tensors have this name") }
      guard let size = tensor.dtype.byteCount(ofShape: tensor.shape) else {
        throw failure("shape \(tensor.shape) is negative or too large")
      }
      let (end, overflow) = offset.addingReportingOverflow(size)
      if overflow { throw failure("the file would be too large") }
      members[tensor.name] = [
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.map { .int($0) }),
        "data_offsets": [.int(offset), .int(end)],
      ]
      offset = end
    }
    var header = Array(JSONValue.object(members).encoded(.ordered).utf8)
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    if header.count > maximumHeader {
      throw EngineError(.argument, "\(path): a header of \(header.count) bytes is too long")
    }
    return header
  }

  private static func write(_ tensor: TensorToSave, with writer: FileWriter) throws -> Digest {
    let expected = tensor.dtype.byteCount(ofShape: tensor.shape) ?? 0
    var digest: Digest?
    try tensor.withBytes { bytes in
      guard bytes.count == expected, digest == nil else {
        throw EngineError(
          .argument,
          "\(writer.path): tensor '\(tensor.name)': shape \(tensor.shape) of "
            + "\(tensor.dtype.rawValue) takes \(expected) bytes, given \(bytes.count)")
      }
      digest = Digest(of: bytes)
      try writer.write(bytes)
    }
    guard let digest else {
      throw EngineError(.argument, "\(writer.path): tensor '\(tensor.name)': no bytes given")
    }
    return digest
  }

  private static func verify(
    _ temporaryPath: String, digests: [String: Digest], path: String
  ) throws {
    let written = try SafetensorsFile(temporaryPath)
    let isEqual =
      try written.entries.count == digests.count
      && written.entries.allSatisfy { try written.digest(of: $0) == digests[$0.name] }
    if !isEqual {
      throw EngineError(
        .file, "\(path): what was written does not read back as it was", hint: "check the disk")
    }
  }
}
