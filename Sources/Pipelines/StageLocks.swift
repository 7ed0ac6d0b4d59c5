import Diagnostics
import Files
import Foundation

/// Which stored results this process uses, so that nobody removes them meanwhile: a range of one byte in a lock file for each, at a
/// place that its digest says. One open file serves any number of stages, and the locks go with the process. They hold between machines over
/// NFS, unless it is mounted without (`nolock`, `local_lock`): then nobody should remove results while another machine works.
final class StageLocks {
  private let path: String
  private var descriptor: Int32 = -1

  init(_ path: String) { self.path = path }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Notes that the process uses a result, until it ends; waits while another one removes it. Where the cache cannot be written, nobody
  /// removes anything from it.
  func use(_ digest: Digest) { if open() { _ = set(Int16(F_RDLCK), digest, waits: true) } }

  /// Calls `body` where no process uses the result; false where one does.
  func whileUnused(_ digest: Digest, _ body: () throws -> Void) throws -> Bool {
    guard open() else { throw EngineError(.file, "\(path): cannot be written: \(String(cString: strerror(errno)))") }
    guard set(Int16(F_WRLCK), digest, waits: false) else { return false }
    defer { _ = set(Int16(F_UNLCK), digest, waits: false) }
    try body()
    return true
  }

  private func open() -> Bool {
    if descriptor < 0 { descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o666) }
    return descriptor >= 0
  }

  private func set(_ type: Int16, _ digest: Digest, waits: Bool) -> Bool {
    var lock = flock()
    lock.l_type = type
    lock.l_whence = Int16(SEEK_SET)
    lock.l_start = off_t(digest.hex.prefix(15), radix: 16) ?? 0
    lock.l_len = 1
    // Locks of the open file, not of the process: closing another descriptor of it does not lose them. Glibc names the calls only under
    // _GNU_SOURCE.
    #if os(Linux)
      let command: Int32 = waits ? 38 : 37
    #else
      let command: Int32 = waits ? 91 : 90
    #endif
    while fcntl(descriptor, command, &lock) != 0 { if errno != EINTR { return false } }
    return true
  }
}
