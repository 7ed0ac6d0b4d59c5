import Diagnostics
import Files

/// What the server can be asked at one address. One file each, and one line in `EndpointCatalogue`.
protocol Endpoint: Sendable {
  var method: String { get }
  var path: String { get }
  /// Throws `RequestError`, or `EngineError` for a mistake in the request.
  func answer(_ question: Question, _ server: Server) async throws -> Reply
}

/// A request for an endpoint.
struct Question: Sendable {
  let head: RequestHead
  let body: [UInt8]

  /// The body as a record. What is null in it is not given, as for OpenAI.
  func record<Fields: Record>(_ type: Fields.Type = Fields.self) throws -> Fields {
    let source = "\(head.method) \(head.path)"
    let json = try JSONValue(parsing: body, source: source)
    guard case .object(let object) = json else { throw EngineError(.data, "\(source): expected an object, found \(json.kindName)") }
    return try Fields(json: .object(JSONObject(object.members.filter { $0.1 != .null }.map { ($0.0, $0.1) })), source: source)
  }
}

/// The endpoints of the server.
enum EndpointCatalogue {
  static let endpoints: [any Endpoint] = [
    HealthEndpoint(), ModelsEndpoint(), MetricsEndpoint(), PredictEndpoint(), ClassifyEndpoint(), DecisionsEndpoint(), EmbeddingsEndpoint(),
    CompletionsEndpoint(),
    ChatCompletionsEndpoint(),
  ]

  /// The one that a request is for. Throws `RequestError` with status 404 or 405.
  static func endpoint(_ head: RequestHead) throws(RequestError) -> any Endpoint {
    let path = head.path.count > 1 && head.path.hasSuffix("/") ? String(head.path.dropLast()) : head.path
    guard let endpoint = endpoints.first(where: { $0.path == path }) else {
      let names = endpoints.map { "\($0.method) \($0.path)" }.joined(separator: ", ")
      throw RequestError(
        .notFound, "no path '\(shortened(path, limit: 60))'",
        hint: nearestName(to: path, among: endpoints.map(\.path)).map { "did you mean \($0)? There are \(names)" } ?? "there are \(names)")
    }
    guard head.method == endpoint.method || head.method == "HEAD" && endpoint.method == "GET" else {
      var error = RequestError(.methodNotAllowed, "\(endpoint.path) takes \(endpoint.method), not \(shortened(head.method, limit: 20))")
      error.headers = [("Allow", endpoint.method)]
      throw error
    }
    return endpoint
  }
}
