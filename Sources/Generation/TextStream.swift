/// A text that grows, shown as it grows: without its last word, which tokens to come may still change.
public struct TextStream {
  private var shown: [UInt8] = []

  public init() {}

  /// Whether a part of the text was shown.
  public var hasBegun: Bool { !shown.isEmpty }

  /// What there is to show of the text so far; nil: nothing new.
  public mutating func piece(of text: String) -> String? {
    let bytes = Array(text.utf8)
    // White space goes with the word behind it: some tokenizers take it back in front of what comes.
    guard let end = bytes.lastIndex(where: { [0x20, 0x0A, 0x09].contains($0) }), end > shown.count, bytes[..<end].starts(with: shown) else {
      return nil
    }
    defer { shown = Array(bytes[..<end]) }
    return String(decoding: bytes[shown.count..<end], as: UTF8.self)
  }

  /// What is left to show of the whole text; nil: a token took back more than its own word, and what was shown is no part of it.
  public func rest(of text: String) -> String? {
    let bytes = Array(text.utf8)
    return bytes.starts(with: shown) ? String(decoding: bytes[shown.count...], as: UTF8.self) : nil
  }
}
