import Diagnostics
import Files

/// A safetensors file, checked as a whole when opened and then read through a memory map.
///
/// Layout: 8 bytes (little-endian length of the header), the header (JSON: name -> dtype, shape,
/// data_offsets; `__metadata__` -> strings), the tensors' bytes without gaps.
/// Format: https://github.com/huggingface/safetensors
public final class SafetensorsFile: TensorFile {
  public typealias Entry = TensorEntry

  public let path: String
  /// The strings under `__metadata__`; empty if there are none.
  public let metadata: [String: String]
  /// All tensors, in the order of their bytes.
  public let entries: [Entry]
  /// The mapped file, for hints about which parts are needed.
  public let file: MappedFile
  private let positions: [String: Int]

  /// The longest header that the reference library accepts, in bytes.
  static let maximumHeader = 100_000_000

  /// Opens and checks a file.
  ///
  /// Throws `EngineError`: `.file` if it cannot be read; `.data` naming the tensor if the header is
  /// longer than the file, is not UTF-8 or JSON, names a tensor twice, has an unknown dtype or a
  /// negative or overflowing shape, or if the tensors' ranges do not fit their shapes, overlap,
  /// leave gaps, or do not end where the file ends.
  public init(_ path: String) throws {
    file = try MappedFile(path)
    self.path = path
    let header = try file.withBytes { try SafetensorsHeader(bytes: $0, path: path) }
    metadata = header.metadata
    entries = header.entries
    positions = Dictionary(
      entries.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The tensors' names, sorted.
  public var names: [String] { entries.map(\.name).sorted() }

  /// The tensor of that name, or nil.
  public subscript(name: String) -> Entry? { positions[name].map { entries[$0] } }

  public func elements(of entry: Entry) throws -> TensorBytes {
    guard self[entry.name] == entry else {
      throw EngineError(.data, "\(path): tensor '\(entry.name)' belongs to another file")
    }
    return TensorBytes(
      bytes: UnsafeRawBufferPointer(rebasing: file.bytes[entry.range]), owner: file,
      whenUnneeded: { [file] in file.advise(.dontNeed, entry.range) })
  }
}
