import CLimits
import Diagnostics
import Foundation

/// The bytes of a file, mapped into memory read-only: pages are read when touched, and the system
/// can drop them again, so a checkpoint of many gigabytes costs no memory of its own.
///
/// Files are replaced by renaming everywhere in Perigee, which leaves a mapping intact. A file that
/// some other program truncates while it is mapped ends the process on the next touch (`SIGBUS`), with a
/// line that names it and exit code 1: see `cl_install_ends`.
public final class MappedFile: @unchecked Sendable {
  // Sendable: both properties are constant, and the memory is never written.

  public let path: String
  /// Valid as long as this object lives; hold the object, or use `withBytes`.
  public let bytes: UnsafeRawBufferPointer

  /// Maps a regular file. Throws `EngineError` for one that is missing, a folder, or unreadable.
  public init(_ path: String) throws {
    self.path = path
    bytes = try withOpenFile(path) { descriptor, size in
      // An empty file cannot be mapped.
      if size == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
      try AddressSpace.require(size, for: "mapping \(path)")
      let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
      guard let start, start != MAP_FAILED else { throw readError(path) }
      cl_note_mapping(start, size, path)
      return UnsafeRawBufferPointer(start: start, count: size)
    }
  }

  deinit {
    if let start = bytes.baseAddress {
      cl_forget_mapping(start)
      munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
    }
  }

  public var count: Int { bytes.count }

  /// Calls `body` with the bytes, which stay valid until it returns.
  public func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try withExtendedLifetime(self) { try body(bytes) }
  }

  /// What the next use of the bytes will be.
  public enum Advice: Sendable {
    /// Read from front to back, soon.
    case sequential
    /// Used soon: start reading.
    case willNeed
    /// Not used soon: the memory can be given back. Touching it again reads the file again.
    case dontNeed
  }

  /// Passes a hint to the system about a range of bytes (all of them by default). Ranges beyond the
  /// file are cut; a system that ignores the hint is no error.
  public func advise(_ advice: Advice, _ range: Range<Int>? = nil) {
    guard let start = bytes.baseAddress else { return }
    let range = (range ?? 0..<count).clamped(to: 0..<count)
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    guard page > 0, !range.isEmpty else { return }
    let flag =
      switch advice {
      case .sequential: MADV_SEQUENTIAL
      case .willNeed: MADV_WILLNEED
      case .dontNeed: MADV_DONTNEED
      }
    let lower = range.lowerBound / page * page
    let place = UnsafeMutableRawPointer(mutating: start + lower)
    madvise(place, range.upperBound - lower, Int32(flag))
  }
}
