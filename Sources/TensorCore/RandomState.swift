/// Where random numbers come from: a seed, and the number of the call, so that every call without a
/// seed of its own draws anew, and the same script draws the same numbers in every run.
package final class RandomState {
  private var seed: UInt64
  private var calls: UInt64 = 0
  private static let stream = RandomSource.stream(named: "tensor")

  package init(seed: Int) { self.seed = UInt64(max(0, seed)) }

  /// Begins again, with another seed.
  package func restart(seed: Int) {
    self.seed = UInt64(max(0, seed))
    calls = 0
  }

  /// Runs `body` with draws that are a function of `seed` and their number alone; later draws do not notice.
  package func drawing<Result>(from seed: UInt64, _ body: () throws -> Result) rethrows -> Result {
    let before = (self.seed, calls)
    (self.seed, calls) = (seed, 0)
    defer { (self.seed, calls) = before }
    return try body()
  }

  /// The source of a call: the one of `seed`, or the next one.
  package func source(_ seed: Int?) -> RandomSource {
    if let seed { return RandomSource(seed: UInt64(max(0, seed)), stream: Self.stream) }
    calls += 1
    return RandomSource(seed: self.seed, stream: Self.stream, step: calls)
  }
}
