import Foundation
import TestSupport
import Testing
import Tokenizers

/// The three kinds of folders, the files beside them, and what is saved.
struct TokenizerLoadingTests {
  private static let wordPiece =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\nHe\n##llo\n##l\nworld\ncafe\ncafé\ne\u{301}\n,\n中"

  private func load(_ files: [String: String]) throws -> Tokenizer {
    try withTemporaryFolder { folder in
      try write(files, to: folder)
      return try Tokenizer.load(folder: folder)
    }
  }

  @Test(arguments: [
    ("{}", "Hello, Café 中中", ["he", "##llo", ",", "cafe", "中", "中"]),
    (#"{"do_lower_case": false}"#, "Hello, café", ["He", "##llo", ",", "café"]),
    (#"{"strip_accents": false}"#, "Café", ["café"]),
    (#"{"strip_accents": true, "do_lower_case": false}"#, "He café", ["He", "cafe"]),
    (#"{"tokenize_chinese_chars": false}"#, "中中", ["[UNK]"]),
    (#"{"do_lower_case": false}"#, "e\u{301} é", ["e\u{301}", "[UNK]"]),
    (#"{"additional_special_tokens": ["<new>"]}"#, "he<new>he", ["he", "<new>", "he"]),
  ])
  func vocabTxt(configuration: String, text: String, expected: [String]) throws {
    let tokenizer = try load([
      "vocab.txt": TokenizerLoadingTests.wordPiece, "tokenizer_config.json": configuration,
    ])
    let tokens = tokenizer.tokenize(text)
    #expect(tokens.count == expected.count && zip(tokens, expected).allSatisfy(same), "\(tokens)")
  }

  @Test func bertRoles() throws {
    let tokenizer = try load([
      "vocab.txt": TokenizerLoadingTests.wordPiece + "\r\n",
      "tokenizer_config.json": #"{"model_max_length": 512, "pad_token": {"content": "[PAD]"}}"#,
    ])
    #expect(tokenizer.modelMaxLength == 512)
    #expect(
      [
        tokenizer.padTokenId, tokenizer.unkTokenId, tokenizer.clsTokenId, tokenizer.sepTokenId,
        tokenizer.maskTokenId, tokenizer.bosTokenId, tokenizer.eosTokenId,
      ] == [0, 1, 2, 3, 4, nil, nil])
    #expect(tokenizer.vocabularySize == 15)
    let encoding = try tokenizer.encode("he", pair: "world", maxLength: 5)
    #expect(encoding.ids == [2, 5, 3, 9, 3])
    #expect(encoding.tokenTypeIds == [0, 0, 0, 1, 1])
    #expect(throws: (any Error).self) { try tokenizer.encode("he", maxLength: 1) }
    #expect(throws: (any Error).self) { try tokenizer.encode("he", maxLength: -1) }
  }

  @Test func unlimitedLength() throws {
    let tokenizer = try load([
      "vocab.txt": TokenizerLoadingTests.wordPiece,
      "tokenizer_config.json": #"{"model_max_length": 1000000000000000019884624838656}"#,
    ])
    #expect(tokenizer.modelMaxLength == nil)
  }

  @Test func prefixSpace() throws {
    let vocabulary = #"{"<s>": 0, "</s>": 1, "<mask>": 2, "a": 3, "Ġ": 4, "Ġa": 5, "b": 6}"#
    let merges = "#version: 0.2\nĠ a\n"
    let plain = try load(["vocab.json": vocabulary, "merges.txt": merges])
    #expect(try plain.encode("a a").ids == [0, 3, 5, 1])
    #expect(try plain.encode("a  <mask>").ids == [0, 3, 2, 1])
    let prefixed = try load([
      "vocab.json": vocabulary, "merges.txt": merges,
      "tokenizer_config.json": #"{"add_prefix_space": true, "mask_token": "<mask>"}"#,
      "added_tokens.json": #"{"<more>": 7}"#,
    ])
    #expect(try prefixed.encode("a a<more>").ids == [0, 5, 5, 7, 1])
    #expect(try prefixed.encode("c").ids == [0, 4, 1])
  }

  @Test(.enabled(if: hasTokenizers), arguments: families)
  func vocabularyFilesGiveTheSameIds(family: String) throws {
    let folder = try tokenizerFolder(family)
    let whole = try Tokenizer.load(folder: folder)
    let parts = try withTemporaryFolder { other in
      for name in ["vocab.txt", "vocab.json", "merges.txt", "spiece.model"]
      where FileManager.default.fileExists(atPath: folder + "/" + name) {
        try FileManager.default.copyItem(atPath: folder + "/" + name, toPath: other + "/" + name)
      }
      return try Tokenizer.load(folder: other)
    }
    #expect(whole.vocabularySize == parts.vocabularySize)
    #expect(whole.specialTokenIds == parts.specialTokenIds)
    #expect(whole.padTokenId == parts.padTokenId)
    for text in try Fixture("hard_unicode.json")["texts", as: [String].self] {
      #expect(try whole.encode(text, pair: "b") == parts.encode(text, pair: "b"), "\(text.debugDescription)")
    }
  }

  @Test(.enabled(if: hasTokenizers), arguments: families)
  func savedAndLoaded(family: String) throws {
    let first = try publishedTokenizer(family)
    try roundTrip(first)
  }

  @Test func trainedSavedAndLoaded() throws {
    try roundTrip(
      BPETrainer.train(
        corpus: ["the quick \"brown\" \\fox\\", "the lazy dog"], vocabularySize: 280,
        specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))
  }

  private func roundTrip(_ first: Tokenizer) throws {
    try withTemporaryFolder { folder in
      try first.save(to: folder + "/a/b")
      let second = try Tokenizer.load(folder: folder + "/a/b")
      #expect(first.vocabularySize == second.vocabularySize)
      #expect(first.specialTokenIds == second.specialTokenIds)
      #expect(first.clsTokenId == second.clsTokenId)
      #expect(first.maskTokenId == second.maskTokenId)
      for text in try Fixture("hard_unicode.json")["texts", as: [String].self] {
        #expect(try first.encode(text, pair: "x y") == second.encode(text, pair: "x y"))
      }
      for id in Int32(0)..<Int32(first.vocabularySize) {
        #expect(first.token(of: id) == second.token(of: id))
      }
      // Saving what was loaded writes the same bytes again.
      try second.save(to: folder + "/again")
      for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        #expect(
          FileManager.default.contentsEqual(
            atPath: folder + "/a/b/" + name, andPath: folder + "/again/" + name))
      }
    }
  }
}
