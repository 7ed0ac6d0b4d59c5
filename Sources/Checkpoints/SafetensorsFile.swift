import Diagnostics
import Files

/// A safetensors file, checked as a whole when opened and then read through a memory map.
///
/// Layout: 8 bytes (little-endian length of the header), the header (JSON: name -> dtype, shape,
/// data_offsets; `__metadata__` -> strings), the tensors' bytes without gaps.
/// Format: https://github.com/huggingface/safetensors
public final class SafetensorsFile: Sendable {
  /// One tensor's place in the file.
  public struct Entry: Sendable, Equatable {
    public let name: String
    public let dtype: ScalarType
    /// Row-major sizes; empty for a scalar.
    public let shape: [Int]
    /// The tensor's bytes, as offsets from the start of the file. Writers align them to the element
    /// size, but files of other writers need not: read with unaligned loads.
    public let range: Range<Int>
  }

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

  /// The tensor of that name; else an `EngineError` with the nearest name that there is.
  public func entry(_ name: String) throws -> Entry {
    if let entry = self[name] { return entry }
    throw EngineError(
      .data, "\(path): no tensor '\(name)'",
      hint: nearestName(to: name, among: names).map { "did you mean '\($0)'?" })
  }

  /// Calls `body` with a tensor's bytes, which stay valid until it returns.
  public func withBytes<Result>(
    of entry: Entry, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    guard self[entry.name] == entry else {
      throw EngineError(.data, "\(path): tensor '\(entry.name)' belongs to another file")
    }
    return try file.withBytes { try body(UnsafeRawBufferPointer(rebasing: $0[entry.range])) }
  }

  /// Calls `body` with a tensor and its bytes, which stay valid until it returns.
  public func withBytes<Result>(
    of name: String, _ body: (Entry, UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    let entry = try entry(name)
    return try withBytes(of: entry) { try body(entry, $0) }
  }

  /// The digest of a tensor's bytes.
  public func digest(of entry: Entry) throws -> Digest {
    try withBytes(of: entry) { Digest(of: $0) }
  }
}
