import TensorCore
import TransformerModels

/// What a language model gives a token of a text.
public struct TokenScore: Sendable, Equatable {
  public let token: Int32
  public let logProbability: Float
  /// The most probable tokens at its place, the best first.
  public let top: [(token: Int32, logProbability: Float)]

  public static func == (a: TokenScore, b: TokenScore) -> Bool {
    a.token == b.token && a.logProbability == b.logProbability && a.top.map(\.token) == b.top.map(\.token)
  }
}

/// A text that a model gives scores to.
public struct ScoredText: Sendable {
  /// What an encoder reads; nothing where there is none.
  public var input: [Int32]
  /// Tokens that follow from each other. Without an encoder nothing is said about the first one.
  public var tokens: [Int32]

  public init(input: [Int32] = [], tokens: [Int32]) { (self.input, self.tokens) = (input, tokens) }

  public var count: Int { input.count + tokens.count }
}

extension TransformerModel {
  /// Numbers of logits that are held at once, unless one text alone has more.
  private static let mostLogits = 1 << 25

  /// The log probability of each token of texts, given those before it.
  ///
  /// - Parameter top: how many of the most probable tokens are named beside each.
  /// - Returns: for each text a score for every token, in a model without an encoder from the second one on.
  public func tokenScores(_ texts: [ScoredText], top: Int) throws -> [[TokenScore]] {
    var results: [[TokenScore]] = []
    var start = 0
    while start < texts.count {
      var end = start + 1
      var rows = texts[start].tokens.count
      while end < texts.count, (rows + texts[end].tokens.count) * layout.embeddings.vocabulary <= Self.mostLogits {
        rows += texts[end].tokens.count
        end += 1
      }
      results += try scoresOfPass(texts[start..<end], top)
      start = end
    }
    return results
  }

  private func scoresOfPass(_ texts: ArraySlice<ScoredText>, _ top: Int) throws -> [[TokenScore]] {
    let hasEncoder = encoderLayout != nil
    // Without an encoder a token is named from the one before it, and nothing is named from the last one.
    let named = texts.map { hasEncoder ? $0.tokens[...] : $0.tokens.dropFirst() }
    let read = zip(texts, named).filter { !$1.isEmpty }.map { $0.0 }
    guard !read.isEmpty else { return named.map { _ in [] } }
    let tokens = read.map { hasEncoder ? $0.tokens[...] : $0.tokens.dropLast() }
    let offsets = Offsets(lengths: tokens.map(\.count))
    var batch = try Batch(ids: tokens.flatMap { $0 }, offsets: offsets)
    if hasEncoder {
      batch = try Batch(ids: read.flatMap(\.input), offsets: Offsets(lengths: read.map(\.input.count)))
      batch.targets = (tokens.flatMap { $0 }, offsets)
    }
    let logits = try predict(batch)
    let (sums, width) = (logits.logSumsOfRows(), logits.columns)
    var row = 0
    return named.map { named in
      named.map { token in
        defer { row += 1 }
        let scores = UnsafeMutableBufferPointer(rebasing: logits.floats[row * width..<(row + 1) * width])
        let best = top > 0 ? scores.best(top) : []
        return TokenScore(
          token: token, logProbability: scores[Int(token)] - sums[row],
          top: best.map { (Int32($0.index), scores[$0.index] - sums[row]) })
      }
    }
  }
}
