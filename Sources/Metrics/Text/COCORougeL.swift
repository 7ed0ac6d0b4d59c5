import Diagnostics

/// The longest common subsequence of captions.
struct COCORougeL: TextScorer {
  static let recordName = "coco_rouge_l options"
  static let fields: [Field<Self>] = []

  private static let beta = 1.2

  /// The F-score, and 1.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { hypothesis, references in
      var index = NGramIndex<Word>(orders: 1)
      // A text without words is one empty word there.
      func numbers(_ text: [Unicode.Scalar]) -> [Int] {
        let words = cocoWords(text)
        return index.add(words.isEmpty ? [[]] : words)[0]
      }
      let own = numbers(hypothesis)
      let subsequence = LongestCommonSubsequence(own)
      var (precision, recall) = (0.0, 0.0)
      for reference in references.map(numbers) {
        let length = Double(try subsequence.length(with: reference))
        precision = max(precision, length / Double(own.count))
        recall = max(recall, length / Double(reference.count))
      }
      guard precision != 0, recall != 0 else { return [0, 1] }
      let square = Self.beta * Self.beta
      return [(1 + square) * precision * recall / (recall + square * precision), 1]
    }
  }

  func score(_ sums: [Double]) -> TextScore { TextScore(sums[0] / sums[1]) }
}

extension Metric {
  /// ROUGE-L of captions, 0 to 1.
  public static let cocoRougeL = Metric(
    name: "coco_rouge_l",
    doc: "ROUGE-L of MS COCO's captions: best precision and best recall over the references, beta 1.2, mean of the segments, 0 to 1",
    reference: "pycocoevalcap.rouge.Rouge",
    scorer: COCORougeL())
}
