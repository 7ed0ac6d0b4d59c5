import Diagnostics
import Files

/// Which words share a meaning, by WordNet's database files.
///
/// Miller, 1995.
struct WordNet: Sendable {
  /// Where Debian's package wordnet-base has its files.
  static let installedFolder = "/usr/share/wordnet"

  private var synsets: [[UInt8]: Set<Int>] = [:]
  /// The bases of irregular forms.
  private var bases: [[UInt8]: [[UInt8]]] = [:]

  /// Reads `index.noun`, `noun.exc` and the same of the other parts of speech.
  init(folder: String) throws {
    for part in ["noun", "verb", "adj", "adv"] {
      let path = FilePath.join(folder, "index." + part)
      try Self.forEachLine(of: path) { fields, line in
        // The licence stands in front, on lines that begin with spaces.
        guard let lemma = fields.first else { return }
        guard fields.count > 6, let count = Self.number(fields[2]), count > 0, fields.count > 4 + count else {
          throw EngineError(.data, "\(path):\(line): expected a lemma, its part of speech, and the offsets of its synsets")
        }
        for field in fields.suffix(count) {
          guard let offset = Self.offset(field) else { throw EngineError(.data, "\(path):\(line): expected the offset of a synset") }
          synsets[Array(lemma), default: []].insert(offset)
        }
      }
      try Self.forEachLine(of: FilePath.join(folder, part + ".exc")) { fields, _ in
        guard let form = fields.first else { return }
        bases[Array(form), default: []] += fields.dropFirst().map(Array.init)
      }
    }
  }

  private static func forEachLine(of path: String, _ body: ([ArraySlice<UInt8>], _ line: Int) throws -> Void) throws {
    let bytes = [UInt8](try readFile(path))
    var line = 0
    for text in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      line += 1
      if line % 4096 == 0 { try Interrupt.check() }
      try body(text.first == UInt8(ascii: " ") ? [] : text.split(separator: UInt8(ascii: " ")), line)
    }
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int? { Int(String(decoding: digits, as: UTF8.self)) }

  /// Where a synset stands in its file: eight digits.
  private static func offset(_ digits: ArraySlice<UInt8>) -> Int? { digits.count == 8 ? number(digits) : nil }

  /// The numbers of the meanings of a word and of its base.
  func meanings(of word: Word) -> Set<Int> {
    let word = Array(String(String.UnicodeScalarView(word)).utf8)
    let own = synsets[word] ?? []
    if let bases = bases[word] { return bases.reduce(own) { $0.union(synsets[$1] ?? []) } }
    return own.union(base(of: word).flatMap { synsets[$0] } ?? [])
  }

  /// Endings of inflected forms, with those of their bases: of nouns, verbs and adjectives.
  private static let endings: [(form: [UInt8], base: [UInt8])] = [
    ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"), ("s", ""), ("ies", "y"),
    ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""), ("er", ""), ("est", ""), ("er", "e"), ("est", "e"),
  ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

  /// The first base of a regular form that has a meaning.
  private func base(of word: [UInt8]) -> [UInt8]? {
    if word.count <= 2 || word.ends(with: "ss") { return word }
    for (form, base) in Self.endings where word.ends(with: form) {
      let candidate = [UInt8](word.dropLast(form.count)) + base
      if synsets[candidate] != nil { return candidate }
    }
    return nil
  }
}
