import CMPI
import Foundation

/// Looks, from another thread, whether the thread that made this one comes back from the system's core.
///
/// Long waits are no fault: for a child, a pipe or a lock a thread sleeps in a way that a signal ends. Only what waits for a device or a file
/// system's server does not, and even that wakes up now and then as long as there is an answer.
final class OwnThread: @unchecked Sendable {
  private let folder = "/proc/self/task/\(cm_thread())"
  private var switches: Int?
  private var since: Double?
  private var lastLook: Double?

  /// Has to be called by one thread alone. What was seen more than `mostGap` seconds ago is forgotten: the whole process may have stood still.
  func look(at now: Double, mostGap: Double) {
    if let lastLook, now - lastLook > mostGap { since = nil }
    lastLook = now
    let status = Self.status(folder + "/status")
    let count = status["voluntary_ctxt_switches"].flatMap { Int($0) }
    let isHeld = status["State"]?.hasPrefix("D") ?? false
    if !isHeld || count != switches { since = nil }
    if isHeld, since == nil { since = now }
    switches = count
  }

  /// Whether it has waited in one piece for so many seconds.
  func isStuck(for seconds: Double, at now: Double) -> Bool { since.map { now - $0 >= seconds } ?? false }

  /// Whether a debugger holds a process of this machine.
  static func isTraced(_ process: Int32) -> Bool {
    status("/proc/\(process)/status")["TracerPid"].map { $0 != "0" } ?? false
  }

  private static func status(_ path: String) -> [Substring: String] {
    // A program's name may be any bytes.
    guard let text = try? String(contentsOfFile: path, encoding: .isoLatin1) else { return [:] }
    var fields: [Substring: String] = [:]
    for line in text.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      fields[line[..<colon]] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return fields
  }
}
