import Diagnostics

/// How many examples of each split to keep, and which.
///
/// A limit below a split's size takes the first N of a shuffle that depends on the seed and the
/// split's size alone (Fisher-Yates over SplitMix64, the same on every machine), in shuffled order;
/// so a smaller limit with the same seed gives a prefix of a larger one. A split within its limit
/// keeps the file's order. The seed is separate from the training seed, so that runs over several
/// seeds share their data.
public struct RowLimit: Sendable, Equatable {
  /// Most training examples to keep, at least 1; nil (default) for all.
  public var train: Int?
  /// Most examples of each evaluation split to keep, at least 1; nil (default) for all.
  public var evaluation: Int?
  /// Which examples a limit keeps; default 1.
  public var seed: UInt64

  /// No limit, unless given.
  public init(train: Int? = nil, evaluation: Int? = nil, seed: UInt64 = 1) {
    self.train = train
    self.evaluation = evaluation
    self.seed = seed
  }

  func validate() throws {
    for (name, limit) in [("train limit", train), ("evaluation limit", evaluation)] {
      if let limit, limit < 1 {
        throw EngineError(.argument, "\(name): expected at least 1, got \(limit)")
      }
    }
  }

  static func keep(_ limit: Int?, of examples: [Example], seed: UInt64) -> [Example] {
    guard let limit, limit < examples.count else { return examples }
    var examples = examples
    var generator = SplitMix64(seed: seed)
    for index in 0..<limit {
      examples.swapAt(index, index + generator.below(examples.count - index))
    }
    return Array(examples[..<limit])
  }
}
