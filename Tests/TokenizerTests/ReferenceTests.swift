import Foundation
import TestSupport
import Testing
import Tokenizers

/// Ids against the reference's, with the published vocabularies.
@Suite(.enabled(if: hasTokenizers))
struct ReferenceTests {
  @Test(arguments: families)
  func hardUnicode(family: String) throws {
    let fixture = try Fixture("hard_unicode.json")
    let tokenizer = try publishedTokenizer(family)
    let texts: [String] = try fixture["texts"]
    let expected: [[Int32]] = try fixture[family]
    #expect(texts.count == expected.count)
    for (text, ids) in zip(texts, expected) {
      #expect(
        try tokenizer.encode(text, addSpecialTokens: false).ids == ids, "\(text.debugDescription)")
    }
  }

  @Test(arguments: families)
  func goldenLines(family: String) throws {
    let path = try unwrap(testData("tokenizers/golden/\(family).jsonl"), "golden")
    let tokenizer = try publishedTokenizer(family)
    let lines = try Fixture.lines(path)
    #expect(lines.count == 500)
    for line in lines {
      let text = try unwrap(line["text"] as? String, "text")
      #expect(try tokenizer.encode(text).ids == unwrap(line["ids"] as? [Int32], "ids"))
    }
  }

  @Test(arguments: ["roberta-base", "bert-base-uncased"])
  func goldenPairs(family: String) throws {
    let path = try unwrap(testData("tokenizers/golden/pairs.jsonl"), "golden")
    let tokenizer = try publishedTokenizer(family)
    for line in try Fixture.lines(path) {
      let text = try unwrap(line["text"] as? String, "text")
      let pair = try unwrap(line["text_pair"] as? String, "text_pair")
      #expect(try tokenizer.encode(text, pair: pair).ids == unwrap(line[family] as? [Int32], "ids"))
    }
  }

  @Test(arguments: [
    ("gpt2", "gpt2_encoded_tokens"), ("bert-base-uncased", "bert_uncased_encoded"),
  ])
  func swiftTransformersVectors(family: String, name: String) throws {
    let fixture = try Fixture(path: unwrap(testData("tokenizers/golden/\(name).json"), name))
    let tokenizer = try publishedTokenizer(family)
    let text: String = try fixture["text"]
    #expect(try tokenizer.tokenize(text) == fixture["bpe_tokens"])
    var expected: [Int32] = try fixture["token_ids"]
    // BERT's were recorded with [CLS] and [SEP].
    let bare = try tokenizer.encode(text, addSpecialTokens: false).ids
    if expected.count == bare.count + 2 { expected = Array(expected.dropFirst().dropLast()) }
    #expect(bare == expected)
  }

  @Test(arguments: families)
  func pairsAndTruncation(family: String) throws {
    let fixture = try Fixture("pairs.json")
    let tokenizer = try publishedTokenizer(family)
    let texts: [[Any]] = try fixture["texts"]
    for entry in try fixture[family, as: [[Any]].self] {
      let index = try unwrap(entry[0] as? Int, "index")
      let limit = entry[2] as? Int
      let special = try unwrap(entry[1] as? Bool, "special")
      let encoding = try tokenizer.encode(
        unwrap(texts[index][0] as? String, "text"), pair: texts[index][1] as? String,
        addSpecialTokens: special, maxLength: limit)
      let expected = Encoding(
        ids: try unwrap(entry[3] as? [Int32], "ids"),
        tokenTypeIds: try unwrap(entry[4] as? [Int32], "types"),
        specialTokensMask: try unwrap(entry[5] as? [UInt8], "mask"))
      #expect(encoding == expected, "text \(index), special \(special), limit \(limit ?? -1)")
    }
  }

  @Test(arguments: families)
  func decoding(family: String) throws {
    let fixture = try Fixture("decoding.json")
    let tokenizer = try publishedTokenizer(family)
    for entry in try fixture[family, as: [[Any]].self] {
      let ids = try unwrap(entry[0] as? [Int32], "ids")
      for (skip, position) in [(true, 1), (false, 2)] {
        let text = try tokenizer.decode(ids, skipSpecialTokens: skip)
        #expect(try same(text, unwrap(entry[position] as? String, "text")), "\(text)")
      }
    }
    #expect(throws: (any Error).self) { try tokenizer.decode([1, 1_000_000]) }
    #expect(throws: (any Error).self) { try tokenizer.decode([-1]) }
  }

  /// Every line of every file, whole: the digest of all ids, or in debug of the small files'.
  @Test(arguments: families)
  func everyLine(family: String) throws {
    let tokenizer = try publishedTokenizer(family)
    var seen = 0
    for entry in try Fixture("files.json")["files", as: [[String: Any]].self] {
      let name = try unwrap(entry["file"] as? String, "file")
      let size = try unwrap(entry["bytes"] as? Int, "bytes")
      guard let path = testData(name), isOptimised || size < 100_000 else { continue }
      let data = try Data(contentsOf: URL(fileURLWithPath: path))
      try #require(data.count == size, "\(name) is not the file that was recorded")
      var digest = Digest()
      var total = 0
      for line in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
        let ids = try tokenizer.encode(String(decoding: line, as: UTF8.self)).ids
        digest.add(ids)
        total += ids.count
      }
      let expected = try unwrap(entry[family] as? [Any], family)
      #expect(total == expected[0] as? Int, "\(name)")
      #expect(digest.text == expected[1] as? String, "\(name)")
      seen += 1
    }
    #expect(seen > 0)
  }

  /// The same ids from several threads at once, through one cache.
  @Test func threads() async throws {
    let tokenizer = try publishedTokenizer("roberta-base")
    let texts: [String] = try Fixture("hard_unicode.json")["texts"]
    let expected = try texts.map { try tokenizer.encode($0).ids }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<3 where try texts.map({ try tokenizer.encode($0).ids }) != expected {
            return false
          }
          return true
        }
      }
      for try await isEqual in group { #expect(isEqual) }
    }
  }
}
