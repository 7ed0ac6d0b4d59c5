import Foundation

/// A process among all that may share a folder, on this machine and on others, in containers too. A process number alone says little:
/// it is given again, and every container and machine counts for itself.
package struct ProcessIdentity: Equatable, Sendable {
  /// Tells where the number counts: a digest of the machine's name, of its current start, and of the container's list of processes.
  package let place: String
  package let number: Int32
  /// When it began, in ticks since the machine's start; 0 where that is not known.
  package let start: UInt64

  package init(place: String, number: Int32, start: UInt64) { (self.place, self.number, self.start) = (place, number, start) }

  /// This process.
  package static let current = ProcessIdentity(place: here, number: getpid(), start: status(of: getpid())?.start ?? 0)

  /// The name of this machine, as far as it is letters, digits, '-', '_' and '.'.
  package static let host: String = {
    var letters = [CChar](repeating: 0, count: 256)
    guard gethostname(&letters, letters.count - 1) == 0 else { return "" }
    let name = String(decoding: letters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return String(name.unicodeScalars.filter { $0.isASCII && ($0.properties.isAlphabetic || "0123456789-_.".unicodeScalars.contains($0)) }.prefix(64))
  }()

  /// Whether the process has certainly ended: seen from another place, none has.
  package var hasEnded: Bool {
    guard place == Self.here else { return false }
    if kill(number, 0) != 0, errno == ESRCH { return true }
    guard let status = Self.status(of: number) else { return false }
    // One that was killed has a number until its parent asks for it.
    return status.hasEnded || start != 0 && status.start != 0 && status.start != start
  }

  private static let here: String = {
    let boot = (try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)) ?? ""
    var link = [CChar](repeating: 0, count: 64)
    let count = max(0, readlink("/proc/self/ns/pid", &link, link.count))
    let space = String(decoding: link.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return String(Digest(of: .array([.string(host), .string(boot), .string(space)])).hex.prefix(12))
  }()

  /// What `/proc` says of a process; nil where it says nothing.
  private static func status(of process: Int32) -> (hasEnded: Bool, start: UInt64)? {
    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return nil }
    // The name before them, in brackets, may have spaces and brackets.
    let fields = String(decoding: data, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 19, let start = UInt64(fields[19]) else { return nil }
    return (["Z", "X"].contains(fields[0]), start)
  }
}
