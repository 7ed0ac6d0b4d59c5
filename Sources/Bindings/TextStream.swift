/// A text that grows, shown as it grows: without its last word, which tokens to come may still change.
struct TextStream {
  private let write: (String) -> Void
  private var shown: [UInt8] = []

  /// `write`: shows a piece of text.
  init(_ write: @escaping (String) -> Void) { self.write = write }

  /// Whether a part of the text was shown.
  var hasBegun: Bool { !shown.isEmpty }

  /// The text so far.
  mutating func show(_ text: String) {
    let bytes = Array(text.utf8)
    // White space goes with the word behind it: some tokenizers take it back in front of what comes.
    guard let end = bytes.lastIndex(where: { [0x20, 0x0A, 0x09].contains($0) }), bytes[..<end].starts(with: shown) else { return }
    write(String(decoding: bytes[shown.count..<end], as: UTF8.self))
    shown = Array(bytes[..<end])
  }

  /// The whole text, and the end of its line.
  mutating func end(_ text: String) {
    let bytes = Array(text.utf8)
    // Where a token took back more than its own word, the whole text follows on a line of its own.
    let rest = bytes.starts(with: shown) ? String(decoding: bytes[shown.count...], as: UTF8.self) : "\n" + text
    write(rest + "\n")
    shown = []
  }
}
