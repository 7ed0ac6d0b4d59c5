/// Forbids tokens: everywhere, or as the first one that a model may choose.
struct SuppressedTokens: LogitsRule {
  let tokens: [Int32]
  /// How many tokens stand before the place, the prompt's included; nil: everywhere.
  let place: Int?
  var onlyForbids: Bool { true }

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    guard place == nil || place == written.tokens.count else { return }
    for token in tokens where Int(token) < scores.count { scores[Int(token)] = -.infinity }
  }
}
