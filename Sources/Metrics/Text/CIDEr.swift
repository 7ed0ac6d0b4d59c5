import Diagnostics
import Foundation

/// CIDEr-D: how near a text is to its references in the n-grams that few segments have.
///
/// Vedantam and others, 2015, arXiv:1411.5726.
struct CIDEr: TextScorer {
  static let recordName = "cider options"
  static let fields: [Field<Self>] = []

  private static let orders = 4
  private static let sigma = 6.0

  /// A text as weights of its n-grams.
  private struct Weights {
    /// For each n, by the n-gram's number.
    var values: [[Int: Double]]
    var norms: [Double]
    /// The number of its bigrams.
    var length: Double
  }

  /// The score, and 1.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    var index = NGramIndex<Word>(orders: Self.orders)
    let pairs = try zip(texts.hypotheses, texts.references).map { hypothesis, references in
      try Interrupt.check()
      return (
        own: index.add(cocoNGramWords(Array(hypothesis.unicodeScalars))),
        others: references.map { index.add(cocoNGramWords(Array($0.unicodeScalars))) }
      )
    }
    // In how many segments a reference has each n-gram.
    var frequencies = (0..<Self.orders).map { [Double](repeating: 0, count: index.count($0)) }
    for pair in pairs {
      for order in 0..<Self.orders {
        for number in Set(pair.others.flatMap { $0[order] }) { frequencies[order][number] += 1 }
      }
    }
    let segments = log(Double(pairs.count))
    func weights(_ numbers: [[Int]]) -> Weights {
      var result = Weights(values: [], norms: [], length: Double(numbers[1].count))
      for order in 0..<Self.orders {
        var (values, norm) = ([Int: Double](), 0.0)
        for (number, count) in NGramIndex<Word>.counts(numbers[order]).sorted(by: { $0.key < $1.key }) {
          let value = Double(count) * (segments - log(max(1, frequencies[order][number])))
          values[number] = value
          norm += value * value
        }
        result.values.append(values)
        result.norms.append(norm.squareRoot())
      }
      return result
    }
    return try pairs.map { own, others in
      try Interrupt.check()
      let own = weights(own)
      let sum = others.reduce(0) { $0 + Self.similarity(own, weights($1)) }
      return [10 * sum / Double(Self.orders) / Double(others.count), 1]
    }
  }

  private static func similarity(_ own: Weights, _ other: Weights) -> Double {
    let difference = own.length - other.length
    let penalty = exp(-difference * difference / (2 * sigma * sigma))
    return (0..<orders).reduce(0) { sum, order in
      var value = 0.0
      for (number, weight) in own.values[order].sorted(by: { $0.key < $1.key }) {
        let opposite = other.values[order][number] ?? 0
        value += min(weight, opposite) * opposite
      }
      let norms = own.norms[order] * other.norms[order]
      return sum + (norms != 0 ? value / norms : value) * penalty
    }
  }

  func score(_ sums: [Double]) -> TextScore { TextScore(sums[0] / sums[1]) }
}

extension Metric {
  /// CIDEr-D, 0 to 10.
  public static let cider = Metric(
    name: "cider",
    doc: "CIDEr-D of MS COCO's captions, mean of the segments, 0 to 10; how rare n-grams are is counted in the references that are given",
    reference: "pycocoevalcap.cider.Cider",
    scorer: CIDEr())
}
