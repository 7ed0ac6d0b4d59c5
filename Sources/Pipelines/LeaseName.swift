import Diagnostics
import Files
import Foundation

/// Who works at a stage: the name of the one lease file in the stage's folder, which says all of it.
public struct LeaseName: Equatable, Sendable {
  let process: ProcessIdentity
  /// The machine, for messages.
  public let host: String
  /// Tells this lease from all others of the process.
  let salt: String
  /// Signs of life so far.
  var count = 0

  /// The name while nobody works at the stage.
  static let free = "lease-free"
  private static let prefix = "lease-"

  /// A new lease of a process.
  init(of process: ProcessIdentity = .current, on host: String = ProcessIdentity.host) {
    (self.process, self.host) = (process, host)
    salt = String(UInt64.random(in: 0...UInt64.max), radix: 16)
  }

  /// nil for what is no such name.
  init?(_ text: String) {
    guard text.hasPrefix(Self.prefix) else { return nil }
    let parts = text.dropFirst(Self.prefix.count).split(separator: "-", maxSplits: 5, omittingEmptySubsequences: false)
    guard parts.count == 6, let count = Int(parts[0]), let number = Int32(parts[1]), number > 0, let start = UInt64(parts[2]) else { return nil }
    process = ProcessIdentity(place: String(parts[3]), number: number, start: start)
    (self.count, salt, host) = (count, String(parts[4]), String(parts[5]))
  }

  var text: String { Self.prefix + "\(count)-\(process.number)-\(process.start)-\(process.place)-\(salt)-\(host)" }

  var next: LeaseName {
    var next = self
    next.count += 1
    return next
  }

  /// The process's number on its machine.
  public var number: Int32 { process.number }

  /// The holder in words: "process 12", with the machine where that is another one.
  public var holder: String {
    "process \(number)" + (process.place == ProcessIdentity.current.place ? "" : host.isEmpty ? " on another machine" : " on \(host)")
  }
}

/// How often a holder shows that it lives, and how long others wait for that. Seconds of the clock of whoever counts them.
struct LeaseTiming: Sendable {
  var renewal = 5.0
  var patience = 60.0

  static let variable = "PERIGEE_LEASE_SECONDS"

  /// Throws `EngineError` (`.argument`) where the environment says what is no time.
  static func current(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws -> LeaseTiming {
    guard let text = environment[variable], !text.isEmpty else { return LeaseTiming() }
    guard let seconds = Double(text), (1...86_400).contains(seconds) else {
      throw EngineError(
        .argument, "\(variable)=\(text): expected seconds from 1 to 86400",
        hint: "it is how long a process that shows no sign of life is waited for before its work is taken over; default 60")
    }
    return LeaseTiming(renewal: min(5, seconds / 6), patience: seconds)
  }
}
