import Foundation
import Synchronization

/// Names for half-written files and folders, beside the path that they will be renamed to:
/// `.<name>.<process>-<number>.tmp`. Their writer holds a lock on them while it lives, so the
/// remains of a killed process can be told from the work of a running one.
enum TemporaryName {
  private static let counter = Atomic<Int>(0)

  static func beside(_ path: String) -> String {
    let number = counter.add(1, ordering: .relaxed).newValue
    return folder(of: path) + prefix(of: path) + "\(getpid())-\(number).tmp"
  }

  /// The folder of a path with its slash at the end; empty for a bare name.
  static func folder(of path: String) -> String {
    path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? ""
  }

  /// Removes what writers of `path` that were killed have left. Failures are ignored: another
  /// writer may be cleaning up, too, and what stays does no harm.
  static func removeStale(beside path: String) {
    let folder = folder(of: path)
    let prefix = prefix(of: path)
    for name in (try? AtomicFolder.names(in: folder.isEmpty ? "." : folder)) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(".tmp") {
      let process = name.dropFirst(prefix.count).prefix { $0 != "-" }
      guard let process = Int32(process), process != getpid(), isDead(process) else { continue }
      removeIfUnlocked(folder + name)
    }
  }

  private static func prefix(of path: String) -> String {
    "." + FilePath.name(of: path) + "."
  }

  private static func isDead(_ process: Int32) -> Bool {
    process > 0 && kill(process, 0) != 0 && errno == ESRCH
  }

  /// The process number alone is no proof where containers or machines share a folder; the lock is.
  private static func removeIfUnlocked(_ path: String) {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
      removeTree(path)
    }
  }
}
