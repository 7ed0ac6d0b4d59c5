import Foundation

/// Leaves out tokens whose probability is below a share of the most probable one's.
///
/// Paper: Nguyen et al. 2024, arXiv 2407.01082.
struct MinP: LogitsRule {
  let share: Double

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    guard let best = scores.max() else { return }
    for i in scores.indices where exp(Double(scores[i] - best)) < share { scores[i] = -.infinity }
  }
}
