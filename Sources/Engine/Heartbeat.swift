import CMPI
import Diagnostics
import Files
import Foundation
import Synchronization
import Training

/// A thread that tells the other processes that this one lives, and hears whether they do, by datagrams beside MPI, which would wait for ever.
/// Where a process hangs (see `HeartbeatWatch`) or does not come back from the system's core, it ends all.
///
/// Every process sends to every other: so it is known which one is missing, whoever that is, and which network is cut.
final class Heartbeat: @unchecked Sendable {
  private let rank: Int
  private let timing: HeartbeatTiming
  private let members: [Member]
  /// The run's, by which datagrams of others are known to be none of its.
  private let token: String
  private let socket: Int32
  private let ownThread = OwnThread()
  private let state: Mutex<State>
  private let hasEnded = Atomic<Bool>(false)

  private struct State {
    var watch: HeartbeatWatch
    var place = ""
    /// The address from which each was heard last.
    var addresses: [UInt32?]
    var isLeaving = false
  }

  /// Where a process is found.
  private struct Member {
    var addresses: [UInt32]
    var port: UInt16
    /// The process, in words: "process 4711 on node7".
    var words: String
    var process: Int32
    /// Where its number counts.
    var place: String
  }

  /// Where the training has come to, in words.
  var place: String {
    get { state.withLock { $0.place } }
    set { state.withLock { $0.place = newValue } }
  }

  /// Starts the thread in all processes, which have to come here together; nil: where the first process wants none.
  static func start(_ timing: HeartbeatTiming, _ group: MPIProcessGroup) throws -> Heartbeat? {
    guard group.count > 1 else { return nil }
    var port: UInt16 = 0
    let socket = cm_socket(&port)
    var addresses = [UInt32](repeating: 0, count: 64)
    addresses.removeLast(addresses.count - cm_addresses(&addresses, addresses.count))
    let own = ProcessIdentity.current
    let told = try group.all(
      "the start of the run",
      [
        "patience": .double(timing.patience), "token": .string(String(UInt64.random(in: .min ... .max), radix: 36)), "port": .int(Int(port)),
        "addresses": .array(addresses.map { .int(Int($0)) }), "process": .int(Int(own.number)), "place": .string(own.place),
        "host": .string(ProcessIdentity.host),
      ])
    let shared = HeartbeatTiming(patience: told[0]["patience"]?.doubleValue ?? 0)
    guard shared.patience > 0 else {
      if socket >= 0 { Foundation.close(socket) }
      return nil
    }
    let members = told.map { value in
      let process = value["process"]?.intValue ?? 0
      return Member(
        addresses: (value["addresses"]?.arrayValue ?? []).compactMap { $0.intValue.map { UInt32(truncatingIfNeeded: $0) } },
        port: UInt16(truncatingIfNeeded: value["port"]?.intValue ?? 0), words: "process \(process) on \(value["host"]?.stringValue ?? "?")",
        process: Int32(truncatingIfNeeded: process), place: value["place"]?.stringValue ?? "")
    }
    let heartbeat = Heartbeat(group, shared, members, token: told[0]["token"]?.stringValue ?? "", socket)
    try heartbeat.begin(group)
    return heartbeat
  }

  private init(_ group: MPIProcessGroup, _ timing: HeartbeatTiming, _ members: [Member], token: String, _ socket: Int32) {
    (rank, self.timing, self.members, self.token, self.socket) = (group.rank, timing, members, token, socket)
    let watch = HeartbeatWatch(rank: group.rank, count: group.count, timing)
    state = Mutex(State(watch: watch, addresses: [UInt32?](repeating: nil, count: group.count)))
  }

  /// Begins to beat, and says whom it does not hear: nobody would notice that these hang.
  private func begin(_ group: MPIProcessGroup) throws {
    let thread = Thread { [self] in run() }
    thread.name = "heartbeat"
    thread.start()
    var missing: [Int] { state.withLock { state in members.indices.filter { $0 != rank && state.watch.peers[$0].heard == nil } } }
    for _ in 0..<60 where !missing.isEmpty { usleep(50_000) }
    let unheard = try group.all("the first signs of life", .array(missing.map { .int($0) }))
    guard rank == 0, let deaf = unheard.firstIndex(where: { !($0.arrayValue ?? []).isEmpty }) else { return }
    let silent = HeartbeatWatch.names((unheard[deaf].arrayValue ?? []).compactMap(\.intValue))
    StandardError.write(
      "warning: process \(deaf + 1) does not hear \(silent) (UDP, any port): nobody would notice that one of these hangs, and the launcher's time "
        + "limit has to end it\n")
  }

  /// Nobody is told any more that this process lives: the others know that its work is done.
  func leave() { state.withLock { $0.isLeaving = true } }

  /// MPI is left behind, too.
  func end() { hasEnded.store(true, ordering: .relaxed) }

