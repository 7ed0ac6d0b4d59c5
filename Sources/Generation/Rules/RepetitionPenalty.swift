/// Makes tokens that occurred less probable: a positive score is divided by the penalty, a negative one multiplied.
///
/// Paper: Keskar et al. 2019, arXiv 1909.05858.
struct RepetitionPenalty: LogitsRule {
  let penalty: Float
  let countsPrompt: Bool

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    for token in Set(countsPrompt ? written.tokens[...] : written.new) where Int(token) < scores.count {
      let score = scores[Int(token)]
      scores[Int(token)] = score < 0 ? score * penalty : score / penalty
    }
  }
}
