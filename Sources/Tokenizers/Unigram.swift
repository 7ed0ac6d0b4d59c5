import Diagnostics
import Files

/// SentencePiece's unigram model: of all ways to spell a word, the one whose tokens have the largest sum of scores, which are
/// logarithms of probabilities. A character that no token spells costs 10 more than the rarest token; neighbouring ones are one
/// unknown token.
///
/// Paper: Kudo, "Subword regularization: improving neural network translation models with multiple subword candidates", 2018,
/// arXiv 1804.10959.
struct Unigram: TokenModel {
  let vocabulary: Vocabulary
  let unknownToken: String?
  private let scores: [Double]
  private let unknownId: Int32?
  private let unknownScore: Double
  /// Ids of the tokens that stand for one byte each; nil where characters that the vocabulary lacks are unknown.
  private let byteIds: [Int32]?

  private static let unknownPenalty = 10.0

  init(_ json: JSONValue, at place: String) throws {
    let pieces = try json.array("vocab", at: place).enumerated().map { id, entry in
      guard case .array(let pair) = entry, pair.count == 2, case .string(let piece) = pair[0], let score = pair[1].doubleValue, score.isFinite else {
        throw EngineError(.data, "\(place): vocab[\(id)]: expected a token and its score, [\"token\", -1.5]")
      }
      return (piece, score)
    }
    var unknown: Int?
    switch json["unk_id"] {
    case nil, .null: break
    case .int(let id) where pieces.indices.contains(id): unknown = id
    default:
      throw EngineError(.data, "\(place): 'unk_id' is no id of the vocabulary, whose ids are 0 to \(pieces.count - 1)")
    }
    try self.init(pieces, unknownId: unknown, fallsBackToBytes: json.bool("byte_fallback", default: false, at: place), at: place)
  }

  /// - Parameter pieces: tokens with their scores; their places are their ids.
  init(_ pieces: [(token: String, score: Double)], unknownId: Int?, fallsBackToBytes: Bool, at place: String) throws {
    guard !pieces.isEmpty else { throw EngineError(.data, "\(place): the vocabulary is empty") }
    vocabulary = try Vocabulary(pieces.enumerated().map { ($1.token, $0) }, at: place)
    scores = pieces.map(\.score)
    self.unknownId = unknownId.map { Int32($0) }
    unknownToken = unknownId.map { pieces[$0].token }
    unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
    let bytes = fallsBackToBytes ? ByteFallback.tokens.compactMap(vocabulary.id(of:)) : []
    byteIds = bytes.count == 256 ? bytes : nil
    guard unknownId != nil || byteIds != nil else {
      throw EngineError(.data, "\(place): 'unk_id' is missing, and the vocabulary has no token for every byte: some texts have no ids")
    }
  }

  /// The best way to spell a word up to some byte: where its last token starts, -1 if nothing leads there, and that token.
  private struct Step {
    var start = -1
    var token: Int32?
    var score = 0.0
  }

  func tokenize(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    var best = [Step](repeating: Step(), count: word.count + 1)
    var position = 0
    while position < word.count {
      let (_, length) = scalar(in: word, at: position)
      let before = best[position].score
      func offer(_ token: Int32?, _ score: Double, end: Int) {
        if best[end].start < 0 || before + score > best[end].score { best[end] = Step(start: position, token: token, score: before + score) }
      }
      var isSpelt = false
      var hash = ByteHash()
      for end in position + 1...min(word.count, position + max(length, vocabulary.longest)) {
        hash.add(word[end - 1])
        guard let id = vocabulary.id(hash: hash, prefix: [], rest: word[position..<end]) else { continue }
        offer(id, scores[Int(id)], end: end)
        isSpelt = isSpelt || end == position + length
      }
      if !isSpelt { offer(nil, unknownScore, end: position + length) }
      position += length
    }
    append(best, of: word, to: &ids)
  }

  /// Follows the steps back from the end of the word.
  private func append(_ best: [Step], of word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32]) {
    let first = ids.count
    var end = word.count
    var unknownEnd: Int?
    func finishUnknown(_ start: Int) {
      guard let last = unknownEnd else { return }
      unknownEnd = nil
      if let byteIds {
        ids += word[start..<last].reversed().map { byteIds[Int($0)] }
      } else if let unknownId {
        ids.append(unknownId)
      }
    }
    while end > 0 {
      let step = best[end]
      if let token = step.token, token != unknownId {
        finishUnknown(end)
        ids.append(token)
      } else if unknownEnd == nil {
        unknownEnd = end
      }
      end = step.start
    }
    finishUnknown(0)
    ids[first...].reverse()
  }

  var json: JSONValue {
    let pieces = vocabulary.tokensById.map { JSONValue.array([.string($0.token), .double(scores[$0.id])]) }
    return .object([
      "type": .string("Unigram"), "unk_id": unknownId.map { .int(Int($0)) } ?? .null, "vocab": .array(pieces),
      "byte_fallback": .bool(byteIds != nil),
    ])
  }
}
