import Diagnostics
import Files
import Foundation

/// SentencePiece's normalizer: a table that maps characters to text, usually NFKC with white space made plain.
///
/// The table is a trie of what is replaced, in Darts' double array, and the texts that replace it, each with a NUL behind it. As in the
/// reference, a character (what Unicode calls a grapheme cluster) of fewer than 6 bytes is looked up as a whole, and becomes what
/// the shortest key that begins it stands for; any other is looked up scalar by scalar.
struct CharacterMap: Normalizer {
  private let units: [UInt32]
  private let texts: [UInt8]
  /// What each ASCII character becomes; nil: itself.
  private let ascii: [[UInt8]?]
  let growth: Double

  private static let longestLookedUpWhole = 5

  init(_ json: JSONValue, at place: String) throws {
    guard let bytes = Data(base64Encoded: try json.string("precompiled_charsmap", at: place)) else {
      throw EngineError(.data, "\(place): 'precompiled_charsmap' is no text in base64")
    }
    try self.init([UInt8](bytes), at: place)
  }

  /// `map`: size of the trie in bytes, the trie, the texts; numbers of 32 bits, little-endian.
  init(_ map: [UInt8], at place: String) throws {
    func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(map[at + $1]) << (8 * UInt32($1)) } }
    guard map.count >= 8, case let size = Int(word(0)), size >= 4, size % 4 == 0, size <= map.count - 4 else {
      throw EngineError(.data, "\(place): 'precompiled_charsmap' holds no table: its size does not fit")
    }
    units = stride(from: 4, to: 4 + size, by: 4).map(word)
    texts = Array(map[(4 + size)...])
    guard String(validating: texts, as: UTF8.self) != nil else {
      throw EngineError(.data, "\(place): the texts of 'precompiled_charsmap' are not UTF-8")
    }
    growth = Double(max(1, texts.split(separator: 0).map(\.count).max() ?? 1))
    let (units, texts) = (units, texts)
    ascii = (0..<128).map { byte in
      Self.text(of: CollectionOfOne(UInt8(byte)), units, texts).map { Array($0) }
    }
  }

  func normalize(_ text: [UInt8]) -> [UInt8] {
    var out = [UInt8]()
    out.reserveCapacity(text.count + text.count / 8)
    // A carriage return and the line feed behind it are one character.
    if text.allSatisfy({ $0 < 0x80 && $0 != 0x0D }) {
      for byte in text {
        if let replaced = ascii[Int(byte)] { out += replaced } else { out.append(byte) }
      }
      return out
    }
    for character in String(decoding: text, as: UTF8.self) {
      let bytes = character.utf8
      if bytes.count <= Self.longestLookedUpWhole, let replaced = Self.text(of: bytes, units, texts) {
        out += replaced
        continue
      }
      for scalar in character.unicodeScalars {
        let bytes = UTF8.encode(scalar).map { Array($0) } ?? []
        out += Self.text(of: bytes, units, texts) ?? bytes[...]
      }
    }
    return out
  }

  /// What the shortest key that begins `bytes` is replaced by; nil where there is none.
  private static func text(of bytes: some Sequence<UInt8>, _ units: [UInt32], _ texts: [UInt8]) -> ArraySlice<UInt8>? {
    func offset(_ unit: UInt32) -> UInt32 { (unit >> 10) << ((unit & (1 << 9)) >> 6) }
    var node = offset(units[0])
    for byte in bytes {
      if byte == 0 { return nil }
      node ^= UInt32(byte)
      guard node < units.count, case let unit = units[Int(node)], unit & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
      node ^= offset(unit)
      guard node < units.count else { return nil }
      if unit >> 8 & 1 == 1 {
        let start = Int(units[Int(node)] & ~(1 << 31))
        guard start < texts.count else { return nil }
        return texts[start...].prefix { $0 != 0 }
      }
    }
    return nil
  }
}
