import Diagnostics
import Foundation

/// Writes bytes to an open file, through short writes and interrupted calls, and turns a full disk
/// into an `EngineError` that names the file.
public final class FileWriter {
  /// What the file will be called; errors name this.
  public let path: String
  public private(set) var bytesWritten = 0
  private var descriptor: Int32

  package typealias SystemWrite = @Sendable (Int32, UnsafeRawPointer, Int) -> Int

  /// The system call that writes.
  package static var systemWrite: SystemWrite {
    (Thread.current.threadDictionary[replacementKey] as? Replacement)?.call ?? writeToDescriptor
  }

  /// Puts a full disk or short writes in the system call's place, for tests: while `body` runs, and on this thread alone.
  /// (A task-local value would say the same; optimised builds of Swift 6.3 crash in its synchronous form.)
  package static func withSystemWrite<Result>(
    _ call: @escaping SystemWrite, _ body: () throws -> Result
  ) rethrows -> Result {
    let dictionary = Thread.current.threadDictionary
    let before = dictionary[replacementKey]
    dictionary[replacementKey] = Replacement(call)
    defer { dictionary[replacementKey] = before }
    return try body()
  }

  private static let replacementKey = "perigee.systemWrite"

  private final class Replacement {
    let call: SystemWrite
    init(_ call: @escaping SystemWrite) { self.call = call }
  }

  package init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  /// Opens a file to write behind what it has; it is made if it is not there, and no link is followed.
  ///
  /// - Parameter isNew: whether a file that is there already is an error.
  public convenience init(appendingTo path: String, isNew: Bool = false) throws {
    try FilePath.require(path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (isNew ? O_EXCL : 0), 0o666)
    guard descriptor >= 0 else { throw writeError(path) }
    self.init(descriptor: descriptor, path: path)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while let start = UnsafeRawBufferPointer(rebasing: rest).baseAddress, !rest.isEmpty {
      // One call moves at most 2 GiB on Linux; smaller pieces also keep an interrupt prompt.
      let written = Self.systemWrite(descriptor, start, min(rest.count, 1 << 26))
      if written < 0 {
        if errno == EINTR { continue }
        throw writeError(path)
      }
      rest = rest.dropFirst(written)
      bytesWritten += written
    }
  }

  public func write(_ data: Data) throws { try data.withUnsafeBytes { try write($0) } }

  public func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  /// Returns when the bytes are on the disk.
  func synchronize() throws {
    while fsync(descriptor) != 0 { if errno != EINTR { throw writeError(path) } }
  }

  /// Closes the file; some file systems report a full disk only now.
  func finish() throws {
    defer { descriptor = -1 }
    if close(descriptor) != 0 && errno != EINTR { throw writeError(path) }
  }

  /// False where another process holds the lock; a file system without locks keeps nobody out.
  func lock() -> Bool { flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK }
}

/// Inside `FileWriter` the name `write` means its methods.
@Sendable private func writeToDescriptor(
  _ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int
) -> Int { write(descriptor, bytes, count) }

/// The error for a failed write to `path`, from `errno`.
package func writeError(_ path: String, code: Int32 = errno) -> EngineError {
  let hint: String? =
    switch code {
    case ENOSPC, EDQUOT: "free some space, or write to another disk"
    case EROFS, EACCES, EPERM: "choose a folder that you may write to"
    case EFBIG: "the limit on the size of files is too low (ulimit -f)"
    default: nil
    }
  let reason = String(cString: strerror(code))
  return EngineError(.file, "\(path): cannot be written: \(reason)", hint: hint)
}

/// Makes the names in a folder durable: a rename is on the disk only when its folder is.
func synchronizeFolder(_ path: String) throws {
  let descriptor = open(path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { throw writeError(path) }
  defer { close(descriptor) }
  // Some network file systems cannot sync folders, and say EINVAL: nothing can be done there.
  if fsync(descriptor) != 0 && errno != EINVAL && errno != EINTR { throw writeError(path) }
}
