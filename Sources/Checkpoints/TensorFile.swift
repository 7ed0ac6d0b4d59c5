import Diagnostics
import Files

/// One tensor's place in a file.
public struct TensorEntry: Sendable, Equatable {
  public let name: String
  public let dtype: ScalarType
  /// Row-major sizes; empty for a scalar.
  public let shape: [Int]
  /// The tensor's bytes, as offsets from the start of the file; a tensor with strides lies within them. Writers align them to
  /// the element size, but files of other writers need not: read with unaligned loads.
  public let range: Range<Int>
}

/// A tensor's elements in memory, row-major.
public struct TensorBytes {
  /// Valid as long as `owner` lives.
  public let bytes: UnsafeRawBufferPointer
  public let owner: AnyObject
  /// Says that the bytes will not be read again soon.
  public let whenUnneeded: (() -> Void)?
}

/// A file of tensors by name.
public protocol TensorFile: AnyObject, Sendable {
  var path: String { get }
  /// The tensors' names, sorted.
  var names: [String] { get }
  /// The tensor of that name, or nil.
  subscript(name: String) -> TensorEntry? { get }
  /// A tensor's elements; those of a mapped file are not copied. Throws for a tensor of another file.
  func elements(of entry: TensorEntry) throws -> TensorBytes
}

extension TensorFile {
  /// The tensor of that name; else an `EngineError` with the nearest name that there is.
  public func entry(_ name: String) throws -> TensorEntry {
    if let entry = self[name] { return entry }
    throw EngineError(
      .data, "\(path): no tensor '\(name)'",
      hint: nearestName(to: name, among: names).map { "did you mean '\($0)'?" })
  }

  /// Calls `body` with a tensor's bytes, which stay valid until it returns.
  public func withBytes<Result>(of entry: TensorEntry, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    let elements = try elements(of: entry)
    return try withExtendedLifetime(elements.owner) { try body(elements.bytes) }
  }

  /// Calls `body` with a tensor and its bytes, which stay valid until it returns.
  public func withBytes<Result>(
    of name: String, _ body: (TensorEntry, UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    let entry = try entry(name)
    return try withBytes(of: entry) { try body(entry, $0) }
  }

  /// The digest of a tensor's bytes.
  public func digest(of entry: TensorEntry) throws -> Digest {
    try withBytes(of: entry) { Digest(of: $0) }
  }
}

/// A file whose tensors are called otherwise.
public final class RenamedTensorFile: TensorFile {
  public let names: [String]
  private let file: any TensorFile
  /// Entries of the file by their new names.
  private let entries: [String: TensorEntry]

  /// `rename`: the new name of a tensor, or nil where it is left out. Throws where two get one name.
  public init(_ file: any TensorFile, _ rename: (String) -> String?) throws {
    self.file = file
    var entries: [String: TensorEntry] = [:]
    for name in file.names {
      guard let entry = file[name], let new = rename(name) else { continue }
      guard entries.updateValue(entry, forKey: new) == nil else {
        throw EngineError(.data, "\(file.path): two tensors are called '\(new)'")
      }
    }
    self.entries = entries
    names = entries.keys.sorted()
  }

  public var path: String { file.path }

  public subscript(name: String) -> TensorEntry? {
    entries[name].map { TensorEntry(name: name, dtype: $0.dtype, shape: $0.shape, range: $0.range) }
  }

  public func elements(of entry: TensorEntry) throws -> TensorBytes {
    guard let own = entries[entry.name], self[entry.name] == entry else {
      throw EngineError(.data, "\(path): tensor '\(entry.name)' belongs to another file")
    }
    return try file.elements(of: own)
  }
}
