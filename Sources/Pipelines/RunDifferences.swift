import Diagnostics
import Files

/// In what a command differs from the one that a run directory belongs to, each difference in words.
enum RunDifferences {
  /// Between two texts of a script or a file that it required.
  static func between(_ stored: String, _ text: String, name: String) -> [String] {
    if stored == text { return [] }
    let lines = [stored, text].map { $0.split(separator: "\n", omittingEmptySubsequences: false) }
    let first = zip(lines[0], lines[1]).prefix { $0 == $1 }.count + 1
    return ["\(name) is another from line \(first) on"]
  }

  static func between(_ stored: Invocation, _ invocation: Invocation) -> [String] {
    func difference(_ name: String, _ there: some Equatable & CustomStringConvertible, _ here: some Equatable & CustomStringConvertible) -> [String] {
      "\(there)" == "\(here)" ? [] : ["\(name) = \(there) there, \(here) here"]
    }
    return difference("version", stored.version, invocation.version) + difference("seed", stored.seed, invocation.seed)
      + difference("precision", stored.precision.rawValue, invocation.precision.rawValue)
  }

  /// Between the values of a script's parameters.
  static func between(_ stored: JSONObject, _ values: JSONObject) -> [String] {
    func words(_ value: JSONValue?) -> String { value?.excerpt() ?? "none" }
    let names = stored.keys + values.keys.filter { stored[$0] == nil }
    return names.filter { stored[$0] != values[$0] }.map { "\($0) = \(words(stored[$0])) there, \(words(values[$0])) here" }
  }
}
