import Diagnostics
import Files

/// Why a request gets no answer, in the words of the one who sent it.
struct RequestError: Error, Sendable {
  var status: Status
  var message: String
  /// OpenAI's word for it, where there is one.
  var code: String?
  var headers: [(name: String, value: String)] = []
  /// Whether bytes that belong to the request may be left in the connection.
  var endsConnection = false

  init(_ status: Status, _ message: String, hint: String? = nil) {
    (self.status, self.message) = (status, hint.map { "\(message); \($0)" } ?? message)
    endsConnection = [.requestTimeout, .tooLarge, .headersTooLarge].contains(status)
  }

  /// An error from elsewhere. What the engine calls a mistake of arguments or data is the client's: nothing else goes into a request.
  init(_ error: any Error) {
    switch error {
    case let error as RequestError: self = error
    case let error as EngineError where [.argument, .data, .shape].contains(error.kind): self.init(.badRequest, error.description)
    default: self.init(.internalError, "\(error)".inOneLine)
    }
  }

  static func malformed(_ message: String) -> RequestError {
    var error = RequestError(.badRequest, message)
    error.endsConnection = true
    return error
  }

  static func late(_ seconds: Double) -> RequestError {
    RequestError(.requestTimeout, "the request did not come within \(Int(seconds)) seconds")
  }

  static func tooLarge(_ limit: Int) -> RequestError {
    RequestError(.tooLarge, "the body has more than \(limit) bytes", hint: "send less at a time; --max-body sets the limit")
  }

  static func busy(_ what: String) -> RequestError {
    var error = RequestError(.unavailable, what, hint: "try again later")
    error.headers = [("Retry-After", "1")]
    return error
  }

  /// In OpenAI's shape.
  var json: JSONValue {
    let type =
      switch status {
      case .unauthorized: "authentication_error"
      case .notFound, .methodNotAllowed: "not_found_error"
      case .unavailable, .gatewayTimeout: "overloaded_error"
      case .internalError: "server_error"
      default: "invalid_request_error"
      }
    return ["error": ["message": .string(message), "type": .string(type), "param": .null, "code": code.map { .string($0) } ?? .null]]
  }

  var reply: Reply {
    var reply = Reply(json, status: status)
    reply.headers = headers
    return reply
  }
}
