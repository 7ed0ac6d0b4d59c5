import Diagnostics

/// The first part of a request: its line and its headers (RFC 9112).
struct RequestHead: Sendable, Equatable {
  var method: String
  /// Without the query.
  var path: String
  /// Names in small letters.
  var headers: [String: String]
  /// Whether the client speaks HTTP/1.0, which knows no chunks.
  var isOld: Bool

  /// Bytes of a head at most.
  static let mostBytes = 32 << 10

  /// Throws `RequestError` with status 400 for what is no head.
  init(_ bytes: some Collection<UInt8>) throws(RequestError) {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { $0.last == 0x0D ? $0.dropLast() : $0 }
    while lines.last?.isEmpty == true { lines.removeLast() }
    guard let first = lines.first, bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 || $0 == 0x0D || $0 == 0x0A }) else {
      throw .malformed("the request has no first line, or control characters in its head")
    }
    let words = first.split(separator: 0x20, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    guard words.count == 3, Self.isToken(words[0]) else {
      throw .malformed("the first line is '\(shortened(String(decoding: first, as: UTF8.self), limit: 60))', expected METHOD PATH HTTP/1.1")
    }
    guard ["HTTP/1.1", "HTTP/1.0"].contains(words[2]) else {
      throw .malformed("the protocol is '\(shortened(words[2], limit: 20))', expected HTTP/1.1")
    }
    (method, isOld) = (words[0], words[2] == "HTTP/1.0")
    let target = words[1].hasPrefix("http://") ? words[1].dropFirst(7).drop { $0 != "/" } : words[1][...]
    guard target.hasPrefix("/") else { throw .malformed("the path is '\(shortened(words[1], limit: 60))', expected one that begins with /") }
    path = String(target.prefix { $0 != "?" && $0 != "#" })
    headers = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: 0x3A, maxSplits: 1, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
      guard parts.count == 2, Self.isToken(parts[0]) else {
        throw .malformed("a header is '\(shortened(String(decoding: line, as: UTF8.self), limit: 60))', expected NAME: VALUE")
      }
      let (name, value) = (parts[0].lowercased(), Self.trimmed(parts[1]))
      // Whoever stands in front of the server may count only one of two lengths.
      guard headers[name] == nil || !["content-length", "transfer-encoding", "authorization"].contains(name) else {
        throw .malformed("the header '\(name)' is there twice")
      }
      headers[name] = headers[name].map { $0 + ", " + value } ?? value
    }
  }

  /// How the body ends.
  enum BodyLength: Equatable {
    case bytes(Int)
    case chunked
  }

  /// Throws `RequestError` with status 400 for lengths that contradict each other or are none.
  func bodyLength() throws(RequestError) -> BodyLength {
    if let coding = headers["transfer-encoding"] {
      guard headers["content-length"] == nil else { throw .malformed("Content-Length and Transfer-Encoding exclude each other") }
      guard coding.lowercased() == "chunked" else { throw .malformed("Transfer-Encoding is '\(shortened(coding, limit: 40))', expected chunked") }
      return .chunked
    }
    guard let text = headers["content-length"] else { return .bytes(0) }
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      throw .malformed("Content-Length is '\(shortened(text, limit: 40))', expected a number of bytes")
    }
    // What does not fit is too long in any case.
    return .bytes(Int(text) ?? .max)
  }

  /// Whether the client wants to ask more on this connection.
  var keepsAlive: Bool {
    let words = (headers["connection"] ?? "").lowercased().split(separator: ",").map(Self.trimmed)
    return isOld ? words.contains("keep-alive") : !words.contains("close")
  }

  private static func isToken(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { $0 < 0x80 && ($0 > 0x20 && !"\"(),/:;<=>?@[\\]{}".utf8.contains($0)) }
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    String(text.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
