import Diagnostics
import Files

/// Turns tokens back into text, as bytes: a byte-level token may hold part of a character.
protocol Decoder: Sendable {
  func decode(_ tokens: [[UInt8]]) -> [[UInt8]]
  /// How many times as long it can make a text.
  var growth: Double { get }
}

extension Decoder {
  var growth: Double { 1 }
}

/// The decoders of `tokenizer.json`, by their `type`.
enum DecoderCatalogue {
  static let types: [ComponentType<any Decoder>] = [
    .init("ByteFallback") { _, _ in ByteFallbackDecoder() },
    .init("ByteLevel") { _, _ in ByteLevelDecoder() },
    .init("Fuse") { _, _ in FuseDecoder() },
    .init("Metaspace") { try Metaspace($0, at: $1) },
    .init("Replace") { try Replace($0, at: $1) },
    .init("Sequence") { try DecoderSequence($0, at: $1) },
    .init("Strip") { try StripDecoder($0, at: $1) },
    .init("WordPiece") { try WordPieceDecoder($0, at: $1) },
  ]

  static func make(_ json: JSONValue?, at place: String) throws -> (any Decoder)? {
    guard let json, json != .null else { return nil }
    let decoder = try component(json, among: types, "decoder", at: place)
    try checkGrowth(decoder.growth, "decoder", at: place)
    return decoder
  }
}

/// Characters back to the bytes they stand for; a token with any other character is taken as it is.
struct ByteLevelDecoder: Decoder {
  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var out = [UInt8]()
    for token in tokens {
      let start = out.count
      var isByteLevel = true
      forEachScalar(of: token) { scalar in
        let byte = scalar.value < 0x200 ? ByteLevel.bytes[Int(scalar.value)] : -1
        if byte >= 0 { out.append(UInt8(byte)) } else { isByteLevel = false }
      }
      if !isByteLevel {
        out.removeSubrange(start...)
        out.append(contentsOf: token)
      }
    }
    return [out]
  }
}

/// Joins words with spaces and their continuations without; `cleanup` then takes back the spaces
/// before punctuation and in English contractions.
struct WordPieceDecoder: Decoder {
  private let prefix: [UInt8]
  private let cleansUp: Bool

  private static let cleanups: [(from: TextPattern, to: [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (.text(Array($0.utf8)), Array($1.utf8)) }

  init(_ json: JSONValue, at place: String) throws {
    prefix = Array((try json.optionalString("prefix", at: place) ?? "##").utf8)
    cleansUp = try json.bool("cleanup", default: true, at: place)
  }

  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
    tokens.enumerated().map { index, token in
      var text = token
      if index > 0 {
        text = token.starts(with: prefix) ? Array(token[prefix.count...]) : [0x20] + token
      }
      guard cleansUp else { return text }
      return WordPieceDecoder.cleanups.reduce(text) { $1.from.replaced(with: $1.to, in: $0) }
    }
  }
}

/// Tokens that stand for one byte, `<0x0A>`, back to bytes; a run of them that is no text gives a replacement for each.
struct ByteFallbackDecoder: Decoder {
  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var out: [[UInt8]] = []
    var bytes: [UInt8] = []
    func finish() {
      let isText = String(validating: bytes, as: UTF8.self) != nil
      out += isText ? [bytes] : bytes.map { _ in Array("\u{FFFD}".utf8) }
      bytes = []
    }
    for token in tokens {
      if let byte = ByteFallback.byte(of: token) {
        bytes.append(byte)
      } else {
        if !bytes.isEmpty { finish() }
        out.append(token)
      }
    }
    if !bytes.isEmpty { finish() }
    return out
  }
}

/// Tokens that stand for one byte of a character that the vocabulary lacks.
enum ByteFallback {
  /// The token of each byte.
  static let tokens: [String] = (0..<256).map { byte in
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
  }

  static func byte(of token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">"),
      token[3...4].allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit })
    else { return nil }
    return UInt8(String(decoding: token[3...4], as: UTF8.self), radix: 16)
  }
}

/// Takes a character off the ends of every token, at most so many times.
struct StripDecoder: Decoder {
  private let content: [UInt8]
  private let start, stop: Int

  init(_ json: JSONValue, at place: String) throws {
    content = Array(try json.string("content", at: place).utf8)
    func count(_ key: String) throws -> Int {
      guard case .int(let value)? = json[key], value >= 0 else {
        throw EngineError(.data, "\(place): '\(key)' is not a whole number of at least 0")
      }
      return value
    }
    (start, stop) = (try count("start"), try count("stop"))
    guard !content.isEmpty else { throw EngineError(.data, "\(place): 'content' is empty") }
  }

  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
    tokens.map { token in
      var token = token[...]
      for _ in 0..<start where token.starts(with: content) { token = token.dropFirst(content.count) }
      for _ in 0..<stop where token.count >= content.count && token.suffix(content.count).elementsEqual(content) {
        token = token.dropLast(content.count)
      }
      return Array(token)
    }
  }
}

/// All tokens as one.
struct FuseDecoder: Decoder {
  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] { [Array(tokens.joined())] }
}

extension Replace: Decoder {
  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] { tokens.map(normalize) }
}

/// Decoders one after another.
struct DecoderSequence: Decoder {
  let stages: [any Decoder]

  init(_ json: JSONValue, at place: String) throws {
    stages = try json.array("decoders", at: place).compactMap {
      try DecoderCatalogue.make($0, at: place)
    }
  }

  func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
    stages.reduce(tokens) { $1.decode($0) }
  }

  var growth: Double { stages.reduce(1) { $0 * $1.growth } }
}
