/// Divides all scores by a number.
struct Temperature: LogitsRule {
  let temperature: Float

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    for i in scores.indices { scores[i] /= temperature }
  }
}
