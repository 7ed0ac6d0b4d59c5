import Foundation

extension FilePath {
  /// The path with the home folder in place of a "~" at its beginning, where no shell has seen to that: in the environment, behind
  /// an option's "=".
  public static func expandHome(
    _ path: String, _ environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> String {
    guard path == "~" || path.hasPrefix("~/") else { return path }
    return (environment["HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory()) + path.dropFirst()
  }
}
