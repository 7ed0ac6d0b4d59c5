import Diagnostics
import Files

/// A token that is found in text as a whole, before any model sees it.
struct AddedToken: Sendable {
  var content: String
  var id: Int
  /// Only where no word character touches it.
  var singleWord = false
  /// Takes the white space on its left.
  var lstrip = false
  /// Takes the white space on its right.
  var rstrip = false
  /// Looked for in the normalized text, not in the raw text.
  var normalized = false
  /// Left out by `decode` on request.
  var special = true

  init(_ content: String, id: Int, lstrip: Bool = false) {
    self.content = content
    self.id = id
    self.lstrip = lstrip
  }

  init(_ json: JSONValue, id: Int? = nil, at place: String) throws {
    content = try json.string("content", at: place)
    guard !content.isEmpty else { throw EngineError(.data, "\(place): 'content' is empty") }
    if let id {
      self.id = id
    } else {
      guard case .int(let number)? = json["id"] else {
        throw EngineError(.data, "\(place): 'id' of '\(content)' is not a whole number")
      }
      self.id = number
    }
    singleWord = try json.bool("single_word", default: false, at: place)
    lstrip = try json.bool("lstrip", default: false, at: place)
    rstrip = try json.bool("rstrip", default: false, at: place)
    special = try json.bool("special", default: false, at: place)
    normalized = try json.bool("normalized", default: !special, at: place)
  }

  var json: JSONValue {
    .object([
      "id": .int(id), "content": .string(content),
      "single_word": .bool(singleWord), "lstrip": .bool(lstrip),
      "rstrip": .bool(rstrip), "normalized": .bool(normalized),
      "special": .bool(special),
    ])
  }
}

/// The model's vocabulary and the added tokens, some of which it may hold as well.
struct CombinedVocabulary: Sendable {
  let model: Vocabulary
  let added: [AddedToken]
  private let addedVocabulary: Vocabulary
  /// Number of different tokens.
  let count: Int
  private let specialIds: Set<Int32>

  /// More, and longer, added tokens belong to a damaged file, and would be looked for at every position of every text.
  static let (mostAdded, longestAdded) = (100_000, 4096)

  /// - Throws: `EngineError` naming `place` for tokens or ids that clash.
  init(model: Vocabulary, added: [AddedToken], at place: String) throws {
    guard added.count <= Self.mostAdded else {
      throw EngineError(.data, "\(place): \(added.count) added tokens, expected at most \(Self.mostAdded)")
    }
    if let long = added.first(where: { $0.content.utf8.count > Self.longestAdded }) {
      throw EngineError(
        .data, "\(place): added token '\(long.content)' has \(long.content.utf8.count) bytes, expected at most \(Self.longestAdded)")
    }
    self.model = model
    self.added = added
    addedVocabulary = try Vocabulary(
      added.map { (token: $0.content, id: $0.id) }, at: "\(place): added_tokens")
    var count = model.count
    for token in added {
      if let id = model.id(of: token.content) {
        guard Int(id) == token.id else {
          throw EngineError(
            .data,
            "\(place): added token '\(token.content)' has id \(token.id), "
              + "but \(id) in the vocabulary"
          )
        }
      } else if let other = model.token(of: Int32(token.id)) {
        throw EngineError(
          .data,
          "\(place): added token '\(token.content)' has id \(token.id), which is token '\(other)'")
      } else {
        count += 1
      }
    }
    self.count = count
    specialIds = Set(added.lazy.filter(\.special).map { Int32($0.id) })
  }

  func id(of token: String) -> Int32? {
    addedVocabulary.id(of: token) ?? model.id(of: token)
  }

  func token(of id: Int32) -> String? {
    addedVocabulary.token(of: id) ?? model.token(of: id)
  }

  func isSpecial(_ id: Int32) -> Bool { specialIds.contains(id) }

  /// The first id after all others.
  var nextId: Int { max(model.idLimit, addedVocabulary.idLimit) }

  /// `id`, if it is that of `token`.
  func confirm(_ token: String, id: Int, at place: String) throws -> Int32 {
    guard let known = self.id(of: token) else {
      throw EngineError(.data, "\(place): token '\(token)' is not in the vocabulary")
    }
    guard Int(known) == id else {
      throw EngineError(
        .data, "\(place): token '\(token)' has id \(id), but \(known) in the vocabulary")
    }
    return known
  }
}

/// Finds added tokens in text: the leftmost, and of several there the longest.
struct AddedTokenMatcher: Sendable {
  private struct Pattern {
    let bytes: [UInt8]
    let token: AddedToken
  }

  struct Part {
    let range: Range<Int>
    /// Id of the added token, nil for text between.
    let id: Int32?
  }

  /// By first byte; longest first.
  private var patterns = [[Pattern]](repeating: [], count: 256)
  let isEmpty: Bool

  /// - Parameter spelling: the bytes under which a token is found.
  init(_ tokens: [AddedToken], spelling: (AddedToken) -> [UInt8]) {
    isEmpty = tokens.isEmpty
    for token in tokens {
      let bytes = spelling(token)
      guard let first = bytes.first else { continue }
      patterns[Int(first)].append(Pattern(bytes: bytes, token: token))
    }
    for index in patterns.indices { patterns[index].sort { $0.bytes.count > $1.bytes.count } }
  }

  /// Parts that cover the whole text; none of them is empty.
  func split(_ text: UnsafeBufferPointer<UInt8>) -> [Part] {
    var parts = [Part]()
    // Where the part that is still open begins; a token may already have reached past `position`.
    var open = 0
    var position = 0
    while position < text.count {
      guard let pattern = match(text, at: position) else {
        position += 1
        continue
      }
      var start = position
      position += pattern.bytes.count
      var end = position
      let token = pattern.token
      if token.singleWord, touchesWord(text, start, end) { continue }
      if token.lstrip { start = max(open, spaceStart(text, before: start)) }
      if token.rstrip { end = spaceEnd(text, after: end) }
      if open < start { parts.append(Part(range: open..<start, id: nil)) }
      parts.append(Part(range: min(start, end)..<end, id: Int32(token.id)))
      open = end
    }
    if open < text.count { parts.append(Part(range: open..<text.count, id: nil)) }
    return parts
  }

  private func match(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Pattern? {
    let candidates = patterns[Int(text[position])]
    if candidates.isEmpty { return nil }
    return candidates.first { pattern in
      let end = position + pattern.bytes.count
      return end <= text.count && text[position..<end].elementsEqual(pattern.bytes)
    }
  }

  private func touchesWord(_ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
    (start > 0 && UnicodeClasses.isWord(scalar(in: text, endingAt: start).0))
      || (end < text.count && UnicodeClasses.isWord(scalar(in: text, at: end).0))
  }

  private func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Int {
    var position = position
    while position > 0 {
      let (last, length) = scalar(in: text, endingAt: position)
      guard UnicodeClasses.isWhitespace(last) else { break }
      position -= length
    }
    return position
  }

  private func spaceEnd(_ text: UnsafeBufferPointer<UInt8>, after position: Int) -> Int {
    var position = position
    while position < text.count {
      let (next, length) = scalar(in: text, at: position)
      guard UnicodeClasses.isWhitespace(next) else { break }
      position += length
    }
    return position
  }
}
