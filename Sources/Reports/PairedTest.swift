import Foundation

/// Whether one of two ways to train is better than the other beyond what seeds do: Student's t-test on the differences between results
/// of the same seeds.
struct PairedTest: Sendable {
  /// The mean of the differences.
  let mean: Double
  /// The number of seeds.
  let count: Int
  /// Student's t; nil where all differences are equal, which says nothing of how far they spread.
  let t: Double?
  /// How probable a t as far from zero is where seeds alone make the difference, both sides counted.
  let p: Double?

  /// nil for fewer than two differences.
  init?(_ differences: [Double]) {
    guard differences.count >= 2, differences.allSatisfy(\.isFinite) else { return nil }
    let mean = Statistics.mean(differences)
    let error = (Statistics.spread(differences) ?? 0) / Double(differences.count).squareRoot()
    (self.mean, count) = (mean, differences.count)
    // Equal differences differ in their last bits.
    let largest = differences.map(abs).max() ?? 0
    t = error > 1e-9 * largest ? mean / error : nil
    p = t.map { Self.probability(t: $0, degrees: Double(differences.count - 1)) }
  }

  /// The probability that |T| is at least |t| for a T of Student's distribution.
  static func probability(t: Double, degrees: Double) -> Double {
    return incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5)
  }

  /// The regularised incomplete beta function, by its continued fraction (Numerical Recipes, 6.4).
  private static func incompleteBeta(_ x: Double, _ a: Double, _ b: Double) -> Double {
    if x <= 0 { return 0 }
    if x >= 1 { return 1 }
    let gammas: Double = logGamma(a + b) - logGamma(a) - logGamma(b)
    let front = exp(gammas + a * log(x) + b * log(1 - x))
    return x < (a + 1) / (a + b + 2) ? front * fraction(x, a, b) / a : 1 - front * fraction(1 - x, b, a) / b
  }

  private static func logGamma(_ value: Double) -> Double {
    var sign: Int32 = 0
    return lgamma_r(value, &sign)
  }

  private static func fraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
    func nonzero(_ value: Double) -> Double { abs(value) < 1e-300 ? 1e-300 : value }
    var c = 1.0
    var d = 1 / nonzero(1 - (a + b) * x / (a + 1))
    var result = d
    for m in stride(from: 1.0, through: 300, by: 1) {
      let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
      d = 1 / nonzero(1 + even * d)
      c = nonzero(1 + even / c)
      result *= d * c
      let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
      d = 1 / nonzero(1 + odd * d)
      c = nonzero(1 + odd / c)
      result *= d * c
      if abs(d * c - 1) < 1e-15 { break }
    }
    return result
  }

  /// Holm's correction: how probable the least p is by chance where so many pairs were compared, and so on for the others.
  static func corrected(_ probabilities: [Double?]) -> [Double?] {
    var corrected = probabilities
    var most = 0.0
    let known = probabilities.enumerated().compactMap { place, p in p.map { (place, $0) } }.sorted { $0.1 < $1.1 }
    for (rank, (place, p)) in known.enumerated() {
      most = max(most, min(1, p * Double(known.count - rank)))
      corrected[place] = most
    }
    return corrected
  }
}

enum Statistics {
  static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

  /// The sample standard deviation, as `lua/sweep.lua` has it; nil for fewer than two values.
  static func spread(_ values: [Double]) -> Double? {
    guard values.count >= 2 else { return nil }
    let mean = mean(values)
    return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)).squareRoot()
  }
}
