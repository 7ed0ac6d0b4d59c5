import Foundation

/// What BLEU counts in a corpus: matches and totals of n-grams, and lengths.
struct BLEUCounts {
  /// Words of the hypotheses, and of the references nearest to them in length.
  let length: Double
  let referenceLength: Double
  /// For each n.
  let correct: [Double]
  let totals: [Double]

  /// Reads the row that `row` writes.
  init(_ sums: [Double]) {
    let orders = (sums.count - 2) / 2
    (length, referenceLength) = (sums[0], sums[1])
    correct = Array(sums[2..<2 + orders])
    totals = Array(sums[(2 + orders)...])
  }

  /// A segment's counts as a row.
  ///
  /// - Parameter total: the n-grams of the hypothesis, for n counted from 0; nil: as many as there are.
  static func row(_ hypothesis: [Word], _ references: [[Word]], orders: Int, total: ((_ length: Int, _ order: Int) -> Int)? = nil) -> [Double] {
    let matches = NGramMatches(hypothesis, references, orders: orders)
    return
      ([matches.length, matches.closestLength] + matches.correct
      + (0..<orders).map { total?(matches.length, $0) ?? matches.total($0) }).map(Double.init)
  }

  /// `exp(1 - r/c)` where the hypotheses are shorter than the references, else 1; 0 for no words.
  var brevityPenalty: Double {
    guard length < referenceLength else { return 1 }
    return length > 0 ? exp(1 - referenceLength / length) : 0
  }

  /// The score with what it was made of.
  func report(_ score: Double, precisions: [Double], brevityPenalty: Double? = nil) -> TextScore {
    TextScore(
      score,
      parts: precisions.enumerated().map { MetricScore(name: "precision_\($0.offset + 1)", value: $0.element) } + [
        MetricScore(name: "brevity_penalty", value: brevityPenalty ?? self.brevityPenalty),
        MetricScore(name: "length", value: length), MetricScore(name: "reference_length", value: referenceLength),
      ])
  }

  /// BLEU by the Perl scripts of Moses: 0 as soon as one precision is.
  var unsmoothed: TextScore {
    let precisions = zip(correct, totals).map { $1 > 0 ? $0 / $1 : 0 }
    let score = precisions.contains(0) ? 0 : brevityPenalty * exp(precisions.reduce(0) { $0 + log($1) } / Double(precisions.count))
    return report(100 * score, precisions: precisions.map { 100 * $0 })
  }
}
