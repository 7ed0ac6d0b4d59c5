import Diagnostics
import Foundation

/// One text, token by token: the most probable one each time, or a drawn one.
struct SequenceSearch: Search {
  private var written: Written
  private let rules: [any LogitsRule]
  private let ending: Ending
  /// A number from 0 to below 1 for a step; nil: nothing is drawn.
  private let draw: ((_ step: Int) -> Double)?
  private var score = 0.0

  init(_ prompt: [Int32], rules: [any LogitsRule], ending: Ending, draw: ((_ step: Int) -> Double)?) {
    (written, self.rules, self.ending, self.draw) = (Written(prompt: prompt), rules, ending, draw)
  }

  var results: [Hypothesis] { [Hypothesis(tokens: Array(written.new), score: score)] }

  mutating func advance(_ scores: StepScores) throws -> [Continuation] {
    let logits = scores.logits(0)
    // The score is the model's, whatever rules make of it.
    let own = rules.allSatisfy(\.onlyForbids) ? [] : Array(logits)
    for rule in rules { try rule.apply(to: logits, after: written) }
    guard let token = draw.map({ Self.drawn(logits, at: $0(written.new.count)) }) ?? Self.largest(logits) else {
      throw noTokenLeft(written.new.count)
    }
    score += Double((own.isEmpty ? logits[token] : own[token]) - scores.logSum(0))
    let isEnd = try ending.isEnd(Int32(token), after: written)
    written.tokens.append(Int32(token))
    return isEnd ? [] : [Continuation(parent: 0, token: Int32(token))]
  }

  private static func largest(_ scores: UnsafeMutableBufferPointer<Float>) -> Int? {
    scores.best(1).first?.index
  }

  /// The first token up to which the probabilities exceed `draw`.
  private static func drawn(_ scores: UnsafeMutableBufferPointer<Float>, at draw: Double) -> Int? {
    guard let best = largest(scores) else { return nil }
    let possible = scores.indices.filter { scores[$0] > -.infinity }
    let weights = possible.map { exp(Double(scores[$0] - scores[best])) }
    let goal = draw * weights.reduce(0, +)
    var sum = 0.0
    for (token, weight) in zip(possible, weights) {
      sum += weight
      if sum > goal { return token }
    }
    return possible.last
  }
}
