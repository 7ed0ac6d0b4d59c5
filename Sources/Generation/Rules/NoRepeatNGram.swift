/// Forbids tokens that would complete a sequence of `size` tokens for the second time.
struct NoRepeatNGram: LogitsRule {
  let size: Int
  let countsPrompt: Bool
  var onlyForbids: Bool { true }

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    let start = countsPrompt ? 0 : written.promptCount
    written.tokens.withUnsafeBufferPointer { all in
      let tokens = UnsafeBufferPointer(rebasing: all[start...])
      guard tokens.count >= size else { return }
      let last = tokens.count - (size - 1)
      for first in 0..<last where (0..<size - 1).allSatisfy({ tokens[first + $0] == tokens[last + $0] }) {
        let banned = Int(tokens[first + size - 1])
        if banned < scores.count { scores[banned] = -.infinity }
      }
    }
  }
}
