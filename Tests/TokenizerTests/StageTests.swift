import Foundation
import TestSupport
import Testing
import Tokenizers

/// Normalizers and pre-tokenizers alone: a model of the 256 bytes shows their output.
struct StageTests {
  @Test(arguments: 0..<19)
  func everyScalar(index: Int) throws {
    let fixture = try Fixture("components.json")
    #expect(try fixture["stages", as: [Any].self].count == 19)
    try check(index, of: fixture, texts: Fixture("hard_unicode.json")["texts"])
  }

  /// Those of decoder families, and every behaviour of a pattern.
  @Test(arguments: 0..<18)
  func everyScalarOfPatterns(index: Int) throws {
    let fixture = try Fixture("families.json")
    #expect(try fixture["stages", as: [Any].self].count == 18)
    try check(index, of: fixture, texts: fixture["stage_texts"])
  }

  private func check(_ index: Int, of fixture: Fixture, texts: [String]) throws {
    let stage = try fixture["stages", as: [[String: Any]].self][index]
    let name = try unwrap(stage["name"] as? String, "name")
    let tokenizer = try tokenizer(of: stage, vocabulary: fixture["vocabulary", as: [Any].self][0])

    var digest = Digest()
    for text in texts {
      digest.add(try tokenizer.encode(text).ids)
    }
    #expect(digest.text == stage["texts"] as? String, "\(name)")

    let expected = try unwrap(stage["sweeps"] as? [String], "sweeps")
    for (range, expected) in zip(try fixture["ranges", as: [[Int]].self], expected) {
      if !isOptimised, range[1] - range[0] > 0x3000 { continue }
      var digest = Digest()
      for block in stride(from: range[0], to: range[1], by: 32) {
        var text = "a"
        for value in block..<block + 32 {
          text.unicodeScalars.append(try unwrap(Unicode.Scalar(UInt32(value)), "scalar"))
          text.unicodeScalars.append("a")
        }
        digest.add(try tokenizer.encode(text).ids)
      }
      #expect(digest.text == expected, "\(name), scalars \(range)")
    }
  }

  private func tokenizer(of stage: [String: Any], vocabulary: Any) throws -> Tokenizer {
    let definition: [String: Any] = [
      "normalizer": stage["normalizer"] ?? NSNull(),
      "pre_tokenizer": try unwrap(stage["pre_tokenizer"], "pre_tokenizer"),
      "model": ["type": "BPE", "vocab": vocabulary, "merges": [String]()] as [String: Any],
    ]
    return try withTemporaryFolder { folder in
      try JSONSerialization.data(withJSONObject: definition)
        .write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
      return try Tokenizer.load(folder: folder)
    }
  }

  /// Added tokens: longest first, single words, white space taken.
  @Test(arguments: [
    ("a<x>b", ["a", "<x>", "b"]),
    ("a<xy>b", ["a", "<xy>", "b"]),
    ("a  <l>  b", ["a", "<l>", "Ġ", "Ġ", "b"]),
    ("a  <r>  b", ["a", "Ġ", "Ġ", "<r>", "b"]),
    ("<l><r>  <l>b", ["<l>", "<r>", "<l>", "b"]),
    ("wb w bw w", ["w", "b", "Ġ", "<w>", "Ġ", "b", "w", "Ġ", "<w>"]),
    ("e\u{301}", ["e\u{301}"]),
    ("\u{E9}", ["Ã", "©"]),
  ])
  func addedTokens(text: String, expected: [String]) throws {
    let vocabulary: [Any] = try Fixture("components.json")["vocabulary"]
    func token(_ content: String, _ id: Int, _ flag: String? = nil) -> [String: Any] {
      var token: [String: Any] = ["content": content, "id": id, "special": true]
      if let flag { token[flag] = true }
      return token
    }
    let definition: [String: Any] = [
      "added_tokens": [
        token("<x>", 300), token("<xy>", 301), token("<l>", 302, "lstrip"),
        token("<r>", 303, "rstrip"), token("w", 86, "single_word"),
        token("e\u{301}", 305),
      ],
      "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
      "model": ["type": "BPE", "vocab": vocabulary[0], "merges": [String]()] as [String: Any],
    ]
    let tokenizer = try withTemporaryFolder { folder in
      try JSONSerialization.data(withJSONObject: definition)
        .write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
      return try Tokenizer.load(folder: folder)
    }
    let tokens = tokenizer.tokenize(text)
    let wanted = expected.map { $0 == "<w>" ? "w" : $0 }
    #expect(tokens.count == wanted.count && zip(tokens, wanted).allSatisfy(same), "\(tokens)")
  }
}
