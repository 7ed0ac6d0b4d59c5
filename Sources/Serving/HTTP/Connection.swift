import Diagnostics
import FlyingSocks
import Foundation
import Synchronization

/// A client's connection, and what it may take its time for.
///
/// Its own task alone reads, writes and closes. Whoever watches the deadlines only ends the stream of bytes, upon which that task finds
/// its end.
final class Connection: Sendable {
  private struct State {
    var deadline: ContinuousClock.Instant?
    var endsWriting = false
    var isIdle = true
    var isLate = false
    var isClosed = false
  }

  private let socket: AsyncSocket
  private let state = Mutex(State())

  init(_ socket: AsyncSocket) {
    self.socket = socket
    // Answers are written in one piece, or in pieces that somebody waits for.
    var on: Int32 = 1
    setsockopt(socket.socket.file.rawValue, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Whether a deadline went by.
  var isLate: Bool { state.withLock { $0.isLate } }

  /// What follows has to be read within some time; nil: may take any time.
  func limitReading(seconds: Double?) {
    state.withLock { ($0.deadline, $0.endsWriting) = (seconds.map { .now + .seconds($0) }, false) }
  }

  /// Marks whether the client has asked something that is not answered yet.
  func setIdle(_ isIdle: Bool) { state.withLock { $0.isIdle = isIdle } }

  /// Some bytes. Throws where the client has sent its last one, or is late.
  func read() async throws -> [UInt8] { try await socket.read(atMost: 64 << 10) }

  /// Writes everything, in pieces each of which has to go within some time.
  func write(_ bytes: [UInt8], secondsPerPiece: Double = 30) async throws {
    for start in stride(from: 0, to: bytes.count, by: 64 << 10) {
      state.withLock { ($0.deadline, $0.endsWriting) = (.now + .seconds(secondsPerPiece), true) }
      try await socket.write(Data(bytes[start..<min(start + 64 << 10, bytes.count)]))
    }
    state.withLock { $0.deadline = nil }
  }

  /// Ends the stream of bytes where a deadline went by.
  func checkDeadline(_ now: ContinuousClock.Instant) {
    state.withLock { state in
      guard let deadline = state.deadline, deadline < now else { return }
      (state.deadline, state.isLate) = (nil, true)
      Self.end(state.endsWriting ? SHUT_RDWR : SHUT_RD, socket, state)
    }
  }

  /// Ends a connection on which nothing is asked.
  func endIfIdle() { state.withLock { if $0.isIdle { Self.end(SHUT_RD, socket, $0) } } }

  /// Ends it, whatever goes on.
  func end() { state.withLock { Self.end(SHUT_RDWR, socket, $0) } }

  /// Tells the client that nothing more comes.
  func endWriting() { state.withLock { Self.end(SHUT_WR, socket, $0) } }

  func close() {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.isClosed = true
      try? socket.close()
    }
  }

  /// The descriptor's number can be another connection's once it is closed.
  private static func end(_ what: Int, _ socket: AsyncSocket, _ state: State) {
    if !state.isClosed { shutdown(socket.socket.file.rawValue, Int32(what)) }
  }
}
