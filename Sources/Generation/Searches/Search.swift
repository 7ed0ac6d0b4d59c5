import Diagnostics

/// What a search wants next: for each of its rows, which of those before it goes on, and with which token.
public struct Continuation: Equatable {
  public let parent: Int
  public let token: Int32
}

/// A finished text.
public struct Hypothesis: Sendable, Equatable {
  /// The written tokens, with the one that ended the text if one did.
  public var tokens: [Int32]
  /// Log probability, divided by what the length penalty says; a greedy or sampled text's is the sum.
  public var score: Double

  public init(tokens: [Int32], score: Double) { (self.tokens, self.score) = (tokens, score) }
}

/// How one prompt is continued: a search begins with one row, the prompt, and sees the scores of all its rows' next tokens in
/// each step. One file each.
protocol Search {
  /// Chooses from the scores of the rows' next tokens.
  ///
  /// - Returns: the next rows; none: the search has ended.
  mutating func advance(_ scores: StepScores) throws -> [Continuation]
  /// The best ones first, once the search has ended.
  var results: [Hypothesis] { get }
}

/// The scores of a search's rows in one step.
struct StepScores {
  /// [rows, V]; a search may change what it reads.
  let logits: UnsafeMutableBufferPointer<Float>
  /// `log(sum(exp(logits)))` of each row: a logit less this is a log probability.
  let logSums: ArraySlice<Float>
  let vocabulary: Int

  func logits(_ row: Int) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(rebasing: logits[row * vocabulary..<(row + 1) * vocabulary])
  }

  func logSum(_ row: Int) -> Float { logSums[logSums.startIndex + row] }

  /// Writes log probabilities over the logits.
  func takeLogProbabilities() { logits.subtract(fromRows: Array(logSums)) }
}

/// When a text ends.
struct Ending {
  /// The tokens that end it.
  let tokens: [Int32]
  /// New tokens at most.
  let maxNewTokens: Int
  /// Whether the new tokens contain a text that ends it; nil: no text does.
  var containsStop: (([Int32]) throws -> Bool)?

  func isEnd(_ token: Int32, after written: Written) throws -> Bool {
    if tokens.contains(token) || written.new.count + 1 >= maxNewTokens { return true }
    return try containsStop?(Array(written.new) + [token]) ?? false
  }
}

func noTokenLeft(_ count: Int) -> EngineError {
  EngineError(
    .argument, "generate: no token may follow after \(count) new ones: the rules forbid every token that has a score",
    hint: "min_new_tokens, no_repeat_ngram_size or the draw's limits are too strict for this vocabulary")
}
