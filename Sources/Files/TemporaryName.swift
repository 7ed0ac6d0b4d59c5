import Foundation
import Synchronization

/// Names for half-written files and folders, beside the path that they will be renamed to:
/// `.<name>.<place>-<process>-<number>.tmp`. They tell the remains of a killed process from the work of a running one, also where
/// machines share the folder, and without locks, which not every network file system has.
package enum TemporaryName {
  private static let counter = Atomic<Int>(0)

  package static func beside(_ path: String) -> String {
    let number = counter.add(1, ordering: .relaxed).newValue
    let process = ProcessIdentity.current
    return folder(of: path) + prefix(of: path) + "\(process.place)-\(process.number)-\(number).tmp"
  }

  /// The folder of a path with its slash at the end; empty for a bare name.
  static func folder(of path: String) -> String {
    path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? ""
  }

  /// Removes what writers of `path` that were killed on this machine have left. What another machine left goes when it is a week old: this
  /// one cannot know its processes. Failures are ignored: another writer may be cleaning up, too, and what stays does no harm.
  static func removeStale(beside path: String) {
    let folder = folder(of: path)
    let prefix = prefix(of: path)
    for name in (try? AtomicFolder.names(in: folder.isEmpty ? "." : folder)) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(".tmp") {
      let parts = name.dropFirst(prefix.count).dropLast(".tmp".count).split(separator: "-", omittingEmptySubsequences: false)
      guard parts.count == 3, let process = Int32(parts[1]), process > 0, Int(parts[2]) != nil else { continue }
      if ProcessIdentity(place: String(parts[0]), number: process, start: 0).hasEnded || isOld(folder + name) { removeTree(folder + name) }
    }
  }

  private static func prefix(of path: String) -> String {
    "." + FilePath.name(of: path) + "."
  }

  private static func isOld(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && time(nil) - status.st_mtim.tv_sec > 7 * 86_400
  }
}
