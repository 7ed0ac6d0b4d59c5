import Diagnostics

/// A hash of bytes that grows one byte at a time (FNV-1a), so that the hashes of all prefixes cost
/// one pass.
struct ByteHash {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  @inline(__always)
  mutating func add(_ byte: UInt8) {
    value = (value ^ UInt64(byte)) &* 0x100_0000_01B3
  }

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { add(byte) }
  }

  /// FNV leaves the low bits weak; a table index takes the mixed value.
  @inline(__always)
  var mixed: Int { Int(truncatingIfNeeded: ((value ^ (value >> 32)) &* 0x9E37_79B9_7F4A_7C15) >> 24) }
}

/// Tokens and their ids, both ways. Tokens are compared byte by byte.
struct Vocabulary: Sendable {
  /// The largest id that is taken for real; a bigger one is a damaged file.
  static let largestId = 1 << 24

  private var text: [UInt8] = []
  private var ends: [Int32] = []
  private var ids: [Int32] = []
  /// Open addressing: index of a token plus one, 0 where free. The size is a power of two.
  private var table: [Int32]
  /// Index of the token of each id plus one, 0 where there is none.
  private var indexOfId: [Int32] = []
  /// Bytes of the longest token.
  private(set) var longest = 0

  /// - Throws: `EngineError` naming `place` for a duplicate token or id, or an id that is out of
  ///   range.
  init(_ tokens: [(token: String, id: Int)], at place: String) throws {
    // Positions are 32 bits wide.
    let bytes = tokens.reduce(0) { $0 + $1.token.utf8.count }
    guard bytes <= Int(Int32.max) else {
      throw EngineError(.data, "\(place): the tokens have \(bytes) bytes together, expected at most \(Int32.max)")
    }
    var size = 16
    while size < tokens.count * 2 { size *= 2 }
    table = [Int32](repeating: 0, count: size)
    ends.reserveCapacity(tokens.count)
    ids.reserveCapacity(tokens.count)
    indexOfId.reserveCapacity(tokens.count)
    for (token, id) in tokens {
      guard id >= 0, id <= Vocabulary.largestId else {
        throw EngineError(
          .data, "\(place): token '\(token)' has id \(id), expected 0 to \(Vocabulary.largestId)")
      }
      try insert(token, id: Int32(id), at: place)
    }
  }

  private mutating func insert(_ token: String, id: Int32, at place: String) throws {
    var hash = ByteHash()
    let start = text.count
    for byte in token.utf8 {
      hash.add(byte)
      text.append(byte)
    }
    var slot = hash.mixed & (table.count - 1)
    while table[slot] != 0 {
      let (from, to) = span(of: Int(table[slot]) - 1)
      if to - from == text.count - start, text[from..<to].elementsEqual(text[start...]) {
        throw EngineError(.data, "\(place): token '\(token)' appears twice")
      }
      slot = (slot + 1) & (table.count - 1)
    }
    let position = Int(id)
    if position >= indexOfId.count {
      indexOfId.append(contentsOf: repeatElement(0, count: position + 1 - indexOfId.count))
    }
    if indexOfId[position] != 0 {
      let other = self.token(at: Int(indexOfId[position]) - 1)
      throw EngineError(.data, "\(place): tokens '\(other)' and '\(token)' have the same id \(id)")
    }
    ids.append(id)
    ends.append(Int32(text.count))
    table[slot] = Int32(ids.count)
    indexOfId[position] = Int32(ids.count)
    longest = max(longest, text.count - start)
  }

  var count: Int { ids.count }

  /// One more than the largest id.
  var idLimit: Int { indexOfId.count }

  @inline(__always)
  private func span(of index: Int) -> (Int, Int) {
    (index == 0 ? 0 : Int(ends[index - 1]), Int(ends[index]))
  }

  private func token(at index: Int) -> String {
    let (start, end) = span(of: index)
    return String(decoding: text[start..<end], as: UTF8.self)
  }

  /// The token of an id.
  func token(of id: Int32) -> String? {
    guard id >= 0, Int(id) < indexOfId.count, indexOfId[Int(id)] != 0 else { return nil }
    return token(at: Int(indexOfId[Int(id)]) - 1)
  }

  func id(of token: String) -> Int32? {
    var token = token
    return token.withUTF8 { id(of: $0) }
  }

  func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
    var hash = ByteHash()
    for byte in token { hash.add(byte) }
    return id(hash: hash, prefix: [], rest: token[...])
  }

  /// The id of the token `prefix + rest`, whose hash the caller has.
  func id(hash: ByteHash, prefix: [UInt8], rest: Slice<UnsafeBufferPointer<UInt8>>) -> Int32? {
    let length = prefix.count + rest.count
    if length > longest { return nil }
    var slot = hash.mixed & (table.count - 1)
    while table[slot] != 0 {
      let index = Int(table[slot]) - 1
      let (start, end) = span(of: index)
      if end - start == length, matches(start, prefix, rest) { return ids[index] }
      slot = (slot + 1) & (table.count - 1)
    }
    return nil
  }

  private func matches(
    _ start: Int, _ prefix: [UInt8], _ rest: Slice<UnsafeBufferPointer<UInt8>>
  ) -> Bool {
    var position = start
    for byte in prefix {
      if text[position] != byte { return false }
      position += 1
    }
    var index = rest.startIndex
    while index < rest.endIndex {
      if text[position] != rest[index] { return false }
      position += 1
      index += 1
    }
    return true
  }

  /// All tokens with their ids, by id.
  var tokensById: [(token: String, id: Int)] {
    indexOfId.enumerated().compactMap { id, index in
      index == 0 ? nil : (token(at: Int(index) - 1), id)
    }
  }
}
