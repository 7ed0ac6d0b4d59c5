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
    var generator = SplitMix64(state: seed)
    for index in 0..<limit {
      let choices = UInt64(examples.count - index)
      examples.swapAt(index, index + Int(generator.next(below: choices)))
    }
    return Array(examples[..<limit])
  }
}

/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
struct SplitMix64 {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A uniform number in `0..<bound`, `bound` at least 1.
  ///
  /// Not the standard library's, whose method may change with its version.
  mutating func next(below bound: UInt64) -> UInt64 {
    let remainder = UInt64.max % bound
    let unbiased = remainder == bound - 1 ? UInt64.max : UInt64.max - remainder - 1
    while true {
      let draw = next()
      if draw <= unbiased { return draw % bound }
    }
  }
}
