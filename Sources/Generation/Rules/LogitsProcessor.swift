/// A rule that whoever asks for the text brings along.
struct LogitsProcessor: LogitsRule {
  let process: (Written, UnsafeMutableBufferPointer<Float>) throws -> Void

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) throws { try process(written, scores) }
}
