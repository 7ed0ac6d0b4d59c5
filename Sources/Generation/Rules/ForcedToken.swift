/// Allows some tokens and no others at one place of a text. They have the score 0 there, as in Transformers.
struct ForcedToken: LogitsRule {
  let tokens: [Int32]
  /// How many tokens stand before the place, the prompt's included.
  let place: Int

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    guard written.tokens.count == place else { return }
    scores.update(repeating: -.infinity)
    for token in tokens where Int(token) < scores.count { scores[Int(token)] = 0 }
  }
}