  private static func now() -> Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }

  // MARK: The thread

  private func run() {
    var next = 0.0
    while true {
      let now = Self.now()
      if now >= next {
        let isHeardByAll = beat(at: now)
        // Only what was looked at just now tells anything: this process may have stood still in between.
        judge(at: now)
        // The first ones come quickly, because all wait for them.
        next = now + (isHeardByAll ? timing.interval : min(0.05, timing.interval))
      }
      receive(for: max(0.001, next - Self.now()))
      if state.withLock({ $0.isLeaving }) { return takeLeave() }
    }
  }

  /// Sends a sign of life. Returns whether all others were heard, or are not to be expected any more.
  private func beat(at now: Double) -> Bool {
    var report = HeartbeatReport(waits: cm_waits(), isTraced: OwnThread.isTraced(getpid()))
    ownThread.look(at: now, mostGap: timing.patience / 2)
    let addresses: [[UInt32]] = state.withLock { state in
      report.place = state.place
      state.watch.look(report, at: now)
      return members.indices.map { i in
        // Where it was heard, it is reached; all ways are tried again when nothing is heard for some time.
        guard let known = state.addresses[i], let heard = state.watch.peers[i].heard, now - heard < 3 * timing.interval else {
          return members[i].addresses
        }
        return [known]
      }
    }
    send(
      [
        "kind": "beat", "waits": .string(String(report.waits)), "place": .string(shortened(report.place, limit: 200)),
        "traced": .bool(report.isTraced),
      ], addresses)
    return state.withLock { state in members.indices.allSatisfy { $0 == rank || state.watch.peers[$0].heard != nil } } || now - began > 5
  }

  private lazy var began = Self.now()

  private func send(_ message: JSONObject, _ addresses: [[UInt32]]? = nil) {
    var message = message
    message["run"] = .string(token)
    message["rank"] = .int(rank)
    let bytes = Array(JSONValue.object(message).encoded(.line).utf8)
    for (i, member) in members.enumerated() where i != rank && member.port != 0 {
      for address in addresses?[i] ?? member.addresses { cm_send(socket, address, member.port, bytes, bytes.count) }
    }
  }

  /// Hears whoever speaks, for so many seconds at most.
  private func receive(for seconds: Double) {
    var bytes = [UInt8](repeating: 0, count: 2048)
    var address: UInt32 = 0
    let size = cm_receive(socket, Int32((seconds * 1000).rounded(.up)), &bytes, bytes.count, &address)
    if socket < 0 { usleep(UInt32(seconds * 1e6)) }
    guard size > 0, let message = try? JSONValue(parsing: Array(bytes[..<Int(size)]), source: "a sign of life").objectValue,
      message["run"]?.stringValue == token, let other = message["rank"]?.intValue, members.indices.contains(other), other != rank
    else { return }
    switch message["kind"]?.stringValue {
    case "end": finish(message["text"]?.stringValue ?? "", isTeller: message["teller"]?.intValue == rank)
    case "left": state.withLock { $0.watch.leaves(other) }
    default:
      let report = HeartbeatReport(
        waits: message["waits"]?.stringValue.flatMap { UInt64($0) } ?? 0, place: message["place"]?.stringValue ?? "",
        isTraced: message["traced"]?.boolValue ?? false)
      state.withLock { state in
        state.watch.hear(other, report, at: Self.now())
        state.addresses[other] = address
      }
    }
  }

  /// Ends all where something is wrong.
  private func judge(at now: Double) {
    var watch = state.withLock { $0.watch }
    for other in watch.hanging(at: now) where isHeldHere(members[other]) {
      watch.excuse(other, at: now)
      state.withLock { $0.watch.excuse(other, at: now) }
    }
    let seconds = String(format: "%g s", timing.patience)
    let hint = "; the same command with --resume goes on from the last saved state; \(HeartbeatTiming.variable) sets another time"
    let hanging = watch.hanging(at: now)
    var text: String?
    if !hanging.isEmpty {
      let words = hanging.prefix(4).map { members[$0].words }.joined(separator: ", ")
      text =
        "\(HeartbeatWatch.names(hanging)) of \(members.count) (\(words)) gave no sign of life for \(seconds), while \(watch.deeds(at: now)): it was "
        + "stopped, its machine is down, or the network to it is cut"
    } else if ownThread.isStuck(for: timing.patience, at: now) {
      text =
        "process \(rank + 1) of \(members.count) (\(members[rank].words)) has waited for \(seconds) in the system's core, as for a file system that does "
        + "not answer"
    } else if watch.isStuck(at: now) {
      text =
        "all \(members.count) processes have waited for each other for \(String(format: "%g s", 10 * timing.patience)) at "
        + "\(watch.peers[rank].report.place), and all live: the network that MPI uses does not carry what they send"
    }
    guard let text else { return }
    // One that is woken again to be ended must not think that it is the one.
    let teller = watch.living(at: now)[0]
    for _ in 0..<3 { send(["kind": "end", "text": .string(text + hint), "teller": .int(teller)]) }
    finish(text + hint, isTeller: teller == rank)
  }

  /// Whether a debugger holds a silent process of this machine.
  private func isHeldHere(_ member: Member) -> Bool { member.place == members[rank].place && OwnThread.isTraced(member.process) }

  /// Ends this process; one of those that live, the teller, says why, and ends the others as far as MPI reaches them.
  private func finish(_ text: String, isTeller: Bool) -> Never {
    cm_park()
    if isTeller { MPIProcessGroup.abort(text) }
    sleep(4)
    _exit(1)
  }

  /// Says farewell, and stays only for the case that MPI's own farewell does not come to its end.
  private func takeLeave() {
    for _ in 0..<3 { send(["kind": "left"]) }
    if socket >= 0 { Foundation.close(socket) }
    let end = Self.now() + timing.patience
    while !hasEnded.load(ordering: .relaxed) {
      usleep(100_000)
      guard Self.now() >= end else { continue }
      if rank == 0 { StandardError.write("perigee: error: the run is done, and the processes do not come apart: the network between them is cut\n") }
      _exit(1)
    }
  }
}
