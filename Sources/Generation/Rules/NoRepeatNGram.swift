/// Forbids tokens that would complete a sequence of `size` tokens for the second time.
struct NoRepeatNGram: LogitsRule {
  let size: Int
  let countsPrompt: Bool

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    let tokens = countsPrompt ? written.tokens[...] : written.new
    guard tokens.count >= size else { return }
    let last = tokens.suffix(size - 1)
    for start in tokens.startIndex...(tokens.endIndex - size) where tokens[start..<start + size - 1].elementsEqual(last) {
      let banned = Int(tokens[start + size - 1])
      if banned < scores.count { scores[banned] = -.infinity }
    }
  }
}
