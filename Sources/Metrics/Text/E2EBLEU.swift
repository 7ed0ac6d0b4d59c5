import Diagnostics
import Foundation

/// BLEU as the E2E NLG Challenge computes it.
struct E2EBLEU: TextScorer {
  static let recordName = "e2e_bleu options"
  static let fields: [Field<Self>] = []

  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { hypothesis, references in
      // The totals of segments with fewer words than n are below 0 there.
      BLEUCounts.row(e2eWords(hypothesis), references.map(e2eWords), orders: 4) { $0 - $1 }
    }
  }

  func score(_ sums: [Double]) -> TextScore {
    let counts = BLEUCounts(sums)
    let precisions = zip(counts.correct, counts.totals).map { max($0, 1e-15) / max($1, 1e-9) }
    let penalty = counts.length <= counts.referenceLength ? exp(1 - counts.referenceLength / counts.length) : 1
    let score = penalty * exp(precisions.reduce(0) { $0 + log($1) } / 4)
    return counts.report(score, precisions: precisions, brevityPenalty: penalty)
  }
}

/// The words that the E2E NLG Challenge compares, in lower case. A text without words is one empty word there.
func e2eWords(_ text: [Unicode.Scalar]) -> [Word] {
  let words = mteval13aWords(text)
  return words.isEmpty ? [[]] : words.map(\.lowercased)
}

extension Metric {
  /// BLEU as the E2E NLG Challenge computes it, 0 to 1.
  public static let e2eBLEU = Metric(
    name: "e2e_bleu",
    doc: "BLEU of the E2E NLG Challenge: tokens of mteval-v13a in lower case, 0 to 1",
    reference: "metrics/pymteval.py of e2e-metrics",
    scorer: E2EBLEU())
}
