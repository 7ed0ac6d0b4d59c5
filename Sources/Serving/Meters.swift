import Synchronization

/// What a server has counted.
final class Meters: Sendable {
  private struct Line: Hashable {
    let path: String
    let status: Int
  }

  private struct State {
    var requests: [Line: Int] = [:]
    var seconds: [String: Double] = [:]
    var tokens: [String: Int] = [:]
  }

  private let state = Mutex(State())

  func count(_ path: String, _ status: Status, seconds: Double) {
    state.withLock {
      $0.requests[Line(path: path, status: status.rawValue), default: 0] += 1
      $0.seconds[path, default: 0] += seconds
    }
  }

  /// `kind`: "prompt" or "completion".
  func count(tokens: Int, _ kind: String) { state.withLock { $0.tokens[kind, default: 0] += tokens } }

  /// In Prometheus' text format, with further values.
  func text(_ values: [(name: String, type: String, doc: String, value: Double)]) -> String {
    let state = state.withLock { $0 }
    func number(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? "\(value)" }
    func block(_ name: String, _ type: String, _ doc: String, _ lines: [(labels: String, value: Double)]) -> String {
      "# HELP perigee_\(name) \(doc)\n# TYPE perigee_\(name) \(type)\n"
        + lines.map { "perigee_\(name)\($0.labels.isEmpty ? "" : "{\($0.labels)}") \(number($0.value))\n" }.joined()
    }
    let requests = state.requests.sorted { ($0.key.path, $0.key.status) < ($1.key.path, $1.key.status) }
    return block(
      "requests_total", "counter", "Answered requests.",
      requests.map { ("path=\"\($0.key.path)\",status=\"\($0.key.status)\"", Double($0.value)) })
      + block(
        "request_seconds_total", "counter", "Time from a request's head to its answer.",
        state.seconds.sorted { $0.key < $1.key }.map { ("path=\"\($0.key)\"", $0.value) })
      + block(
        "tokens_total", "counter", "Tokens that were read and written.",
        state.tokens.sorted { $0.key < $1.key }.map { ("kind=\"\($0.key)\"", Double($0.value)) })
      + values.map { block($0.name, $0.type, $0.doc, [("", $0.value)]) }.joined()
  }
}
