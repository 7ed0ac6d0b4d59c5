import Foundation
import TestSupport
import Testing
import Tokenizers

/// Rules that published vocabularies do not show, against the reference's answers; made by `Generators/make_rules.py`.
struct RuleTests {
  private func tokenizer(_ fixture: Fixture) throws -> Tokenizer {
    let data = try JSONSerialization.data(withJSONObject: fixture["tokenizer", as: [String: Any].self])
    return try withTemporaryFolder { folder in
      try write(["tokenizer.json": String(decoding: data, as: UTF8.self)], to: folder)
      return try Tokenizer.load(folder: folder)
    }
  }

  /// Every pair of lengths up to nine, and every limit: which text loses how many tokens.
  @Test func longestFirst() throws {
    let fixture = try Fixture("truncation.json")
    let tokenizer = try tokenizer(fixture)
    let cases: [[Int]] = try fixture["cases"]
    #expect(cases.contains { $0[0] == $0[1] && $0[2] % 2 == 1 && $0[2] < 2 * $0[0] })
    for row in cases {
      func text(_ word: String, _ count: Int) -> String { [String](repeating: word, count: count).joined(separator: " ") }
      let encoding = try tokenizer.encode(text("a", row[0]), pair: text("b", row[1]), maxLength: row[2])
      let kept = [1, 2].map { id in encoding.ids.count { $0 == id } }
      #expect(kept == [row[3], row[4]], "\(row[0]) and \(row[1]) tokens, at most \(row[2])")
      #expect(encoding.tokenTypeIds == [Int32](repeating: 0, count: kept[0]) + [Int32](repeating: 1, count: kept[1]))
    }
  }

  /// Tokens that must stand alone, or take the space beside them, between characters of all kinds; tokens that begin, end or
  /// contain each other; words of the greatest length that is spelt.
  @Test(arguments: ["added_tokens", "overlapping_tokens", "long_words"]) func idsAreTheReferences(_ name: String) throws {
    let fixture = try Fixture(name + ".json")
    let tokenizer = try tokenizer(fixture)
    let (texts, expected): ([String], [[Int32]]) = try (fixture["texts"], fixture["ids"])
    #expect(texts.count == expected.count)
    for (text, ids) in zip(texts, expected) {
      #expect(try tokenizer.encode(text).ids == ids, "\(text.debugDescription)")
    }
  }
}
