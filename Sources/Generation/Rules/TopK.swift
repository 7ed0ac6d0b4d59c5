/// Keeps the `count` best tokens, and those that are as good as the last of them.
struct TopK: LogitsRule {
  let count: Int

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    guard count < scores.count else { return }
    guard let least = scores.best(count).last?.score else { return }
    for i in scores.indices where scores[i] < least { scores[i] = -.infinity }
  }
}
