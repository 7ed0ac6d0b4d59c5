import Diagnostics
import Files
import Foundation
import Synchronization

/// What a server may do.
public struct ServerOptions: Sendable {
  /// The address to listen at; others than loopback need a token.
  public var host = "127.0.0.1"
  /// 0: any that is free.
  public var port: UInt16 = 8000
  /// What requests have to show; nil: nothing.
  public var token: String?
  /// Bytes of a request's body at most.
  public var maxBody = 8 << 20
  /// Requests that wait at most.
  public var maxQueue = 2048
  /// Seconds until a request's answer at most.
  public var requestTimeout = 300.0
  /// Tokens of a text at most, for heads.
  public var maxLength = 128
  /// Of draws, where a request has none.
  public var seed = 42
  /// Takes a line about each request; nil: nobody wants them.
  public var log: (@Sendable (String) -> Void)?

  public init() {}

  /// Throws `EngineError` (`.argument`) for an address that others can reach without a token.
  func check() throws {
    let isLoopback = host == "localhost" || host == "::1" || host.hasPrefix("127.")
    guard isLoopback || token != nil else {
      throw EngineError(
        .argument, "--host \(host): others could use the server, and no token keeps them out",
        hint: "give --token, or set PERIGEE_SERVE_TOKEN")
    }
    guard token.map({ !$0.isEmpty && $0.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } }) ?? true else {
      throw EngineError(.argument, "--token: expected letters, digits and signs of ASCII, without spaces")
    }
  }
}

/// Answers requests with models.
final class Server: Sendable {
  let models: ServedModels
  let options: ServerOptions
  let thread: ModelThread
  let meters = Meters()
  let deadlines = Deadlines()
  /// When it began.
  let created = Int(Date().timeIntervalSince1970)
  private let limits: Listener.Limits
  private let listener = Mutex<Listener?>(nil)
  private let watch = Mutex<Task<Void, Never>?>(nil)

  init(_ models: ServedModels, _ options: ServerOptions, limits: Listener.Limits = Listener.Limits()) throws {
    try options.check()
    (self.models, self.options, self.limits) = (models, options, limits)
    thread = ModelThread(mostWaiting: options.maxQueue)
  }

  var connectionCount: Int { listener.withLock { $0 }?.connectionCount ?? 0 }

  /// Begins to answer. Returns the address.
  func start() async throws -> String {
    var limits = limits
    limits.bodyBytes = options.maxBody
    let listener = try Listener(host: options.host, port: options.port, limits: limits) { [self] head, body in await reply(head, body) }
    self.listener.withLock { $0 = listener }
    thread.start()
    watch.withLock { $0 = Task { [deadlines] in await deadlines.run() } }
    try await listener.start()
    return listener.address
  }

  /// Answers what was asked already, and ends.
  func stop() async {
    await listener.withLock { $0 }?.stop(seconds: options.requestTimeout)
    watch.withLock { $0 }?.cancel()
    await withCheckedContinuation { continuation in
      Thread { [thread] in
        thread.stop()
        continuation.resume()
      }.start()
    }
  }

  private func reply(_ head: RequestHead, _ body: () async throws -> [UInt8]) async -> Reply {
    let start = ContinuousClock.now
    let reply: Reply
    // Nobody's invention becomes a name that is kept.
    let path = EndpointCatalogue.endpoints.first { $0.path == head.path }?.path ?? "other"
    do {
      try authorize(head)
      let endpoint = try EndpointCatalogue.endpoint(head)
      reply = try await endpoint.answer(Question(head: head, body: try await body()), self)
    } catch {
      reply = RequestError(error).reply
    }
    let seconds = start.duration(to: .now).seconds
    meters.count(path, reply.status, seconds: seconds)
    options.log?(String(format: "%@ %@ %d %.1f ms", head.method, shortened(head.path, limit: 80).inOneLine, reply.status.rawValue, 1e3 * seconds))
    return reply
  }

  /// Throws `RequestError` with status 401 where the token is missing or another one.
  private func authorize(_ head: RequestHead) throws(RequestError) {
    guard let token = options.token else { return }
    let given = head.headers["authorization"] ?? ""
    guard given.lowercased().hasPrefix("bearer "), Self.isEqual(String(given.dropFirst(7)), token) else {
      var error = RequestError(.unauthorized, "the token is missing or wrong", hint: "send 'Authorization: Bearer TOKEN'")
      error.headers = [("WWW-Authenticate", "Bearer")]
      throw error
    }
  }

  /// Takes the same time wherever the texts differ, so that nobody can guess a token letter by letter.
  private static func isEqual(_ given: String, _ token: String) -> Bool {
    let (a, b) = (Array(given.utf8), Array(token.utf8))
    var difference = a.count ^ b.count
    for i in b.indices { difference |= Int((a.isEmpty ? 0 : a[i % a.count]) ^ b[i]) }
    return difference == 0
  }
}
