import Diagnostics
import FlyingSocks
import Foundation
import Synchronization

/// Takes connections, and answers their requests one after the other with a function.
///
/// FlyingFox's sockets and event loop carry it. Its server is not used: that has no limit for heads and connections, ends when a
/// process has no descriptors left, and closes the connection of a malformed request without a word.
final class Listener: Sendable {
  /// How long a client may take for what, in seconds.
  struct Limits: Sendable {
    var idle = 75.0
    var head = 10.0
    var body = 30.0
    /// Bytes of a body at most.
    var bodyBytes = 8 << 20
    /// Connections at most; 0: as many as the process has descriptors for.
    var connections = 0
  }

  struct Request: Sendable {
    let head: RequestHead
    let body: [UInt8]
  }

  /// Answers a request. `body` reads it, so that a request can be refused by its head alone.
  typealias Handler = @Sendable (RequestHead, _ body: () async throws -> [UInt8]) async -> Reply

  private struct State {
    var connections: [ObjectIdentifier: Connection] = [:]
    var isStopping = false
    var tasks: [Task<Void, Never>] = []
  }

  private let socket: Socket
  private let pool: any AsyncSocketPool
  private let limits: Limits
  private let mostConnections: Int
  private let handler: Handler
  private let state = Mutex(State())

  /// Opens the port, 0 for any that is free. Throws `EngineError` (`.argument`) where that cannot be.
  init(host: String, port: UInt16, limits: Limits, handler: @escaping Handler) throws {
    (self.limits, self.handler) = (limits, handler)
    // A client that goes away while it is written to must end in an error instead of a signal.
    signal(SIGPIPE, SIG_IGN)
    mostConnections = limits.connections > 0 ? limits.connections : Self.descriptors() - 64
    pool = SocketPool.make()
    do {
      socket = try Self.socket(host, port)
    } catch {
      let words =
        if case .failed(_, let number, _) = error as? SocketError { number == 0 ? "no numeric address" : String(cString: strerror(number)) } else {
          "no numeric address"
        }
      throw EngineError(.argument, "--host \(host) --port \(port): \(words)", hint: "choose another port; 0 takes a free one")
    }
  }

  private static func socket(_ host: String, _ port: UInt16) throws -> Socket {
    let host = host == "localhost" ? "127.0.0.1" : host
    let address: any SocketAddress = try host.contains(":") ? .inet6(ip6: host, port: port) : .inet(ip4: host, port: port)
    let socket = try Socket(domain: Int32(address.family))
    do {
      try socket.setValue(true, for: .localAddressReuse)
      try bind(socket, to: address)
      try socket.listen()
    } catch {
      try? socket.close()
      throw error
    }
    return socket
  }

  private static func bind(_ socket: Socket, to address: some SocketAddress) throws { try socket.bind(to: address) }

