import Diagnostics
import Foundation

/// Beam search as Transformers has it today.
///
/// Rules act on log probabilities, which are not made to sum to 1 again; what stands in the prompt counts as written. Of the
/// `max(2, 1 + ends) * beams` best continuations, those that end count as finished only among the first `beams`; the best others
/// go on. A finished one's score is its log probability over its number of new tokens, the end included, to the length penalty.
struct BeamSearch: Search {
  struct Options {
    var beams: Int
    var lengthPenalty: Double
    var earlyStopping: EarlyStopping
    var returned: Int
  }

  private let options: Options
  private let rules: [any LogitsRule]
  private let ending: Ending
  private var live: [(written: Written, score: Float)]
  /// At most `beams`, the best first.
  private var finished: [Hypothesis] = []

  init(_ prompt: [Int32], _ options: Options, rules: [any LogitsRule], ending: Ending) {
    (self.options, self.rules, self.ending) = (options, rules, ending)
    live = [(Written(prompt: prompt), 0)]
  }

  var results: [Hypothesis] { Array(finished.prefix(options.returned)) }

  mutating func advance(_ scores: StepScores) throws -> [Continuation] {
    let width = scores.vocabulary
    // A pass over all scores less: what is forbidden is so whatever is subtracted.
    let takesLogits = rules.allSatisfy(\.onlyForbids)
    if !takesLogits { scores.takeLogProbabilities() }
    for (row, beam) in live.enumerated() {
      for rule in rules { try rule.apply(to: scores.logits(row), after: beam.written) }
    }
    let best = scores.logits.best(
      max(2, 1 + ending.tokens.count) * options.beams, rows: live.count, minus: takesLogits ? Array(scores.logSums) : nil,
      plus: live.map(\.score))
    let length = (live.first?.written.new.count ?? 0) + 1
    var (next, chosen): ([(Written, Float)], [Continuation]) = ([], [])
    for (place, candidate) in best.enumerated() {
      let (row, token) = (candidate.index / width, Int32(candidate.index % width))
      let isEnd = try ending.isEnd(token, after: live[row].written)
      guard !isEnd else {
        if place < options.beams { finish(live[row].written.new + [token], candidate.score, length) }
        continue
      }
      guard next.count < options.beams else { continue }
      var written = live[row].written
      written.tokens.append(token)
      next.append((written, candidate.score))
      chosen.append(Continuation(parent: row, token: token))
    }
    guard !next.isEmpty || !finished.isEmpty else { throw noTokenLeft(length - 1) }
    live = next
    if next.isEmpty || !canImprove(length) { return [] }
    return chosen
  }

  private mutating func finish(_ tokens: ArraySlice<Int32>, _ score: Float, _ length: Int) {
    let score = Double(score / Float(pow(Double(length), options.lengthPenalty)))
    let place = finished.firstIndex { $0.score < score } ?? finished.count
    finished.insert(Hypothesis(tokens: Array(tokens), score: score), at: place)
    if finished.count > options.beams { finished.removeLast() }
  }

  /// Whether a live hypothesis may still come among the finished ones.
  private func canImprove(_ length: Int) -> Bool {
    guard finished.count == options.beams, let worst = finished.last?.score else { return true }
    if options.earlyStopping == .whenFull { return false }
    let possible = options.earlyStopping == .never && options.lengthPenalty > 0 ? ending.maxNewTokens : length
    return Double((live.first?.score ?? -.infinity) / Float(pow(Double(possible), options.lengthPenalty))) > worst
  }
}
