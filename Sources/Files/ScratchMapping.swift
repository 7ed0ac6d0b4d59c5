import Diagnostics
import Foundation

/// Memory that the system may write out when it is short of it: a mapped file without a name, which goes with its owner or
/// with the process, however that ends. It starts with zeros.
public final class ScratchMapping {
  public let bytes: UnsafeMutableRawBufferPointer

  /// Throws `EngineError` (`.file`) where the folder cannot be written, or the disk has no room: room is taken at once, so
  /// that writing to the memory cannot fail later.
  public init(byteCount: Int, folder: String) throws {
    precondition(byteCount >= 0)
    guard byteCount > 0 else {
      bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
      return
    }
    try AddressSpace.require(byteCount, for: "a scratch file in \(folder)")
    let path = folder + "/.scratch-\(UUID().uuidString)"
    try FilePath.require(path)
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Self.error(folder, byteCount, errno) }
    // The mapping keeps the file.
    defer { close(descriptor) }
    unlink(path)
    let code = reserve(descriptor, byteCount)
    guard code == 0 else { throw Self.error(folder, byteCount, code) }
    let start = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let start, start != MAP_FAILED else { throw Self.error(folder, byteCount, errno) }
    bytes = UnsafeMutableRawBufferPointer(start: start, count: byteCount)
  }

  deinit { if let start = bytes.baseAddress { munmap(start, bytes.count) } }

  private static func error(_ folder: String, _ byteCount: Int, _ code: Int32) -> EngineError {
    EngineError(.file, "\(folder): a scratch file of \(byteCount) bytes: \(String(cString: strerror(code)))")
  }
}

/// Takes room for a file. Returns 0, or an error number.
private func reserve(_ descriptor: Int32, _ byteCount: Int) -> Int32 {
  #if os(Linux)
    return posix_fallocate(descriptor, 0, off_t(byteCount))
  #else
    var space = statvfs()
    guard fstatvfs(descriptor, &space) == 0 else { return errno }
    guard Double(space.f_bavail) * Double(space.f_frsize) >= Double(byteCount) else { return ENOSPC }
    return ftruncate(descriptor, off_t(byteCount)) == 0 ? 0 : errno
  #endif
}
