import Files
import Foundation
import Testing

/// A client that writes bytes as they are, and reads what comes back.
final class TestClient: @unchecked Sendable {
  private let descriptor: Int32

  /// `address`: "127.0.0.1:8000"
  init(_ address: String) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard let port = address.split(separator: ":").last.flatMap({ UInt16($0) }) else { throw NoAnswer() }
    var place = sockaddr_in()
    (place.sin_family, place.sin_port, place.sin_addr.s_addr) = (sa_family_t(AF_INET), port.bigEndian, UInt32(0x7F00_0001).bigEndian)
    let result = withUnsafePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard result == 0 else { throw NoAnswer() }
    var limit = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  /// Whether the server took the bytes.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Everything until the server closes, or 20 seconds pass.
  func rest() -> String {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count <= 0 { return String(decoding: all, as: UTF8.self) }
      all += buffer[..<count]
    }
  }

  /// One answer with a length on a connection that stays open.
  func answer() -> Answer? {
    var all: [UInt8] = []
    var byte: UInt8 = 0
    while !all.suffix(4).elementsEqual([13, 10, 13, 10]) {
      guard recv(descriptor, &byte, 1, 0) == 1 else { return nil }
      all.append(byte)
    }
    let head = String(decoding: all, as: UTF8.self)
    let length = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
    for _ in 0..<length where recv(descriptor, &byte, 1, 0) == 1 { all.append(byte) }
    return Answer(String(decoding: all, as: UTF8.self))
  }
}

/// The server does not listen, or closed the connection without a word.
struct NoAnswer: Error {}

/// What a server said.
struct Answer: Sendable {
  let status: Int
  let head: String
  let body: String

  init?(_ text: String) {
    guard let end = text.range(of: "\r\n\r\n"), let status = Int(text.dropFirst(9).prefix(3)), text.hasPrefix("HTTP/1.1 ") else { return nil }
    (self.status, head, body) = (status, String(text[..<end.lowerBound]), String(text[end.upperBound...]))
  }

  var json: JSONValue? { try? JSONValue(parsing: body, source: "answer") }
  var message: String { json?["error"]?["message"]?.stringValue ?? body }
}

/// Does blocking work away from the few threads that the server's own tasks run on.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread { continuation.resume(with: Result { try body() }) }.start()
  }
}

/// Asks once on a connection of its own.
func ask(
  _ address: String, _ method: String, _ path: String, _ body: String = "", headers: [String] = []
) async throws -> Answer {
  try await blocking {
    let client = try TestClient(address)
    let lines = ["\(method) \(path) HTTP/1.1", "Host: x", "Connection: close"] + headers + ["Content-Length: \(body.utf8.count)", "", body]
    client.send(Array(lines.joined(separator: "\r\n").utf8))
    guard let answer = Answer(client.rest()) else { throw NoAnswer() }
    return answer
  }
}

func post(_ address: String, _ path: String, _ body: String) async throws -> Answer { try await ask(address, "POST", path, body) }

/// Waits while something is so, for ten seconds at most.
func waitWhile(_ isSo: () -> Bool) async throws {
  let end = ContinuousClock.now + .seconds(10)
  while isSo() {
    try #require(ContinuousClock.now < end, "waited in vain")
    try await Task.sleep(for: .milliseconds(5))
  }
}
