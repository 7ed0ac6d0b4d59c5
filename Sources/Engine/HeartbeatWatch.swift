import Diagnostics
import Foundation

/// How long a process that gives no sign of life is waited for.
struct HeartbeatTiming: Equatable {
  /// Seconds; 0: it is never said to hang.
  var patience = 20.0

  static let variable = "PERIGEE_HANG_SECONDS"

  /// Seconds from one sign of life to the next.
  var interval: Double { max(0.05, min(1, patience / 10)) }

  /// Throws `EngineError` (`.argument`) where the environment says what is no time.
  static func current(_ environment: [String: String]) throws -> HeartbeatTiming {
    guard let text = environment[variable], !text.isEmpty else { return HeartbeatTiming() }
    guard let seconds = Double(text), seconds == 0 || (1...86_400).contains(seconds) else {
      throw EngineError(
        .argument, "\(variable)=\(text): expected seconds from 1 to 86400, or 0",
        hint: "it is how long a process of a joint training may give no sign of life before all end; default 20; 0: for ever")
    }
    return HeartbeatTiming(patience: seconds)
  }
}

/// What a process says of itself with a sign of life.
struct HeartbeatReport: Equatable {
  /// How often its training has begun or ended to wait for the others.
  var waits: UInt64 = 0
  /// Where it waits, or has waited last, in words.
  var place = ""
  /// Whether a debugger holds it, which may stop it for as long as it likes.
  var isTraced = false

  /// Whether it waits for the others now.
  var isWaiting: Bool { waits % 2 == 1 }
}

/// Judges from signs of life which of several processes hangs. Times are seconds of one clock, which this process alone reads.
///
/// A process hangs where nothing at all is heard of it: how long it computes does not matter. Nothing is said of a process that was never
/// heard, that has left, or that a debugger holds.
struct HeartbeatWatch {
  struct Peer {
    /// nil: not yet.
    var heard: Double?
    var report = HeartbeatReport()
    /// Since when it reports the same number of waits.
    var since = 0.0
    var hasLeft = false
  }

  let rank: Int
  let timing: HeartbeatTiming
  private(set) var peers: [Peer]
  private var lastLook: Double?

  init(rank: Int, count: Int, _ timing: HeartbeatTiming) {
    (self.rank, self.timing) = (rank, timing)
    peers = [Peer](repeating: Peer(), count: count)
  }

  mutating func hear(_ other: Int, _ report: HeartbeatReport, at now: Double) {
    if peers[other].heard == nil || peers[other].report.waits != report.waits { peers[other].since = now }
    (peers[other].heard, peers[other].report) = (now, report)
  }

  /// Takes a process that is known to be held for one that was heard now: it needs some time to be heard when it is let go.
  mutating func excuse(_ other: Int, at now: Double) { peers[other].heard = now }

  mutating func leaves(_ other: Int) { peers[other].hasLeft = true }

  /// Has to be called at least once in every interval, with this process's own report.
  mutating func look(_ own: HeartbeatReport, at now: Double) {
    // A process that stood still itself has heard nobody meanwhile, and listens anew.
    if let lastLook, now - lastLook > timing.patience / 2 {
      for i in peers.indices where peers[i].heard != nil { (peers[i].heard, peers[i].since) = (now, now) }
    }
    lastLook = now
    hear(rank, own, at: now)
  }

  /// Processes that nobody hears, for `seconds`.
  private func silent(for seconds: Double, at now: Double) -> [Int] {
    peers.indices.filter { i in
      guard i != rank, let heard = peers[i].heard, !peers[i].hasLeft, !peers[i].report.isTraced else { return false }
      return now - heard >= seconds
    }
  }

  /// Processes that hang, and were heard before; empty: none.
  func hanging(at now: Double) -> [Int] {
    guard timing.patience > 0, !silent(for: timing.patience, at: now).isEmpty else { return [] }
    // One whose last sign of life came a little later is no other case.
    return silent(for: timing.patience - 3 * timing.interval, at: now)
  }

  /// Whether all wait for each other, and have for so long that nothing can be on its way any more: the network of the training is another
  /// than that of the signs of life.
  func isStuck(at now: Double) -> Bool {
    guard timing.patience > 0, peers.count > 1 else { return false }
    return peers.allSatisfy { $0.heard != nil && !$0.hasLeft && $0.report.isWaiting && now - $0.since >= 10 * timing.patience }
  }

  /// Those that are heard, this one with them: the first of them tells the user what happened.
  func living(at now: Double) -> [Int] {
    peers.indices.filter { i in i == rank || !peers[i].hasLeft && peers[i].heard.map { now - $0 < 4 * timing.interval } ?? false }
  }

  /// What those did that live, in words: "process 1 waited for it in an update; process 3 computed".
  func deeds(at now: Double) -> String {
    var places: [(deed: String, ranks: [Int])] = []
    for i in living(at: now) {
      let report = peers[i].report
      let deed = report.isWaiting ? "waited at \(report.place.isEmpty ? "the start" : report.place)" : "computed"
      if let known = places.firstIndex(where: { $0.deed == deed }) { places[known].ranks.append(i) } else { places.append((deed, [i])) }
    }
    return places.map { "\(Self.names($0.ranks)) \($0.deed)" }.joined(separator: ", ")
  }

  /// "process 2", "processes 2, 3 and 4", "processes 2, 3 and 14 more".
  static func names(_ ranks: [Int]) -> String {
    let numbers = ranks.map { String($0 + 1) }
    guard numbers.count > 1 else { return "process \(numbers.first ?? "?")" }
    if numbers.count > 8 { return "processes \(numbers.prefix(6).joined(separator: ", ")) and \(numbers.count - 6) more" }
    return "processes \(numbers.dropLast().joined(separator: ", ")) and \(numbers[numbers.count - 1])"
  }
}
