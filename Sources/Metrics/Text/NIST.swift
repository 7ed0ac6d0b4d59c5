import Diagnostics
import Foundation

/// BLEU's relative that counts rare n-grams for more.
///
/// Doddington, 2002.
struct NIST: TextScorer {
  static let recordName = "nist options"
  static let fields: [Field<Self>] = []

  private static let orders = 5
  /// The penalty is 0.5 where the text has 2/3 of the references' length.
  private static let beta = -log(0.5) / pow(log(1.5), 2)

  /// For each n the information of the matched n-grams, for each n how many n-grams there are, and the references' mean length.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    var index = NGramIndex<Word>(orders: Self.orders)
    let pairs = try zip(texts.hypotheses, texts.references).map { hypothesis, references in
      try Interrupt.check()
      return (
        own: index.add(e2eWords(Array(hypothesis.unicodeScalars))),
        others: references.map { index.add(e2eWords(Array($0.unicodeScalars))) }
      )
    }
    let information = Self.information(index, pairs.flatMap(\.others))
    return pairs.map { own, others in
      let length = own[0].count
      let matched = (0..<Self.orders).map { order in
        var most: [Int: Int] = [:]
        for other in others { most.merge(NGramIndex<Word>.counts(other[order])) { max($0, $1) } }
        let counts = NGramIndex<Word>.counts(own[order]).sorted { $0.key < $1.key }
        return counts.reduce(0) { $0 + Double(min($1.value, most[$1.key] ?? 0)) * information[order][$1.key] }
      }
      let mean = Double(others.reduce(0) { $0 + $1[0].count }) / Double(others.count)
      return matched + (0..<Self.orders).map { Double(length - $0) } + [mean]
    }
  }

  /// `log2` of how much rarer each n-gram is, in all references, than its beginning; 0 for those that no reference has.
  private static func information(_ index: NGramIndex<Word>, _ references: [[[Int]]]) -> [[Double]] {
    var counts = (0..<orders).map { [Int](repeating: 0, count: index.count($0)) }
    var words = 0
    for reference in references {
      words += reference[0].count
      for order in 0..<orders {
        for number in reference[order] { counts[order][number] += 1 }
      }
    }
    return (0..<orders).map { order in
      counts[order].indices.map { number in
        let count = counts[order][number]
        let shorter = order == 0 ? words : counts[order - 1][index.heads[order][number]]
        return count == 0 ? 0 : log2(Double(shorter) / Double(count))
      }
    }
  }

  func score(_ sums: [Double]) -> TextScore {
    let orders = Self.orders
    let (length, referenceLength) = (sums[orders], sums[2 * orders])
    // A corpus whose texts are all shorter than n has no n-grams to match.
    let terms = (0..<orders).map { sums[orders + $0] > 0 ? sums[$0] / sums[orders + $0] : 0 }
    let ratio = length / referenceLength
    let penalty = ratio >= 1 ? 1 : exp(-Self.beta * pow(log(ratio), 2))
    return TextScore(
      penalty * terms.reduce(0, +), ["length_penalty": penalty, "length": length, "reference_length": referenceLength])
  }
}

extension Metric {
  /// NIST as the E2E NLG Challenge computes it, 0 or more.
  public static let nist = Metric(
    name: "nist",
    doc: "NIST, where rare n-grams count for more, 0 or more: tokens of mteval-v13a in lower case, n up to 5",
    reference: "metrics/pymteval.py of e2e-metrics",
    scorer: NIST())
}
