import Diagnostics
import Files

/// Byte-pair encoding: a word starts as its characters; the pair of neighbours that was learnt
/// first is merged, the leftmost first among equals, until no pair can be.
///
/// Paper: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword
/// units", 2016, arXiv 1508.07909.
struct BPE: TokenModel {
  let vocabulary: Vocabulary
  let unknownToken: String?
  private let unknownId: Int32?
  private let fusesUnknown: Bool
  private let ignoresMerges: Bool
  /// Ids of the tokens that stand for one byte each, -1 where there is none; nil where characters that the vocabulary lacks are
  /// unknown.
  private let byteIds: [Int32]?
  private let merges: MergeTable
  /// Ids of the characters below U+0200, -1 where there is none: all that byte-level words consist
  /// of.
  private let characterIds: [Int32]

  /// Words of up to this many symbols are merged by scanning; a heap pays only beyond.
  private static let longestScan = 48

  init(_ json: JSONValue, at place: String) throws {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = try json.optionalString(key, at: place), !affix.isEmpty {
        throw EngineError(.data, "\(place): '\(key)' = '\(affix)' is not supported")
      }
    }
    switch json["dropout"] {
    case nil, .null, .int(0), .double(0): break
    default: throw EngineError(.data, "\(place): a 'dropout' other than 0 is not supported")
    }
    let vocabulary = try Vocabulary(json["vocab"], at: place)
    let pairs = try json.array("merges", at: place).enumerated().map { index, merge in
      try BPE.pair(merge, at: "\(place): merge \(index + 1)")
    }
    try self.init(
      vocabulary: vocabulary, merges: pairs,
      unknownToken: json.optionalString("unk_token", at: place),
      fusesUnknown: json.bool("fuse_unk", default: false, at: place),
      ignoresMerges: json.bool("ignore_merges", default: false, at: place),
      fallsBackToBytes: json.bool("byte_fallback", default: false, at: place), at: place,
      mergePlace: { "\(place): merge \($0 + 1)" })
  }

  /// - Parameter mergePlace: the name of the place of a merge by its index, for errors.
  init(
    vocabulary: Vocabulary, merges pairs: [(left: Substring, right: Substring)],
    unknownToken: String?,
    fusesUnknown: Bool = false, ignoresMerges: Bool = false, fallsBackToBytes: Bool = false, at place: String,
    mergePlace: (Int) -> String
  ) throws {
    self.vocabulary = vocabulary
    self.fusesUnknown = fusesUnknown
    self.ignoresMerges = ignoresMerges
    byteIds = fallsBackToBytes ? ByteFallback.tokens.map { vocabulary.id(of: $0) ?? -1 } : nil
    self.unknownToken = unknownToken
    unknownId = try unknownToken.map { token in
      guard let id = vocabulary.id(of: token) else {
        throw EngineError(.data, "\(place): unk_token '\(token)' is not in the vocabulary")
      }
      return id
    }
    var merges = MergeTable(capacity: pairs.count)
    for (rank, pair) in pairs.enumerated() {
      func id(_ token: String) throws -> Int32 {
        guard let id = vocabulary.id(of: token) else {
          throw EngineError(
            .data, "\(mergePlace(rank)): token '\(token)' is not in the vocabulary",
            hint: "do the merges belong to another vocabulary?")
        }
        return id
      }
      let left = String(pair.left)
      let right = String(pair.right)
      merges.insert(try id(left), try id(right), merged: try id(left + right))
    }
    self.merges = merges
    characterIds = (0..<0x200).map { value in
      Unicode.Scalar(UInt32(value)).flatMap { vocabulary.id(of: String($0)) } ?? -1
    }
  }

  /// A merge, written "left right" or ["left", "right"].
  private static func pair(
    _ json: JSONValue, at place: @autoclosure () -> String
  ) throws -> (left: Substring, right: Substring) {
    switch json {
    case .string(let text):
      if let pair = pair(text) { return pair }
    case .array(let parts) where parts.count == 2:
      if case .string(let left) = parts[0], case .string(let right) = parts[1] {
        return (left[...], right[...])
      }
    default: break
    }
    throw EngineError(.data, "\(place()): expected two tokens with a space between them")
  }

  /// Splits "left right"; nil unless there is exactly one space with something on both sides.
  static func pair(_ text: String) -> (left: Substring, right: Substring)? {
    let space = UInt8(ascii: " ")
    guard let middle = text.utf8.firstIndex(of: space) else { return nil }
    let left = text[..<middle]
    let right = text[text.utf8.index(after: middle)...]
    guard !left.isEmpty, !right.isEmpty, !right.utf8.contains(space) else { return nil }
    return (left, right)
  }

  // MARK: Words

  func tokenize(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    if ignoresMerges, let id = vocabulary.id(of: word) { return ids.append(id) }
    let first = ids.count
    appendCharacters(of: word, to: &ids)
    switch ids.count - first {
    case ..<2: break
    case ...BPE.longestScan: mergeByScanning(&ids, from: first)
    default: mergeByHeap(&ids, from: first)
    }
  }

  private func appendCharacters(of word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32]) {
    var position = 0
    var afterUnknown = false
    while position < word.count {
      let (character, length) = scalar(in: word, at: position)
      let slice = UnsafeBufferPointer(rebasing: word[position..<position + length])
      position += length
      let id =
        character.value < 0x200
        ? characterIds[Int(character.value)] : vocabulary.id(of: slice) ?? -1
      if id >= 0 {
        ids.append(id)
        afterUnknown = false
      } else if let byteIds, slice.allSatisfy({ byteIds[Int($0)] >= 0 }) {
        ids.append(contentsOf: slice.lazy.map { byteIds[Int($0)] })
        afterUnknown = false
      } else if let unknownId {
        if !(fusesUnknown && afterUnknown) { ids.append(unknownId) }
        afterUnknown = true
      }
    }
  }

  private func mergeByScanning(_ ids: inout [Int32], from first: Int) {
    var found = [MergeTable.Merge]()
    found.reserveCapacity(ids.count - first)
    for index in first..<ids.count - 1 { found.append(merges[ids[index], ids[index + 1]]) }
    while true {
      var best = -1
      var lowest = MergeTable.Merge.none.rank
      for index in 0..<found.count where found[index].rank < lowest {
        lowest = found[index].rank
        best = index
      }
      guard best >= 0 else { return }
      ids[first + best] = found[best].merged
      ids.remove(at: first + best + 1)
      found.remove(at: best)
      if best < found.count { found[best] = merges[ids[first + best], ids[first + best + 1]] }
      if best > 0 { found[best - 1] = merges[ids[first + best - 1], ids[first + best]] }
    }
  }

  private func mergeByHeap(_ ids: inout [Int32], from first: Int) {
    var symbols = Array(ids[first...])
    let count = symbols.count
    var previous = (0..<count).map { $0 - 1 }
    var next = (0..<count).map { $0 + 1 }
    var heap = MinHeap()
    func push(_ position: Int) {
      guard position >= 0, next[position] < count else { return }
      let merge = merges[symbols[position], symbols[next[position]]]
      if merge.rank < MergeTable.Merge.none.rank {
        heap.push(UInt64(merge.rank) << 32 | UInt64(position))
      }
    }
    for position in 0..<count - 1 { push(position) }
    while let top = heap.pop() {
      let position = Int(top & 0xFFFF_FFFF)
      guard symbols[position] >= 0, next[position] < count else { continue }
      let right = next[position]
      let merge = merges[symbols[position], symbols[right]]
      // The pair may have changed since it was queued.
      guard UInt64(merge.rank) == top >> 32 else { continue }
      symbols[position] = merge.merged
      symbols[right] = -1
      next[position] = next[right]
      if next[right] < count { previous[next[right]] = position }
      push(previous[position])
      push(position)
    }
    ids.removeSubrange(first...)
    ids.append(contentsOf: symbols.lazy.filter { $0 >= 0 })
  }

  // MARK: Writing

  var json: JSONValue {
    let pairs = merges.byRank.map { pair in
      (vocabulary.token(of: pair.left) ?? "", vocabulary.token(of: pair.right) ?? "")
    }
    // Older readers know only the form with a space, which a token that holds one cannot take.
    let hasSpaces = pairs.contains { $0.0.utf8.contains(0x20) || $0.1.utf8.contains(0x20) }
    return .object([
      "type": .string("BPE"),
      "dropout": .null,
      "unk_token": unknownToken.map(JSONValue.string) ?? .null,
      "continuing_subword_prefix": .null,
      "end_of_word_suffix": .null,
      "fuse_unk": .bool(fusesUnknown),
      "byte_fallback": .bool(byteIds != nil),
      "ignore_merges": .bool(ignoresMerges),
      "vocab": vocabulary.json,
      "merges": .array(
        pairs.map {
          hasSpaces ? .array([.string($0.0), .string($0.1)]) : .string($0.0 + " " + $0.1)
        }),
    ])
  }
}
