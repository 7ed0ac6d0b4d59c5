import Diagnostics
import Foundation

/// Bytes that memory has no room for: a file without a name, which goes with its owner or with the process, however that
/// ends. It is written at its end and read anywhere.
public final class ScratchFile {
  private let descriptor: Int32
  private let folder: String
  /// Bytes written.
  public private(set) var count = 0

  /// Nil where the folder cannot be written.
  public init?(folder: String) {
    let path = folder + "/.scratch-\(UUID().uuidString)"
    descriptor = folder.utf8.contains(0) ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    self.folder = folder
    guard descriptor >= 0 else { return nil }
    unlink(path)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Appends bytes and returns where they begin; nil, and nothing is kept, where the disk would have less than
  /// `reserve` bytes left for others, or fails.
  public func append(_ bytes: UnsafeRawBufferPointer, reserve: Int) -> Int? {
    var space = statvfs()
    guard fstatvfs(descriptor, &space) == 0 else { return nil }
    let free = Double(space.f_bavail) * Double(space.f_frsize)
    guard free >= Double(bytes.count) + Double(reserve) else { return nil }
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(count + done))
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        ftruncate(descriptor, off_t(count))
        return nil
      }
      done += written
    }
    defer { count += bytes.count }
    return count
  }

  /// Fills `bytes` from what was written at `offset`. Throws `EngineError` (`.file`) where the disk fails.
  public func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    precondition(offset >= 0 && offset + bytes.count <= count)
    var done = 0
    while done < bytes.count {
      let got = pread(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(offset + done))
      if got < 0, errno == EINTR { continue }
      guard got > 0 else {
        throw EngineError(.file, "\(folder): reading a scratch file: \(got == 0 ? "it ends early" : String(cString: strerror(errno)))")
      }
      done += got
    }
  }
}
