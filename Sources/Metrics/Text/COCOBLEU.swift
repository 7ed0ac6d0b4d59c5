import Diagnostics
import Foundation

/// BLEU of n-grams up to a length, as the evaluation of MS COCO's captions computes it.
struct COCOBLEU: TextScorer {
  /// The longest n-grams, 1 to 4.
  var order = 4

  static let recordName = "coco_bleu options"
  static let fields: [Field<Self>] = []

  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { BLEUCounts.row(cocoNGramWords($0), $1.map(cocoNGramWords), orders: order) }
  }

  func score(_ sums: [Double]) -> TextScore {
    let counts = BLEUCounts(sums)
    let precisions = zip(counts.correct, counts.totals).map { ($0 + 1e-15) / ($1 + 1e-9) }
    let ratio = (counts.length + 1e-15) / (counts.referenceLength + 1e-9)
    let penalty = ratio < 1 ? exp(1 - 1 / ratio) : 1
    return counts.report(pow(precisions.reduce(1, *), 1 / Double(order)) * penalty, precisions: precisions, brevityPenalty: penalty)
  }
}

extension Metric {
  /// BLEU of n-grams up to 1, 2, 3 and 4, each 0 to 1, as the evaluation of MS COCO's captions computes it.
  public static let cocoBLEU = (1...4).map { order in
    Metric(
      name: "coco_bleu_\(order)",
      doc: "BLEU-\(order) of MS COCO's captions: tokens of the Penn Treebank without punctuation, in lower case, 0 to 1",
      reference: "pycocoevalcap.bleu.Bleu(4), value \(order)",
      scorer: COCOBLEU(order: order))
  }
}
