import Diagnostics

/// What a summary has in common with a reference: single words, words in a row, or words in the same order.
///
/// Lin, 2004.
struct Rouge: TextScorer {
  /// What is compared.
  enum Unit: Sendable {
    /// Words in a row, so many.
    case ngrams(Int)
    /// The longest common subsequence of the whole texts.
    case sequence
    /// For each line of the reference, the union of its longest common subsequences with the lines of the text.
    case lines
  }

  var unit = Unit.ngrams(1)
  var useStemmer = true

  static let recordName = "rouge options"
  static let fields: [Field<Self>] = [
    .value("use_stemmer", \.useStemmer, "whether words of more than three letters are compared by their stems")
  ]

  /// Precision, recall and F-score against the reference with the best F-score, and 1.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    let stemmer = useStemmer ? PorterStemmer() : nil
    return try texts.map { hypothesis, references in
      var best = [0.0, 0, 0, 1]
      for (place, reference) in references.enumerated() {
        let (precision, recall) = try compared(hypothesis, reference, stemmer)
        let score = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0
        if place == 0 || score > best[2] { best = [precision, recall, score, 1] }
      }
      return best
    }
  }

  private func compared(
    _ hypothesis: [Unicode.Scalar], _ reference: [Unicode.Scalar], _ stemmer: PorterStemmer?
  ) throws -> (precision: Double, recall: Double) {
    switch unit {
    case .ngrams(let order):
      let (own, other) = (rougeWords(hypothesis, stemmer: stemmer), rougeWords(reference, stemmer: stemmer))
      let matches = NGramMatches(own, [other], orders: order)
      let shared = Double(matches.correct[order - 1])
      return (shared / Double(max(matches.total(order - 1), 1)), shared / Double(max(other.count - order + 1, 1)))
    case .sequence:
      let (own, other) = (rougeWords(hypothesis, stemmer: stemmer), rougeWords(reference, stemmer: stemmer))
      guard !own.isEmpty, !other.isEmpty else { return (0, 0) }
      var index = NGramIndex<[UInt8]>(orders: 1)
      let length = Double(try LongestCommonSubsequence(index.add(own)[0]).length(with: index.add(other)[0]))
      return (length / Double(own.count), length / Double(other.count))
    case .lines:
      var index = NGramIndex<[UInt8]>(orders: 1)
      func lines(_ text: [Unicode.Scalar]) -> [[Int]] {
        text.split(separator: "\n").map { index.add(rougeWords(Array($0), stemmer: stemmer))[0] }
      }
      return try linewise(lines(hypothesis), lines(reference))
    }
  }

  private func linewise(_ own: [[Int]], _ other: [[Int]]) throws -> (precision: Double, recall: Double) {
    let (ownCount, otherCount) = (own.reduce(0) { $0 + $1.count }, other.reduce(0) { $0 + $1.count })
    guard ownCount > 0, otherCount > 0 else { return (0, 0) }
    var ownLeft = NGramIndex<Int>.counts(own.flatMap { $0 })
    var otherLeft = NGramIndex<Int>.counts(other.flatMap { $0 })
    let subsequences = own.map(LongestCommonSubsequence.init)
    var hits = 0
    for line in other {
      let union = try subsequences.reduce(into: Set<Int>()) { $0.formUnion(try $1.places(in: line)) }
      for place in union.sorted() {
        // A word counts at most as often as each side has it.
        guard let left = ownLeft[line[place]], left > 0, let right = otherLeft[line[place]], right > 0 else { continue }
        hits += 1
        (ownLeft[line[place]], otherLeft[line[place]]) = (left - 1, right - 1)
      }
    }
    return (Double(hits) / Double(ownCount), Double(hits) / Double(otherCount))
  }

  func score(_ sums: [Double]) -> TextScore {
    TextScore(sums[2] / sums[3], ["precision": sums[0] / sums[3], "recall": sums[1] / sums[3]])
  }
}

extension Metric {
  /// ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum: mean F-scores, each 0 to 1.
  public static let rouge1 = rouge("rouge1", "single words", .ngrams(1))
  public static let rouge2 = rouge("rouge2", "pairs of words", .ngrams(2))
  public static let rougeL = rouge("rougeL", "the longest common subsequence", .sequence)
  public static let rougeLsum = rouge("rougeLsum", "the longest common subsequences of lines, of which each is a sentence", .lines)

  private static func rouge(_ name: String, _ what: String, _ unit: Rouge.Unit) -> Metric {
    Metric(
      name: name, doc: "mean F-score of \(what), 0 to 1; against the best of several references",
      reference: "rouge_score.rouge_scorer.RougeScorer(['\(name)'], use_stemmer=True).score_multi, mean of fmeasure",
      scorer: Rouge(unit: unit))
  }
}
