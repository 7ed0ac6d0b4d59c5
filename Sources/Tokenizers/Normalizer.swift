import Diagnostics
import Files

/// Rewrites text before it is split. Text is UTF-8 bytes, here and in all later stages.
protocol Normalizer: Sendable {
  func normalize(_ text: [UInt8]) -> [UInt8]
  /// How many times as long it can make a text, apart from what Unicode's forms and case do.
  var growth: Double { get }
}

extension Normalizer {
  var growth: Double { 1 }
}

/// Throws for replacements that could make a word fill the memory: a few of them, one after another, suffice.
func checkGrowth(_ growth: Double, _ stage: String, at place: String) throws {
  let most = 100.0
  guard growth <= most else {
    throw EngineError(
      .data,
      "\(place): the replacements of the \(stage) can make a text \(growth < 1e15 ? String(Int(growth)) : "any number of") times as long, "
        + "expected at most \(Int(most)) times")
  }
}

/// The normalizers of `tokenizer.json`, by their `type`.
enum NormalizerCatalogue {
  static let types: [ComponentType<any Normalizer>] = [
    .init("BertNormalizer") { try BertNormalizer($0, at: $1) },
    .init("Lowercase") { _, _ in Lowercase() },
    .init("NFC") { _, _ in UnicodeForm.nfc },
    .init("NFD") { _, _ in UnicodeForm.nfd },
    .init("NFKC") { _, _ in UnicodeForm.nfkc },
    .init("NFKD") { _, _ in UnicodeForm.nfkd },
    .init("Precompiled") { try CharacterMap($0, at: $1) },
    .init("Prepend") { try Prepend($0, at: $1) },
    .init("Replace") { try Replace($0, at: $1) },
    .init("Sequence") { try NormalizerSequence($0, at: $1) },
    .init("Strip") { try Strip($0, at: $1) },
    .init("StripAccents") { _, _ in StripAccents() },
  ]

  static func make(_ json: JSONValue?, at place: String) throws -> (any Normalizer)? {
    guard let json, json != .null else { return nil }
    let normalizer = try component(json, among: types, "normalizer", at: place)
    try checkGrowth(normalizer.growth, "normalizer", at: place)
    return normalizer
  }
}

extension UnicodeForm: Normalizer {
  func normalize(_ text: [UInt8]) -> [UInt8] { apply(text) }
}

/// BERT's text cleaning, in this order: control characters out and every white space a plain one;
/// spaces around CJK characters; accents off (NFD, then no nonspacing marks); lower case.
struct BertNormalizer: Normalizer {
  let cleansText: Bool
  let separatesChinese: Bool
  let stripsAccents: Bool
  let lowercases: Bool

  init(_ json: JSONValue, at place: String) throws {
    cleansText = try json.bool("clean_text", default: true, at: place)
    separatesChinese = try json.bool("handle_chinese_chars", default: true, at: place)
    lowercases = try json.bool("lowercase", default: true, at: place)
    // null means: as `lowercase`.
    stripsAccents = try json.bool("strip_accents", default: lowercases, at: place)
  }

  func normalize(_ text: [UInt8]) -> [UInt8] {
    guard text.contains(where: { $0 >= 0x80 }) else { return normalizeASCII(text) }
    var out = [UInt8]()
    out.reserveCapacity(text.count + text.count / 4)
    forEachScalar(of: text) { scalar in
      if cleansText {
        if UnicodeClasses.isRemovedByBert(scalar) { return }
        if UnicodeClasses.isWhitespace(scalar) { return out.append(0x20) }
      }
      if separatesChinese, UnicodeClasses.isChinese(scalar) {
        out.append(0x20)
        append(scalar, to: &out)
        out.append(0x20)
      } else {
        append(scalar, to: &out)
      }
    }
    if stripsAccents {
      out = filterScalars(UnicodeForm.nfd.apply(out)) { !UnicodeClasses.isBertAccent($0) }
    }
    return lowercases ? Lowercase().normalize(out) : out
  }

