import Files

/// What a server's answer says at its beginning.
enum Status: Int, Sendable {
  case ok = 200
  case badRequest = 400
  case unauthorized = 401
  case notFound = 404
  case methodNotAllowed = 405
  case requestTimeout = 408
  case tooLarge = 413
  case headersTooLarge = 431
  case internalError = 500
  case unavailable = 503
  case gatewayTimeout = 504

  var phrase: String {
    switch self {
    case .ok: "OK"
    case .badRequest: "Bad Request"
    case .unauthorized: "Unauthorized"
    case .notFound: "Not Found"
    case .methodNotAllowed: "Method Not Allowed"
    case .requestTimeout: "Request Timeout"
    case .tooLarge: "Content Too Large"
    case .headersTooLarge: "Request Header Fields Too Large"
    case .internalError: "Internal Server Error"
    case .unavailable: "Service Unavailable"
    case .gatewayTimeout: "Gateway Timeout"
    }
  }
}

/// An answer.
struct Reply: Sendable {
  /// Pieces of an answer that grows: `data:` lines of server-sent events.
  typealias Events = AsyncThrowingStream<String, any Error>

  enum Body: Sendable {
    case text(String, type: String)
    /// Written as they come.
    case events(first: String, rest: Events)
  }

  var status = Status.ok
  var headers: [(name: String, value: String)] = []
  var body: Body

  /// JSON, numbers with all their digits.
  init(_ json: JSONValue, status: Status = .ok) {
    (self.status, body) = (status, .text(json.encoded(.line) + "\n", type: "application/json"))
  }

  init(text: String, type: String) { body = .text(text, type: type) }

  /// Events of which the first one is there: what goes wrong before is an answer with a status of its own.
  init(_ events: Events) async throws {
    var iterator = events.makeAsyncIterator()
    body = .events(first: try await iterator.next() ?? "", rest: events)
  }

  /// Writes it. Throws where the client takes it too slowly, or went away.
  func write(to connection: Connection, isOld: Bool, hasBody: Bool, keepsAlive: Bool) async throws {
    var lines = ["HTTP/1.1 \(status.rawValue) \(status.phrase)"] + headers.map { "\($0.name): \($0.value)" }
    lines.append("Connection: " + (keepsAlive ? "keep-alive" : "close"))
    switch body {
    case .text(let text, let type):
      lines += ["Content-Type: \(type)", "Content-Length: \(text.utf8.count)", "", hasBody ? text : ""]
      try await connection.write(Array(lines.joined(separator: "\r\n").utf8))
    case .events(let first, let events):
      var rest = events.makeAsyncIterator()
      lines += ["Content-Type: text/event-stream", "Cache-Control: no-cache"] + (isOld ? [] : ["Transfer-Encoding: chunked"]) + ["", ""]
      try await connection.write(Array(lines.joined(separator: "\r\n").utf8))
      var next: String? = first
      while let event = next {
        try await connection.write(Self.piece(event, isOld: isOld))
        do { next = try await rest.next() } catch {
          // The status has gone out already.
          try await connection.write(Self.piece("data: " + RequestError(error).json.encoded(.line) + "\n\n", isOld: isOld))
          next = nil
        }
      }
      if !isOld { try await connection.write(Array("0\r\n\r\n".utf8)) }
    }
  }

  private static func piece(_ text: String, isOld: Bool) -> [UInt8] {
    // A chunk of no bytes would end the answer.
    if isOld || text.isEmpty { return Array(text.utf8) }
    return Array("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n".utf8)
  }
}
