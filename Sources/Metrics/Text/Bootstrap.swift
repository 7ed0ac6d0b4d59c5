import Diagnostics

/// Where a metric lies for 95 of 100 corpora whose segments are drawn, with replacement, from those of the scored one.
///
/// The draws and the bounds are those of sacreBLEU for the same seed and count.
public struct BootstrapInterval: Sendable, Equatable {
  /// The mean over the drawn corpora.
  public let mean: Double
  /// The values that 2.5 % of the drawn corpora lie below, and above.
  public let low: Double
  public let high: Double
  /// How many corpora were drawn, and from which seed.
  public let resamples: Int
  public let seed: UInt64

  /// Draws corpora from segments.
  ///
  /// - Parameters:
  ///   - rows: what each segment adds to the counts.
  ///   - score: the metric of summed counts.
  init(_ rows: [[Double]], _ options: BootstrapOptions, score: ([Double]) -> Double) throws {
    let width = rows[0].count
    let flat = rows.flatMap { $0 }
    try self.init(rows: rows.count, options) { drawn in
      var sums = [Double](repeating: 0, count: width)
      for row in drawn {
        for column in 0..<width { sums[column] += flat[row * width + column] }
      }
      return score(sums)
    }
  }

  /// Draws corpora from `count` rows, at least one.
  ///
  /// - Parameter score: the metric of the rows that were drawn, by their places.
  public init(rows count: Int, _ options: BootstrapOptions, score: ([Int]) throws -> Double) throws {
    var random = PCG64(seed: options.seed)
    var drawn = [Int](repeating: 0, count: count)
    var scores: [Double] = []
    scores.reserveCapacity(options.resamples)
    for _ in 0..<options.resamples {
      try Interrupt.check()
      for place in drawn.indices { drawn[place] = random.below(count) }
      scores.append(try score(drawn))
    }
    scores.sort()
    let tail = scores.count / 40
    (low, high) = (scores[tail], scores[scores.count - tail - 1])
    mean = scores.reduce(0, +) / Double(scores.count)
    (resamples, seed) = (options.resamples, options.seed)
  }
}

/// NumPy's default generator, seeded as `numpy.random.default_rng(seed)` seeds it: the XSL-RR form of the 128-bit permuted
/// congruential generator.
struct PCG64 {
  private var state: UInt128
  private let increment: UInt128
  /// The upper half of a draw of which the lower half was used.
  private var spare: UInt32?

  private static let multiplier: UInt128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645

  init(seed: UInt64) {
    let words = SeedSequence(seed).words64(4)
    func wide(_ high: UInt64, _ low: UInt64) -> UInt128 { UInt128(high) << 64 | UInt128(low) }
    increment = wide(words[2], words[3]) << 1 | 1
    state = (increment &+ wide(words[0], words[1])) &* Self.multiplier &+ increment
  }

  mutating func next64() -> UInt64 {
    state = state &* Self.multiplier &+ increment
    let folded = UInt64(truncatingIfNeeded: state >> 64) ^ UInt64(truncatingIfNeeded: state)
    let turn = UInt64(truncatingIfNeeded: state >> 122)
    return folded >> turn | folded << ((64 - turn) & 63)
  }

  mutating func next32() -> UInt32 {
    if let word = spare {
      spare = nil
      return word
    }
    let word = next64()
    spare = UInt32(truncatingIfNeeded: word >> 32)
    return UInt32(truncatingIfNeeded: word)
  }

  /// A number from 0 to `count - 1`, all equally likely (Lemire 2019), as `Generator.choice` draws it; `count` is from 1 to 2³² - 1.
  mutating func below(_ count: Int) -> Int {
    let bound = UInt32(count)
    if bound == 1 { return 0 }
    var product = UInt64(next32()) * UInt64(bound)
    if UInt32(truncatingIfNeeded: product) < bound {
      let threshold = (0 &- bound) % bound
      while UInt32(truncatingIfNeeded: product) < threshold { product = UInt64(next32()) * UInt64(bound) }
    }
    return Int(product >> 32)
  }
}

/// NumPy's `SeedSequence` (O'Neill's seed_seq_fe128): well mixed words from any seed.
private struct SeedSequence {
  private var pool: [UInt32]

  init(_ seed: UInt64) {
    var entropy = [UInt32(truncatingIfNeeded: seed)]
    if seed >> 32 != 0 { entropy.append(UInt32(seed >> 32)) }
    var hash: UInt32 = 0x43b0_d7e5
    func mixedIn(_ value: UInt32) -> UInt32 {
      var value = value ^ hash
      hash = hash &* 0x931e_8875
      value = value &* hash
      return value ^ value >> 16
    }
    func mixed(_ x: UInt32, _ y: UInt32) -> UInt32 {
      let result = 0xca01_f9dd &* x &- 0x4973_f715 &* y
      return result ^ result >> 16
    }
    pool = (0..<4).map { mixedIn($0 < entropy.count ? entropy[$0] : 0) }
    for source in 0..<4 {
      for target in 0..<4 where target != source { pool[target] = mixed(pool[target], mixedIn(pool[source])) }
    }
  }

  func words64(_ count: Int) -> [UInt64] {
    var hash: UInt32 = 0x8b51_f9dd
    let words = (0..<2 * count).map { place in
      var value = pool[place % 4] ^ hash
      hash = hash &* 0x58f3_8ded
      value = value &* hash
      return value ^ value >> 16
    }
    return (0..<count).map { UInt64(words[2 * $0]) | UInt64(words[2 * $0 + 1]) << 32 }
  }
}