  private func normalizeASCII(_ text: [UInt8]) -> [UInt8] {
    var out = [UInt8]()
    out.reserveCapacity(text.count)
    for byte in text {
      switch byte {
      case 0x09, 0x0A, 0x0D: out.append(cleansText ? 0x20 : byte)
      case 0..<0x20, 0x7F: if !cleansText { out.append(byte) }
      case 0x41...0x5A: out.append(lowercases ? byte | 0x20 : byte)
      default: out.append(byte)
      }
    }
    return out
  }
}

private func filterScalars(_ text: [UInt8], _ keeps: (Unicode.Scalar) -> Bool) -> [UInt8] {
  var out = [UInt8]()
  out.reserveCapacity(text.count)
  forEachScalar(of: text) { if keeps($0) { append($0, to: &out) } }
  return out
}

/// Lower case, scalar by scalar: no special case for a sigma at the end of a word.
struct Lowercase: Normalizer {
  func normalize(_ text: [UInt8]) -> [UInt8] {
    var out = [UInt8]()
    out.reserveCapacity(text.count)
    forEachScalar(of: text) { scalar in
      if scalar.value < 0x80 {
        let byte = UInt8(truncatingIfNeeded: scalar.value)
        out.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
      } else {
        out.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
      }
    }
    return out
  }
}

/// Removes combining marks, and decomposes nothing: an NFD or NFKD stage stands before it.
struct StripAccents: Normalizer {
  func normalize(_ text: [UInt8]) -> [UInt8] {
    filterScalars(text) { !UnicodeClasses.isCombiningMark($0) }
  }
}

/// Removes white space at the ends.
struct Strip: Normalizer {
  let left: Bool
  let right: Bool

  init(_ json: JSONValue, at place: String) throws {
    left = try json.bool("strip_left", default: true, at: place)
    right = try json.bool("strip_right", default: true, at: place)
  }

  func normalize(_ text: [UInt8]) -> [UInt8] {
    text.withUnsafeBufferPointer { buffer in
      var start = 0
      var end = buffer.count
      while left, start < end {
        let (first, length) = scalar(in: buffer, at: start)
        guard UnicodeClasses.isWhitespace(first) else { break }
        start += length
      }
      while right, end > start {
        let (last, length) = scalar(in: buffer, endingAt: end)
        guard UnicodeClasses.isWhitespace(last) else { break }
        end -= length
      }
      return Array(buffer[start..<end])
    }
  }
}

/// Puts a string in front of every text that is not empty.
struct Prepend: Normalizer {
  private let prefix: [UInt8]

  init(_ json: JSONValue, at place: String) throws { prefix = Array(try json.string("prepend", at: place).utf8) }

  func normalize(_ text: [UInt8]) -> [UInt8] { text.isEmpty ? text : prefix + text }
}

/// Replaces what a pattern finds by a string.
struct Replace: Normalizer {
  private let pattern: TextPattern
  private let content: [UInt8]

  init(_ json: JSONValue, at place: String) throws {
    content = Array(try json.string("content", at: place).utf8)
    pattern = try TextPattern(json["pattern"], at: place)
  }

  func normalize(_ text: [UInt8]) -> [UInt8] { pattern.replaced(with: content, in: text) }

  var growth: Double { max(1, Double(content.count) / Double(pattern.leastLength)) }
}

/// Normalizers one after another.
struct NormalizerSequence: Normalizer {
  let stages: [any Normalizer]

  init(_ json: JSONValue, at place: String) throws {
    stages = try json.array("normalizers", at: place).compactMap {
      try NormalizerCatalogue.make($0, at: place)
    }
  }

  func normalize(_ text: [UInt8]) -> [UInt8] {
    stages.reduce(text) { $1.normalize($0) }
  }

  var growth: Double { stages.reduce(1) { $0 * $1.growth } }
}
