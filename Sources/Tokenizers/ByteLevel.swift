import Files

/// GPT-2's byte-level splitting: words by its pattern, every byte then written as a visible
/// character.
struct ByteLevel: PreTokenizer {
  let addsPrefixSpace: Bool
  let usesPattern: Bool

  init(addsPrefixSpace: Bool) {
    self.addsPrefixSpace = addsPrefixSpace
    usesPattern = true
  }

  init(_ json: JSONValue, at place: String) throws {
    addsPrefixSpace = try json.bool("add_prefix_space", default: true, at: place)
    usesPattern = try json.bool("use_regex", default: true, at: place)
  }

  func split(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    if addsPrefixSpace, text.first != 0x20 {
      let padded = [0x20] + Array(text)
      padded.withUnsafeBufferPointer { splitWords($0, into: &out) }
    } else {
      splitWords(text, into: &out)
    }
  }

  private func splitWords(_ text: UnsafeBufferPointer<UInt8>, into out: inout Pieces) {
    var position = 0
    while position < text.count {
      let end = usesPattern ? ByteLevel.wordEnd(in: text, from: position) : text.count
      for index in position..<end {
        let character = ByteLevel.characters[Int(text[index])]
        out.bytes.append(character.0)
        if character.1 != 0 { out.bytes.append(character.1) }
      }
      out.cut()
      position = end
    }
  }

  /// The end of the match, at `start`, of
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  /// which matches at every position.
  static func wordEnd(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    if text[start] == UInt8(ascii: "'"), let end = contractionEnd(in: text, from: start) {
      return end
    }
    var position = start
    var (kind, length) = split(text, at: position)
    if text[start] == 0x20, start + 1 < text.count {
      let following = split(text, at: start + 1)
      if following.kind != .space {
        position += 1
        (kind, length) = following
      }
    }
    var last = position
    repeat {
      last = position
      position += length
      guard position < text.count else { return position }
      let next = split(text, at: position)
      length = next.length
      if next.kind != kind { break }
    } while true
    // White space before a word leaves its last character to that word.
    return kind == .space && last > start ? last : position
  }

  private static func contractionEnd(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
    guard start + 1 < text.count else { return nil }
    switch text[start + 1] {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return start + 2 < text.count && text[start + 2] == UInt8(ascii: "e") ? start + 3 : nil
    case UInt8(ascii: "l"):
      return start + 2 < text.count && text[start + 2] == UInt8(ascii: "l") ? start + 3 : nil
    default: return nil
    }
  }

  @inline(__always)
  private static func split(
    _ text: UnsafeBufferPointer<UInt8>, at position: Int
  ) -> (kind: UnicodeClasses.Split, length: Int) {
    let byte = text[position]
    if byte < 0x80 { return (UnicodeClasses.asciiSplit[Int(byte)], 1) }
    let (next, length) = scalar(in: text, at: position)
    return (UnicodeClasses.split(next), length)
  }

  // MARK: Bytes as characters

  /// The character of each byte: itself where it is a visible Latin-1 character, else U+0100 and
  /// on, in order.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt16 = 0x100
    return (0...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? "\u{FFFD}"
      }
    }
  }()

  /// The UTF-8 bytes of `scalars`; the second is 0 where there is one.
  private static let characters: [(UInt8, UInt8)] = scalars.map { scalar in
    let bytes = Array(String(scalar).utf8)
    return (bytes[0], bytes.count > 1 ? bytes[1] : 0)
  }

  /// The byte of each character below U+0200, -1 for those that stand for none.
  static let bytes: [Int16] = {
    var table = [Int16](repeating: -1, count: 0x200)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = Int16(byte) }
    return table
  }()
}
