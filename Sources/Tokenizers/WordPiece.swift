import Diagnostics
import Files

/// BERT's model: the longest token that starts the word, then the longest that continues it, and so
/// on. A word that cannot be spelt to its end is one unknown token.
///
/// Paper: Schuster and Nakajima, "Japanese and Korean voice search", 2012.
struct WordPiece: TokenModel {
  let vocabulary: Vocabulary
  let unknownToken: String?
  private let unknownId: Int32
  private let prefix: [UInt8]
  private let prefixHash: ByteHash
  private let maxCharacters: Int

  init(_ json: JSONValue, at place: String) throws {
    vocabulary = try Vocabulary(json["vocab"], at: place)
    let unknown = try json.optionalString("unk_token", at: place) ?? "[UNK]"
    guard let id = vocabulary.id(of: unknown) else {
      throw EngineError(.data, "\(place): unk_token '\(unknown)' is not in the vocabulary")
    }
    unknownToken = unknown
    unknownId = id
    prefix = Array((try json.optionalString("continuing_subword_prefix", at: place) ?? "##").utf8)
    var hash = ByteHash()
    hash.add(prefix)
    prefixHash = hash
    switch json["max_input_chars_per_word"] {
    case nil: maxCharacters = 100
    case .int(let count) where count >= 0: maxCharacters = count
    default:
      throw EngineError(
        .data, "\(place): 'max_input_chars_per_word' is not a whole number of at least 0")
    }
  }

  func tokenize(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    let first = ids.count
    if word.count > maxCharacters, word.count(where: { $0 & 0xC0 != 0x80 }) > maxCharacters {
      return ids.append(unknownId)
    }
    var start = 0
    var hashes = [ByteHash]()
    hashes.reserveCapacity(word.count)
    while start < word.count {
      guard let (id, length) = longestToken(in: word, from: start, hashes: &hashes) else {
        ids.removeSubrange(first...)
        return ids.append(unknownId)
      }
      ids.append(id)
      start += length
    }
  }

  /// The longest token that `word` has at `start`, and how many of the word's bytes it takes.
  private func longestToken(
    in word: UnsafeBufferPointer<UInt8>, from start: Int, hashes: inout [ByteHash]
  ) -> (id: Int32, length: Int)? {
    let prefix = start == 0 ? [] : self.prefix
    var hash = start == 0 ? ByteHash() : prefixHash
    hashes.removeAll(keepingCapacity: true)
    var position = start
    let limit = min(word.count, start + max(0, vocabulary.longest - prefix.count))
    while position < limit {
      hash.add(word[position])
      hashes.append(hash)
      position += 1
    }
    while position > start {
      // Only whole characters: the byte after the token must start one.
      if position == word.count || word[position] & 0xC0 != 0x80,
        let id = vocabulary.id(
          hash: hashes[position - start - 1], prefix: prefix, rest: word[start..<position])
      {
        return (id, position - start)
      }
      position -= 1
    }
    return nil
  }

  var json: JSONValue {
    .object([
      "type": .string("WordPiece"),
      "unk_token": unknownToken.map(JSONValue.string) ?? .null,
      "continuing_subword_prefix": .string(String(decoding: prefix, as: UTF8.self)),
      "max_input_chars_per_word": .int(maxCharacters),
      "vocab": vocabulary.json,
    ])
  }
}
