import Foundation

/// Keeps the most probable tokens, as few as have `probability` together: the nucleus.
///
/// Paper: Holtzman et al. 2019, arXiv 1904.09751.
struct TopP: LogitsRule {
  let probability: Double

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    let order = scores.indices.filter { scores[$0] > -.infinity }.sorted { (scores[$0], $1) < (scores[$1], $0) }
    guard let best = order.last.map({ scores[$0] }) else { return }
    let weights = order.map { exp(Double(scores[$0] - best)) }
    let total = weights.reduce(0, +)
    // From the least probable one, as long as what is left out has 1 - probability or less.
    var sum = 0.0
    for (token, weight) in zip(order.dropLast(), weights) {
      sum += weight / total
      guard sum <= 1 - probability else { return }
      scores[token] = -.infinity
    }
  }
}
