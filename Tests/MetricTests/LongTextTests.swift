import Diagnostics
import Testing

@testable import Metrics

/// Lines of many thousand words: what is quadratic ends soon, can be interrupted, or is refused.
struct LongTextTests {
  private static let same = String(repeating: "the ", count: 3000)
  private static let different = (0..<3000).map { "w\($0 * 7 % 6007)" }.joined(separator: " ")

  @Test(arguments: ["sacrebleu", "nist", "rouge2", "rougeL", "rougeLsum", "coco_rouge_l", "cider", "chrf"])
  func endsSoon(_ name: String) throws {
    let texts = try ScoredTexts(hypotheses: [Self.same, Self.different], references: [[Self.same], [Self.same, Self.different + " x"]])
    #expect(try MetricCatalogue.metric(named: name).score(texts).score.value.isFinite)
  }

  /// Both ways of the longest common subsequence, against the table of all lengths.
  @Test func subsequencesOfLongTexts() throws {
    var random = PCG64(seed: 3)
    for (own, other) in [(0, 3), (1, 1), (63, 64), (64, 65), (65, 130), (200, 150)] {
      let a = (0..<own).map { _ in random.below(6) }
      let b = (0..<other).map { _ in random.below(6) }
      var table = Array(repeating: Array(repeating: 0, count: own + 1), count: other + 1)
      for i in 0..<other {
        for j in 0..<own { table[i + 1][j + 1] = a[j] == b[i] ? table[i][j] + 1 : max(table[i][j + 1], table[i + 1][j]) }
      }
      var (i, j, places) = (other, own, [Int]())
      while i > 0, j > 0 {
        if a[j - 1] == b[i - 1] {
          places.append(i - 1)
          (i, j) = (i - 1, j - 1)
        } else if table[i][j - 1] > table[i - 1][j] {
          j -= 1
        } else {
          i -= 1
        }
      }
      let subsequence = LongestCommonSubsequence(a)
      #expect(try subsequence.length(with: b) == table[other][own])
      #expect(try subsequence.places(in: b) == places.reversed())
    }
  }

  @Test(arguments: [
    ("meteor", "meteor: segment 1: more than 4000000 pairs of words match; cut the text into segments"),
    ("pyter", "pyter: segment 1: 9000000 pairs of equal words, at most 1000000 are searched for moves; use ter, whose search has limits"),
  ])
  func refuses(_ name: String, message: String) throws {
    let texts = try ScoredTexts(hypotheses: [Self.same], references: [[Self.same + "end"]])
    let error = #expect(throws: EngineError.self) {
      try MetricCatalogue.metric(named: name).score(texts, settings: name == "meteor" ? [("synonyms", "false")] : [])
    }
    #expect(error?.description == message)
  }

  /// tercom's search tries no more than so many moves.
  @Test func boundsMoves() throws {
    let words = (0..<150).map { "w\($0 % 40)" }
    let texts = try ScoredTexts(hypotheses: [words.joined(separator: " ")], references: [[words.reversed().joined(separator: " ")]])
    let score = try Metric.ter.score(texts).score.value
    #expect(score > 0 && score <= 100)
  }
}
