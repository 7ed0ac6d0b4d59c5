import Diagnostics

/// How many characters, and words, in a row a text shares with a reference.
///
/// Popović, 2015 and 2017.
struct Chrf: TextScorer {
  var charOrder = 6
  var wordOrder = 0
  var beta = 2
  var lowercase = false
  var whitespace = false
  var epsSmoothing = false

  static let recordName = "chrf options"
  static let fields: [Field<Self>] = [
    .int("char_order", \.charOrder, "the longest n-grams of characters", in: 1...20),
    .int("word_order", \.wordOrder, "the longest n-grams of words; 2 is chrF++", in: 0...10),
    .int("beta", \.beta, "recall counts for so many times as much as precision", in: 0...100),
    .value("lowercase", \.lowercase, "whether case counts for nothing"),
    .value("whitespace", \.whitespace, "whether spaces are characters"),
    .value("eps_smoothing", \.epsSmoothing, "whether n-grams that a text is too short for count as 0 instead of not at all"),
  ]

  /// For each n, of characters and then of words: n-grams of the hypothesis, of the best reference, and of both.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { hypothesis, references in
      let own = prepared(hypothesis)
      var (best, bestScore) = ([Double](), -1.0)
      for reference in references {
        let counts = compared(own, prepared(reference))
        let score = fScore(counts)
        if score > bestScore { (best, bestScore) = (counts, score) }
      }
      return best
    }
  }

  private struct Prepared {
    let characters: [Unicode.Scalar]
    let words: [Word]
  }

  private func prepared(_ text: [Unicode.Scalar]) -> Prepared {
    let text = lowercase ? text.lowercased : text
    return Prepared(
      characters: whitespace ? text : text.filter { !$0.isPythonSpace }, words: wordOrder > 0 ? text.words().flatMap(splittingPunctuation) : [])
  }

  /// A word with one mark of punctuation taken off, of the end or else of the beginning.
  private func splittingPunctuation(_ word: Word) -> [Word] {
    guard word.count > 1 else { return [word] }
    if isASCIIPunctuation(word[word.count - 1]) { return [word.dropLast(), [word[word.count - 1]]] }
    return isASCIIPunctuation(word[0]) ? [[word[0]], Array(word.dropFirst())] : [word]
  }

  private func isASCIIPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
    default: false
    }
  }

  private func compared(_ hypothesis: Prepared, _ reference: Prepared) -> [Double] {
    func counts<Element: Hashable>(_ own: [Element], _ other: [Element], orders: Int) -> [Double] {
      guard orders > 0 else { return [] }
      let matches = NGramMatches(own, [other], orders: orders)
      return (0..<orders).flatMap { order in
        let total = max(0, other.count - order)
        return [total > 0 ? matches.total(order) : 0, total, matches.correct[order]].map(Double.init)
      }
    }
    return counts(hypothesis.characters, reference.characters, orders: charOrder) + counts(hypothesis.words, reference.words, orders: wordOrder)
  }

  func score(_ sums: [Double]) -> TextScore { TextScore(fScore(sums)) }

  private func fScore(_ counts: [Double]) -> Double {
    let (factor, tiny) = (Double(beta * beta), 1e-16)
    var (sum, precision, recall, orders) = (0.0, 0.0, 0.0, 0.0)
    for start in stride(from: 0, to: counts.count, by: 3) {
      let (own, other, both) = (counts[start], counts[start + 1], counts[start + 2])
      let (p, r) = (own > 0 ? both / own : tiny, other > 0 ? both / other : tiny)
      sum += factor * p + r > 0 ? (1 + factor) * p * r / (factor * p + r) : tiny
      guard own > 0, other > 0 else { continue }
      precision += p
      recall += r
      orders += 1
    }
    if epsSmoothing { return 100 * sum / Double(charOrder + wordOrder) }
    guard orders > 0, precision + recall > 0 else { return 0 }
    (precision, recall) = (precision / orders, recall / orders)
    // With beta 0 the recall counts for nothing, and a precision alone can make both terms 0.
    let denominator = factor * precision + recall
    return denominator > 0 ? 100 * ((1 + factor) * precision * recall / denominator) : 0
  }
}

/// chrF with pairs of words.
struct ChrfPlusPlus: TextScorer {
  var chrf = Chrf(wordOrder: 2)

  static let recordName = "chrfpp options"
  static let fields = Field<Self>.fields(of: \.chrf)

  func statistics(of texts: ScoredTexts) throws -> [[Double]] { try chrf.statistics(of: texts) }

  func score(_ sums: [Double]) -> TextScore { chrf.score(sums) }
}

extension Metric {
  /// chrF2, 0 to 100.
  public static let chrf = Metric(
    name: "chrf",
    doc: "F-score of shared n-grams of characters, 0 to 100",
    reference: "sacrebleu.metrics.CHRF (sacreBLEU 2.6)",
    scorer: Chrf())

  /// chrF2++, 0 to 100.
  public static let chrfpp = Metric(
    name: "chrfpp",
    doc: "chrF++: F-score of shared n-grams of characters and of words, 0 to 100",
    reference: "sacrebleu.metrics.CHRF(word_order=2) (sacreBLEU 2.6)",
    scorer: ChrfPlusPlus())
}
