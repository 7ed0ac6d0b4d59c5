import Diagnostics
import Foundation
import TensorCore

/// Beam search as in the LoRA authors' code for E2E, WebNLG and DART (`gpt2_beam.py`).
///
/// Rules act on logits, so that probabilities sum to 1 without what is forbidden; only what was written counts for them, not the
/// prompt. The `beams` best continuations go on. One that ends is a candidate with its log probability over its length to the
/// length penalty; the best candidate is kept, and nobody takes its place. Nothing ends the search early: after the last step the
/// live ones are candidates too.
struct LoRABeamSearch: Search {
  private let beams: Int
  private let lengthPenalty: Double
  private let rules: [any LogitsRule]
  private let ending: Ending
  private var live: [(written: Written, score: Float)]
  private var best: Hypothesis?

  init(_ prompt: [Int32], beams: Int, lengthPenalty: Double, rules: [any LogitsRule], ending: Ending) {
    (self.beams, self.lengthPenalty, self.rules, self.ending) = (beams, lengthPenalty, rules, ending)
    live = [(Written(prompt: prompt), 0)]
  }

  var results: [Hypothesis] { best.map { [$0] } ?? [] }

  mutating func advance(_ scores: StepScores) throws -> [Continuation] {
    let width = scores.vocabulary
    for (row, beam) in live.enumerated() {
      for rule in rules { try rule.apply(to: scores.logits(row), after: beam.written) }
    }
    let sums = rules.isEmpty ? Array(scores.logSums) : scores.logits.logSums(rows: live.count)
    let candidates = scores.logits.best(beams, rows: live.count, minus: sums, plus: live.map(\.score))
    let length = (live.first?.written.new.count ?? 0) + 1
    var (next, chosen): ([(Written, Float)], [Continuation]) = ([], [])
    for candidate in candidates {
      let (row, token) = (candidate.index / width, Int32(candidate.index % width))
      var written = live[row].written
      written.tokens.append(token)
      if ending.tokens.contains(token) || length == ending.maxNewTokens {
        let score = Double(candidate.score / Float(pow(Double(length), lengthPenalty)))
        if best.map({ $0.score < score }) ?? true { best = Hypothesis(tokens: Array(written.new), score: score) }
      } else {
        next.append((written, candidate.score))
        chosen.append(Continuation(parent: row, token: token))
      }
    }
    guard !next.isEmpty || best != nil else { throw noTokenLeft(length - 1) }
    live = next
    return chosen
  }
}
