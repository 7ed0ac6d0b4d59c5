import Diagnostics
import TestSupport
import Testing
import Tokenizers

struct TrainerTests {
  @Test func learnsWhatTheReferenceLearns() throws {
    let fixture = try Fixture("trained.json")
    let corpus: [String] = try fixture["corpus"]
    let specialTokens: [String] = try fixture["special_tokens"]
    for entry in try fixture["sizes", as: [[String: Any]].self] {
      let tokenizer = try BPETrainer.train(
        corpus: corpus, vocabularySize: unwrap(entry["vocabulary_size"] as? Int, "size"),
        specialTokens: specialTokens)
      let tokens = try unwrap(entry["tokens"] as? [String], "tokens")
      #expect(tokenizer.vocabularySize == entry["count"] as? Int)
      #expect(tokens.indices.map { tokenizer.token(of: Int32(261 + $0)) } == tokens)
      let texts = try unwrap(entry["texts"] as? [String], "texts")
      for (text, ids) in zip(texts, try unwrap(entry["ids"] as? [[Int32]], "ids")) {
        #expect(try tokenizer.encode(text, addSpecialTokens: false).ids == ids)
      }
    }
  }

  @Test func encodesLikeRoberta() throws {
    let tokenizer = try BPETrainer.train(
      corpus: ["a b"], vocabularySize: 261,
      specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    let pair = try tokenizer.encode("a", pair: "b  <mask>")
    #expect(
      try pair.ids == [
        0, unwrap(tokenizer.id(of: "a"), "a"), 2, 2, unwrap(tokenizer.id(of: "b"), "b"), 4, 2,
      ])
    #expect(pair.tokenTypeIds == [0, 0, 0, 0, 0, 0, 0])
    #expect(pair.specialTokensMask == [1, 0, 1, 1, 0, 0, 1])
    #expect(try tokenizer.decode(pair.ids) == "ab")
    #expect(
      [
        tokenizer.bosTokenId, tokenizer.padTokenId, tokenizer.eosTokenId, tokenizer.unkTokenId,
        tokenizer.maskTokenId, tokenizer.clsTokenId, tokenizer.sepTokenId,
      ] == [0, 1, 2, 3, 4, 0, 2])
  }

  @Test(arguments: [
    (["<s>"], 300, "tokenizers.train: special token '</s>' is missing"),
    (
      ["<s>", "</s>"], 257,
      "tokenizers.train: vocab_size is 257, expected 258 (the special tokens and 256 bytes) "
        + "to 16777216"
    ),
    (["<s>", "</s>", "<s>"], 300, "tokenizers.train: token '<s>' appears twice"),
    (["<s>", "</s>", ""], 300, "tokenizers.train: a special token is empty"),
  ])
  func refuses(specialTokens: [String], size: Int, message: String) {
    let error = #expect(throws: EngineError.self) {
      try BPETrainer.train(corpus: ["a"], vocabularySize: size, specialTokens: specialTokens)
    }
    #expect(error?.description == message)
  }
}