  /// Takes as many descriptors as the process may have, and says how many these are.
  private static func descriptors() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    limit.rlim_cur = min(limit.rlim_max, 8192)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return max(128, Int(clamping: limit.rlim_cur))
  }

  /// "127.0.0.1:8000"
  var address: String {
    switch try? socket.sockname() {
    case .ip4(let host, let port): "\(host):\(port)"
    case .ip6(let host, let port): "[\(host)]:\(port)"
    default: "?"
    }
  }

  var connectionCount: Int { state.withLock { $0.connections.count } }

  /// Begins to take connections.
  func start() async throws {
    try await pool.prepare()
    let accepting = try AsyncSocket(socket: socket, pool: pool)
    let tasks: [Task<Void, Never>] = [
      Task { _ = try? await self.pool.run() },
      Task { await self.accept(accepting) },
      Task {
        while (try? await Task.sleep(for: .milliseconds(200))) != nil {
          let (now, all) = (ContinuousClock.now, self.state.withLock { Array($0.connections.values) })
          all.forEach { $0.checkDeadline(now) }
        }
      },
    ]
    state.withLock { $0.tasks = tasks }
  }

  /// Takes no more connections, and waits until what was asked is answered.
  ///
  /// - Parameter seconds: after which connections are ended nevertheless.
  func stop(seconds: Double) async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.tasks
    }
    tasks.dropFirst().first?.cancel()
    await tasks.dropFirst().first?.value
    try? socket.close()
    let end = ContinuousClock.now + .seconds(seconds)
    while connectionCount > 0 {
      let isLate = ContinuousClock.now > end
      for connection in state.withLock({ Array($0.connections.values) }) { isLate ? connection.end() : connection.endIfIdle() }
      if isLate, ContinuousClock.now > end + .seconds(2) { break }
      try? await Task.sleep(for: .milliseconds(20))
    }
    tasks.forEach { $0.cancel() }
    await tasks.first?.value
  }

  private func accept(_ accepting: AsyncSocket) async {
    while !Task.isCancelled {
      do {
        let connection = Connection(try await accepting.accept())
        let isFull = state.withLock { state in
          state.connections[ObjectIdentifier(connection)] = connection
          return state.connections.count > mostConnections
        }
        Task {
          if isFull {
            try? await RequestError.busy("\(mostConnections) connections are open already").reply.write(
              to: connection, isOld: false, hasBody: true, keepsAlive: false)
          } else {
            await serve(connection)
          }
          state.withLock { $0.connections[ObjectIdentifier(connection)] = nil }
          connection.close()
        }
      } catch is CancellationError {
        return
      } catch {
        // A client that went away, or no descriptor for it: the next one may have more luck.
        try? await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  private func serve(_ connection: Connection) async {
    var reader = RequestReader(connection)
    while !state.withLock({ $0.isStopping }) {
      connection.setIdle(true)
      do {
        guard let head = try await reader.head(idleSeconds: limits.idle, seconds: limits.head) else { return }
        connection.setIdle(false)
        guard try await answer(head, &reader, connection) else { return }
      } catch let error as RequestError {
        connection.setIdle(false)
        try? await error.reply.write(to: connection, isOld: false, hasBody: true, keepsAlive: false)
        return await drain(connection)
      } catch {
        return
      }
    }
  }

  /// Answers a request. Returns whether the connection takes another one.
  private func answer(_ head: RequestHead, _ reader: inout RequestReader, _ connection: Connection) async throws -> Bool {
    let body = BodyReader(reader, limit: limits.bodyBytes, seconds: limits.body, head: head)
    let reply = await handler(head) { try await body.read() }
    // What was refused by its head alone has a body that nobody has read.
    if let error = body.error { throw error }
    let isRead = try body.isRead || head.bodyLength() == .bytes(0)
    reader = body.reader
    connection.limitReading(seconds: nil)
    let keepsAlive = isRead && head.keepsAlive && !state.withLock { $0.isStopping }
    try await reply.write(to: connection, isOld: head.isOld, hasBody: head.method != "HEAD", keepsAlive: keepsAlive)
    if !isRead { await drain(connection) }
    return keepsAlive
  }

  /// Reads what a client still sends, and drops it: a connection that is closed before takes the answer with it.
  private func drain(_ connection: Connection) async {
    connection.endWriting()
    connection.limitReading(seconds: 10)
    while let bytes = try? await connection.read(), !bytes.isEmpty {}
  }
}

/// Reads a request's body when the handler asks for it. The connection's task alone uses it.
private final class BodyReader: @unchecked Sendable {
  private(set) var reader: RequestReader
  private(set) var isRead = false
  /// Why it could not be read, where that ends the connection.
  private(set) var error: RequestError?
  private let limit: Int
  private let seconds: Double
  private let head: RequestHead

  init(_ reader: RequestReader, limit: Int, seconds: Double, head: RequestHead) {
    (self.reader, self.limit, self.seconds, self.head) = (reader, limit, seconds, head)
  }

  func read() async throws -> [UInt8] {
    do {
      let body = try await reader.body(of: head, limit: limit, seconds: seconds)
      isRead = true
      return body
    } catch let failure as RequestError {
      error = failure
      throw failure
    }
  }
}
