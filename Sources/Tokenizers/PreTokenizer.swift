import Files

/// Text cut into pieces: one run of bytes, and where each piece ends.
struct Pieces: Sendable {
  var bytes: [UInt8]
  var ends: [Int]
  /// Whether the text that comes next is the start of the whole text.
  var isAtStart = false

  init() {
    bytes = []
    ends = []
  }

  /// One piece; none if the text is empty.
  init(whole text: [UInt8]) {
    bytes = text
    ends = text.isEmpty ? [] : [text.count]
  }

  /// Ends a piece at the end of the bytes, unless it would be empty.
  @inline(__always)
  mutating func cut() {
    if bytes.count > (ends.last ?? 0) { ends.append(bytes.count) }
  }

  /// Where one scalar of a text goes.
  enum Place {
    /// Into the piece before it.
    case inside
    /// To the beginning of a new piece.
    case first
    /// Into a piece of its own.
    case alone
    /// Into no piece, which ends the one before it.
    case nowhere
  }

  /// Appends a text, scalar by scalar, each where `place` says, and ends a piece behind it.
  @inline(__always)
  mutating func append(_ text: UnsafeBufferPointer<UInt8>, _ place: (Unicode.Scalar) -> Place) {
    var position = 0
    while position < text.count {
      let (next, length) = scalar(in: text, at: position)
      let place = place(next)
      if place != .inside { cut() }
      if place != .nowhere {
        if length == 1 { bytes.append(text[position]) } else { bytes.append(contentsOf: text[position..<position + length]) }
        if place == .alone { cut() }
      }
      position += length
    }
    cut()
  }

  /// Calls `body` with the bytes of each piece.
  @inline(__always)
  func forEach(_ body: (UnsafeBufferPointer<UInt8>) throws -> Void) rethrows {
    try bytes.withUnsafeBufferPointer { buffer in
      var start = 0
      for end in ends {
        try body(UnsafeBufferPointer(rebasing: buffer[start..<end]))
        start = end
      }
    }
  }
}

/// Cuts pieces of text into smaller ones, the words that a model then sees one by one.
protocol PreTokenizer: Sendable {
  /// Appends the pieces of `text` to `out`.
  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces)
}

/// The pre-tokenizers of `tokenizer.json`, by their `type`.
enum PreTokenizerCatalogue {
  static let types: [ComponentType<any PreTokenizer>] = [
    .init("BertPreTokenizer") { _, _ in BertPreTokenizer() },
    .init("ByteLevel") { try ByteLevel($0, at: $1) },
    .init("Digits") { try Digits($0, at: $1) },
    .init("Metaspace") { try Metaspace($0, at: $1) },
    .init("Sequence") { try PreTokenizerSequence($0, at: $1) },
    .init("Split") { try PatternSplit($0, at: $1) },
    .init("Whitespace") { _, _ in Whitespace() },
    .init("WhitespaceSplit") { _, _ in WhitespaceSplit() },
  ]

  static func make(_ json: JSONValue?, at place: String) throws -> (any PreTokenizer)? {
    guard let json, json != .null else { return nil }
    return try component(json, among: types, "pre_tokenizer", at: place)
  }
}

/// Splits at white space, which goes, and around every punctuation character.
struct BertPreTokenizer: PreTokenizer {
  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    out.append(text) { next in
      UnicodeClasses.isWhitespace(next) ? .nowhere : UnicodeClasses.isBertPunctuation(next) ? .alone : .inside
    }
  }
}

/// Splits at white space, and between word characters and all others: `\w+|[^\w\s]+`.
struct Whitespace: PreTokenizer {
  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    var wasWord = false
    out.append(text) { next in
      let isWord = UnicodeClasses.isWord(next)
      defer { wasWord = isWord }
      return UnicodeClasses.isWhitespace(next) ? .nowhere : isWord != wasWord ? .first : .inside
    }
  }
}

/// Splits at white space.
struct WhitespaceSplit: PreTokenizer {
  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    out.append(text) { UnicodeClasses.isWhitespace($0) ? .nowhere : .inside }
  }
}

/// Pre-tokenizers one after another, each on the pieces of the one before.
struct PreTokenizerSequence: PreTokenizer {
  let stages: [any PreTokenizer]

  init(_ json: JSONValue, at place: String) throws {
    stages = try json.array("pretokenizers", at: place).compactMap {
      try PreTokenizerCatalogue.make($0, at: place)
    }
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    var pieces = Pieces(whole: Array(text))
    for stage in stages {
      var finer = Pieces()
      finer.isAtStart = out.isAtStart
      pieces.forEach {
        stage.split($0, into: &finer)
        finer.isAtStart = false
      }
      pieces = finer
    }
    pieces.forEach {
      out.bytes.append(contentsOf: $0)
      out.cut()
    }
  }
}
