extension Metric {
  /// `Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)²·Σ(y−ȳ)²)`, −1 to 1.
  ///
  /// 0 where predictions or references are all equal (one example included). scipy returns NaN
  /// there; a model that has collapsed to a constant is better ranked below every other than as not
  /// a number.
  public static let pearson = Metric(
    name: "pearson",
    doc: "linear correlation, -1 to 1; 0 where predictions or references are constant",
    reference: "scipy.stats.pearsonr (NaN there for constant input)",
    kind: .regression, greaterIsBetter: true,
    computation: .numbers { pearsonCorrelation($0, $1) })
}

/// Pearson's correlation of two vectors of equal, non-zero count and finite elements.
func pearsonCorrelation(_ x: [Double], _ y: [Double]) -> Double {
  guard let x = unitDeviations(x), let y = unitDeviations(y) else { return 0 }
  let products = zip(x, y).reduce(0) { $0 + $1.0 * $1.1 }
  let norms = sumOfSquares(x).squareRoot() * sumOfSquares(y).squareRoot()
  return min(1, max(-1, products / norms))  // rounding may leave the range by an ulp
}

/// Deviations from the mean, scaled so that the largest is ±1: correlation does not depend on
/// scale, and without it squares overflow from 1e154 on.
///
/// Nil for constant vectors, which are recognised by their elements, since the mean of equal
/// numbers may differ from them by rounding.
private func unitDeviations(_ values: [Double]) -> [Double]? {
  guard let first = values.first, values.contains(where: { $0 != first }) else { return nil }
  let largest = values.reduce(0) { max($0, abs($1)) }
  let scaled = values.map { $0 / largest }
  let mean = scaled.reduce(0, +) / Double(scaled.count)
  let deviations = scaled.map { $0 - mean }
  let spread = deviations.reduce(0) { max($0, abs($1)) }
  return spread > 0 ? deviations.map { $0 / spread } : nil
}

private func sumOfSquares(_ values: [Double]) -> Double {
  values.reduce(0) { $0 + $1 * $1 }
}
