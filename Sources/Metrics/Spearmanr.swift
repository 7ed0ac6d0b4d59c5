extension Metric {
  /// Pearson's correlation of the ranks, −1 to 1; equal values share the mean of their ranks.
  ///
  /// 0 where predictions or references are all equal, as for `pearson`.
  public static let spearmanr = Metric(
    name: "spearmanr",
    doc: "rank correlation with averaged ties, -1 to 1; 0 where either side is constant",
    reference: "scipy.stats.spearmanr (NaN there for constant input)",
    kind: .regression, greaterIsBetter: true,
    computation: .numbers { pearsonCorrelation(averageRanks($0), averageRanks($1)) })
}

/// The 1-based rank of each value; equal values get the mean of the ranks they span.
func averageRanks(_ values: [Double]) -> [Double] {
  let order = values.indices.sorted { values[$0] < values[$1] }
  var ranks = [Double](repeating: 0, count: values.count)
  var start = 0
  while start < order.count {
    var end = start + 1
    while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
    for position in start..<end { ranks[order[position]] = Double(start + 1 + end) / 2 }
    start = end
  }
  return ranks
}
