import Diagnostics
import Files
import Foundation

/// An exclusive lock on a file, held by one process until the object goes or the process ends,
/// however it ends. It keeps two runs out of one run directory; a file system without locks (Lustre without `-o flock`, some FUSE)
/// keeps nobody out. What machines share has leases (`StageLease`).
final class FileLock {
  private let descriptor: Int32

  /// The lock on `path`, which is created with its folder if needed; nil while another holder has
  /// it. Inside the file is the holder's process number, for messages.
  init?(_ path: String) throws {
    try FilePath.require(path)
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
      if descriptor < 0 && errno == ENOENT {
        // The holder before has just removed the folder.
        try createFolder(FilePath.folder(of: path))
        continue
      }
      if descriptor < 0 && errno == ELOOP { throw linkError(path) }
      guard descriptor >= 0 else {
        throw EngineError(
          .file, "\(path): cannot be written: \(String(cString: strerror(errno)))",
          hint: "choose a folder that you may write to")
      }
      // A folder of somebody else's making can have anything under this name.
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        throw EngineError(.file, "\(path): expected a regular file")
      }
      if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
        close(descriptor)
        return nil
      }
      // The holder before may have removed the file after it was opened here; then this lock is on
      // a file that nobody else will ever see.
      var ours = stat()
      var named = stat()
      if fstat(descriptor, &ours) == 0, lstat(path, &named) == 0, ours.st_ino == named.st_ino,
        ours.st_dev == named.st_dev
      {
        self.descriptor = descriptor
        // Under another name it is not a lock, and keeps its content.
        if ours.st_nlink > 1 { return }
        ftruncate(descriptor, 0)
        let process = Array("\(getpid())\n".utf8)
        _ = process.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        return
      }
      close(descriptor)
    }
  }

  deinit { close(descriptor) }

  /// Whether a process holds the lock on `path`. To find out, it is shared for a moment.
  static func isHeld(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  /// The process that holds the lock on `path`, as it says itself.
  static func holder(_ path: String) -> Int32? {
    guard let text = try? readText(path) else { return nil }
    return Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }
}
