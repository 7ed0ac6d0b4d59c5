import Foundation
import TestSupport
import Testing
import Tokenizers

/// Small tokenizers built like those of GPT-2, Llama 3, Qwen 2.5, SmolLM2, Mistral and T5: the reference's ids and texts, all of them.
struct FamilyTests {
  static let families = ["gpt2", "llama3", "qwen2.5", "smollm2", "mistral-nemo", "mistral", "mistral-metaspace", "metaspace", "t5", "unigram-bytes"]

  private func family(_ name: String) throws -> (tokenizer: Tokenizer, entry: [String: Any], texts: [String]) {
    let fixture = try Fixture("families.json")
    let all: [[String: Any]] = try fixture["families"]
    #expect(all.compactMap { $0["name"] as? String } == Self.families)
    let entry = try unwrap(all.first { $0["name"] as? String == name }, name)
    let definition = try unwrap(entry["tokenizer"] as? String, "tokenizer")
    let tokenizer = try once("family " + name) {
      try withTemporaryFolder { folder in
        try write(["tokenizer.json": definition], to: folder)
        let loaded = try Tokenizer.load(folder: folder)
        // What is saved is the same tokenizer.
        try loaded.save(to: folder + "/saved")
        return try Tokenizer.load(folder: folder + "/saved")
      }
    }
    return (tokenizer, entry, try fixture["texts"])
  }

  @Test(arguments: families) func ids(_ name: String) throws {
    let (tokenizer, entry, texts) = try family(name)
    let expected = try unwrap(entry["ids"] as? [[Int32]], "ids")
    #expect(texts.count == expected.count && texts.count > 200)
    for (text, ids) in zip(texts, expected) { #expect(try tokenizer.encode(text).ids == ids, "\(text.debugDescription)") }
    for (i, ids) in try unwrap(entry["pairs"] as? [[Int32]], "pairs").enumerated() {
      #expect(try tokenizer.encode(texts[i], pair: texts[40 + i]).ids == ids)
    }
  }

  @Test(arguments: families) func decoding(_ name: String) throws {
    let (tokenizer, entry, _) = try family(name)
    let ids = try unwrap(entry["ids"] as? [[Int32]], "ids")
    let decoded = try unwrap(entry["decoded"] as? [String], "decoded")
    let whole = try unwrap(entry["whole"] as? [String], "whole")
    for (i, ids) in ids.enumerated() {
      #expect(same(try tokenizer.decode(ids), decoded[i]), "\(decoded[i].debugDescription)")
      #expect(same(try tokenizer.decode(ids, skipSpecialTokens: false), whole[i]), "\(whole[i].debugDescription)")
    }
    for piece in try unwrap(entry["pieces"] as? [[Any]], "pieces") {
      let (ids, text) = (try unwrap(piece[0] as? [Int32], "ids"), try unwrap(piece[1] as? String, "text"))
      #expect(same(try tokenizer.decode(ids), text), "\(ids)")
    }
  }

  /// GPT-2 from `vocab.json` and `merges.txt`.
  @Test func gpt2FromTwoFiles() throws {
    let (tokenizer, entry, texts) = try family("gpt2")
    let definition = try unwrap(entry["tokenizer"] as? String, "tokenizer")
    let json = try JSONSerialization.jsonObject(with: Data(definition.utf8)) as? [String: Any]
    let model = try unwrap(json?["model"] as? [String: Any], "model")
    let merges = try unwrap(model["merges"] as? [[String]], "merges").map { $0.joined(separator: " ") }
    let other = try withTemporaryFolder { folder in
      try JSONSerialization.data(withJSONObject: unwrap(model["vocab"], "vocab")).write(to: URL(fileURLWithPath: folder + "/vocab.json"))
      try write(["merges.txt": "#version: 0.2\n" + merges.joined(separator: "\n") + "\n"], to: folder)
      return try Tokenizer.load(folder: folder)
    }
    for text in texts { #expect(try other.encode(text).ids == tokenizer.encode(text).ids, "\(text.debugDescription)") }
  }
}
