import Foundation

/// Keeps the most probable tokens, as few as have `probability` together: the nucleus.
///
/// Paper: Holtzman et al. 2019, arXiv 1904.09751.
struct TopP: LogitsRule {
  let probability: Double

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    guard let best = scores.max(), best > -.infinity else { return }
    let total = scores.reduce(0.0) { $0 + exp(Double($1 - best)) }
    // The nucleus is small mostly: a few tokens are looked for, and more where these are not enough.
    var count = 32
    while true {
      let sorted = scores.best(count)
      var sum = 0.0
      let last = sorted.firstIndex { candidate in
        sum += exp(Double(candidate.score - best)) / total
        return sum >= probability
      }
      if let last {
        scores.update(repeating: -.infinity)
        for candidate in sorted[...last] { scores[candidate.index] = candidate.score }
        return
      }
      guard sorted.count == count else { return }
      count *= 8
    }
  }
}
