import Foundation
import TensorCore

/// What the system knows about this process.
public enum ProcessFacts {
  /// Seconds since the process was started, to a hundredth; where the system does not tell, since the first call.
  public static func secondsSinceStart() -> Double {
    let firstCall = Self.firstCall
    #if os(Linux)
      var now = timespec()
      if let ticks = startTicks(), clock_gettime(CLOCK_BOOTTIME, &now) == 0 {
        let start = Double(ticks) / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        return max(0, Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9 - start)
      }
    #endif
    return firstCall.duration(to: .now).seconds
  }

  private static let firstCall = ContinuousClock.now

  /// When the process started, in clock ticks since the machine did: field 22 of `/proc/self/stat`.
  private static func startTicks() -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
      // The second field is the program's name in parentheses, which may hold anything.
      let close = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[text.index(after: close)...].split(separator: " ")
    return fields.count > 19 ? Int(fields[19]) : nil
  }

  /// The most memory that the process had resident, in bytes; 0 where the system does not tell.
  public static func peakResidentBytes() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    let kilobytes = line?.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.first
    return (kilobytes ?? 0) * 1024
  }
}
