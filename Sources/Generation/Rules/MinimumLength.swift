/// Forbids the end of a text before it has its least length.
struct MinimumLength: LogitsRule {
  let ends: [Int32]
  /// Tokens with the prompt, and without it.
  let length, new: Int
  var onlyForbids: Bool { true }

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    guard written.tokens.count < length || written.new.count < new else { return }
    for end in ends where Int(end) < scores.count { scores[Int(end)] = -.infinity }
  }
}
