import Diagnostics

/// Reads a connection's requests, one after the other.
struct RequestReader {
  private let connection: Connection
  private var buffer: [UInt8] = []

  init(_ connection: Connection) { self.connection = connection }

  /// The head of the next request; nil: the client has no more.
  ///
  /// - Parameters:
  ///   - idleSeconds: how long it may be until its first byte comes.
  ///   - seconds: how long from there until its last one.
  /// - Throws: `RequestError` for a head that is malformed, too long, or not complete in time.
  mutating func head(idleSeconds: Double, seconds: Double) async throws -> RequestHead? {
    connection.limitReading(seconds: buffer.isEmpty ? idleSeconds : seconds)
    var isBegun = !buffer.isEmpty
    var searched = 0
    while true {
      // An empty line in front of a request is no mistake.
      while let first = buffer.first, first == 0x0D || first == 0x0A { buffer.removeFirst() }
      if let end = endOfHead(from: searched) {
        let bytes = buffer[..<end]
        let head = try RequestHead(bytes)
        buffer.removeFirst(end)
        return head
      }
      guard buffer.count <= RequestHead.mostBytes else {
        throw RequestError(.headersTooLarge, "the request's head has more than \(RequestHead.mostBytes) bytes")
      }
      searched = max(0, buffer.count - 3)
      guard try await more() else {
        if buffer.isEmpty { return nil }
        throw connection.isLate ? RequestError.late(seconds) : RequestError.malformed("the request ends in its head")
      }
      if !isBegun { connection.limitReading(seconds: seconds) }
      isBegun = true
    }
  }

  /// Behind the empty line that ends a head; nil: it has not come yet.
  private func endOfHead(from start: Int) -> Int? {
    var place = start
    while let line = buffer[min(place, buffer.count)...].firstIndex(of: 0x0A) {
      let next = buffer.index(after: line)
      if next < buffer.count, buffer[next] == 0x0A { return next + 1 }
      if next + 1 < buffer.count, buffer[next] == 0x0D, buffer[next + 1] == 0x0A { return next + 2 }
      place = next
    }
    return nil
  }

  /// The body that belongs to a head.
  ///
  /// - Parameters:
  ///   - limit: bytes that it may have; they are counted as they come.
  ///   - seconds: how long it may take to come.
  mutating func body(of head: RequestHead, limit: Int, seconds: Double) async throws -> [UInt8] {
    let length = try head.bodyLength()
    if case .bytes(0) = length { return [] }
    if case .bytes(let count) = length, count > limit { throw RequestError.tooLarge(limit) }
    connection.limitReading(seconds: seconds)
    // A client may wait for this before it sends a long body.
    if head.headers["expect"]?.lowercased() == "100-continue" {
      try await connection.write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
      connection.limitReading(seconds: seconds)
    }
    do {
      switch length {
      case .bytes(let count): return try await take(count)
      case .chunked: return try await chunks(limit)
      }
    } catch is EndOfBytes {
      throw connection.isLate ? RequestError.late(seconds) : RequestError.malformed("the request ends in its body")
    }
  }

  private struct EndOfBytes: Error {}

  private mutating func chunks(_ limit: Int) async throws -> [UInt8] {
    var body: [UInt8] = []
    while true {
      let line = try await self.line()
      let digits = line.prefix { $0 != 0x3B && $0 != 0x20 }
      guard !digits.isEmpty, let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size >= 0 else {
        throw RequestError.malformed(
          "a chunk's size is '\(shortened(String(decoding: line, as: UTF8.self), limit: 20))', expected hexadecimal digits")
      }
      if size == 0 { break }
      guard size <= limit - body.count else { throw RequestError.tooLarge(limit) }
      body += try await take(size)
      guard try await self.line().isEmpty else { throw RequestError.malformed("a chunk is longer than its size") }
    }
    // What follows are more headers, which nobody needs.
    for _ in 0..<100 where try await self.line().isEmpty { return body }
    throw RequestError.malformed("more than 100 headers follow the last chunk")
  }

  private mutating func line() async throws -> [UInt8] {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = buffer[..<end]
        buffer.removeFirst(end + 1)
        return Array(line.last == 0x0D ? line.dropLast() : line)
      }
      guard buffer.count <= 1024 else { throw RequestError.malformed("a line between chunks has more than 1024 bytes") }
      guard try await more() else { throw EndOfBytes() }
    }
  }

  private mutating func take(_ count: Int) async throws -> [UInt8] {
    while buffer.count < count { guard try await more() else { throw EndOfBytes() } }
    guard buffer.count > count else {
      defer { buffer = [] }
      return buffer
    }
    defer { buffer.removeFirst(count) }
    return Array(buffer[..<count])
  }

  /// Reads on; false: nothing more comes.
  private mutating func more() async throws -> Bool {
    guard let bytes = try? await connection.read() else { return false }
    buffer += bytes
    return true
  }
}
