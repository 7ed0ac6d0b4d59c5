import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Tokenizers

/// `spiece.model` and `tokenizer.model` files: what they hold, and that no damage to one is more than an error.
struct SentencePieceTests {
  /// A message of protocol buffers that consists of these fields.
  private func message(_ fields: [(number: UInt8, type: UInt8, content: [UInt8])]) -> [UInt8] {
    fields.flatMap { field in
      [field.number << 3 | field.type] + (field.type == 2 ? [UInt8(field.content.count)] : []) + field.content
    }
  }

  private func piece(_ token: String, _ score: Float, _ kind: UInt8) -> (number: UInt8, type: UInt8, content: [UInt8]) {
    let bits = withUnsafeBytes(of: score.bitPattern.littleEndian) { Array($0) }
    return (1, 2, message([(1, 2, Array(token.utf8)), (2, 5, bits), (3, 0, [kind])]))
  }

  private func file(first: String = "<pad>", type: UInt8 = 1) -> [UInt8] {
    message([
      piece(first, 0, 3), piece("</s>", 0, 3), piece("<unk>", 0, 2), piece("\u{2581}", -2, 1), piece("a", -3, 1), piece("ab", -7, 1),
      piece("b", -3.5, 1), (2, 2, message([(3, 0, [type])])), (3, 2, message([(3, 0, [1]), (4, 0, [1])])),
    ])
  }

  private func load(_ bytes: [UInt8], _ configuration: String = "{}", as name: String = "spiece.model") throws -> Tokenizer {
    try withTemporaryFolder { folder in
      try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name))
      try write(["tokenizer_config.json": configuration], to: folder)
      return try Tokenizer.load(folder: folder)
    }
  }

  @Test func isRead() throws {
    let tokenizer = try load(file())
    #expect(tokenizer.vocabularySize == 107 && tokenizer.eosTokenId == 1 && tokenizer.padTokenId == 0)
    // "a" and "b" have -6.5 together, "ab" has -7.
    #expect(try tokenizer.encode("ab  éü b<extra_id_0>").ids == [3, 4, 6, 3, 2, 3, 6, 106, 1])
    #expect(try load(file(), as: "tokenizer.model").encode("ab b").ids == tokenizer.encode("ab b").ids)
    #expect(try load(file(), #"{"extra_ids": 2}"#).token(of: 7) == "<extra_id_1>")
    #expect(try load(file(), #"{"extra_ids": 0}"#).vocabularySize == 7)
  }

  @Test func othersAreRefused() throws {
    for (bytes, reason) in [
      (file(type: 2), "of the type bpe, expected unigram"), (file(first: "<s>"), "its first pieces are not T5's"),
      ([], "holds no pieces"), ([0x0A, 0x05, 0x01], "damaged at byte 2"),
    ] {
      let error = #expect(throws: EngineError.self) { try load(bytes) }
      #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }
  }

  @Test func damageIsAnErrorOrHarmless() throws {
    let whole = file()
    for position in whole.indices {
      for damaged in [Array(whole[..<position]), whole[..<position] + [whole[position] ^ 0x80] + whole[(position + 1)...]] {
        do { _ = try load(damaged).encode("ab éc") } catch is EngineError {}
      }
    }
  }

  static let styles = ["llama", "gemma", "plain"]

  private func style(_ name: String) throws -> (bytes: [UInt8], tokenizer: Tokenizer, entry: [String: Any]) {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: packageRoot + "/Tests/TokenizerTests/Fixtures/sentencepiece/\(name).model")))
    let entry = try Fixture("sentencepiece.json")["styles", as: [[String: Any]].self].first { $0["name"] as? String == name }
    return (bytes, try once("style " + name) { try load(bytes, as: "tokenizer.model") }, try unwrap(entry, name))
  }

  /// Ids and texts of the program that trained the models, from the file and from what is saved of it.
  @Test(arguments: styles) func piecesAreThoseOfTheTrainer(_ name: String) throws {
    let (_, tokenizer, entry) = try style(name)
    let texts: [String] = try Fixture("sentencepiece.json")["texts"]
    let (ids, decoded) = (try unwrap(entry["ids"] as? [[Int32]], "ids"), try unwrap(entry["decoded"] as? [String], "decoded"))
    #expect(texts.count == ids.count && texts.count > 200)
    let saved = try withTemporaryFolder { folder in
      try tokenizer.save(to: folder)
      return try Tokenizer.load(folder: folder)
    }
    for (i, text) in texts.enumerated() {
      #expect(try tokenizer.encode(text, addSpecialTokens: false).ids == ids[i], "\(text.debugDescription)")
      #expect(try saved.encode(text).ids == [Int32(try #require(tokenizer.bosTokenId))] + ids[i], "\(text.debugDescription)")
      // A character without a piece is a sign of its own in the trainer's texts.
      if !decoded[i].contains("\u{2047}") { #expect(same(try tokenizer.decode(ids[i]), decoded[i]), "\(text.debugDescription)") }
    }
  }

  /// Every line of shared files.
  @Test(arguments: styles) func everyLine(_ name: String) throws {
    let (_, tokenizer, entry) = try style(name)
    for row in try unwrap(entry["files"] as? [[Any]], "files") {
      let (file, size) = (try unwrap(row[0] as? String, "file"), try unwrap(row[1] as? Int, "bytes"))
      guard let path = testData(file), isOptimised || size < 100_000 else { continue }
      let data = try Data(contentsOf: URL(fileURLWithPath: path))
      try #require(data.count == size, "\(file) is not the file that was recorded")
      var (digest, total) = (Digest(), 0)
      for line in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
        let ids = try tokenizer.encode(String(decoding: line, as: UTF8.self), addSpecialTokens: false).ids
        digest.add(ids)
        total += ids.count
      }
      #expect(total == row[2] as? Int && digest.text == row[3] as? String, "\(file)")
    }
  }

  @Test func configurationSaysHowTextsBeginAndEnd() throws {
    let (bytes, tokenizer, _) = try style("llama")
    func ids(_ configuration: String) throws -> [Int32] { try load(bytes, configuration, as: "tokenizer.model").encode("the").ids }
    let plain = try tokenizer.encode("the", addSpecialTokens: false).ids
    #expect(tokenizer.bosTokenId == 1 && tokenizer.eosTokenId == 2 && tokenizer.padTokenId == nil)
    #expect(try ids(#"{"add_bos_token": false}"#) == plain)
    #expect(try ids(#"{"add_bos_token": null, "add_eos_token": true}"#) == [1] + plain + [2])
    #expect(try ids(#"{"add_prefix_space": false}"#) != [1] + plain)
    #expect(try ids(#"{"bos_token": {"content": "</s>"}}"#) == [2] + plain)
    #expect(try tokenizer.encode("the", pair: "the").ids == [1] + plain + [1] + plain)
    let error = #expect(throws: EngineError.self) { try ids(#"{"eos_token": "<end>", "add_eos_token": true}"#) }
    #expect(error?.description.contains("has no piece '<end>'") == true)
  }

  @Test func otherPiecesAreRefused() throws {
    func model(_ pieces: [(UInt8, UInt8, [UInt8])], type: UInt8 = 2, _ trainer: [(UInt8, UInt8, [UInt8])] = []) -> [UInt8] {
      // Numbers of fields above 15 take a second byte.
      let options = message([(3, 0, [type])]) + trainer.flatMap { [$0.0 << 3 | $0.1 | 0x80, 1] + $0.2 }
      return message(([piece("<unk>", 0, 2), piece("<s>", 0, 3), piece("</s>", 0, 3)] + pieces).map { ($0.0, $0.1, $0.2) } + [(2, 2, options)])
    }
    let letters = [piece("a", -3, 1), piece("b", -4, 1), piece("ab", -1, 1), piece("\u{2581}", -5, 1)].map { ($0.number, $0.type, $0.content) }
    #expect(try load(model(letters), as: "tokenizer.model").encode("abc ab").ids == [1, 6, 5, 0, 6, 5])
    for (bytes, reason) in [
      (model(letters, type: 1), "its first pieces are not T5's"), (model(letters, type: 9), "of the type unknown, expected bpe"),
      (model(letters.map { ($0.0, $0.1, $0.2) } + [(1, 2, piece("ac", -2, 1).content)]), "has the character 'c', which is no piece itself"),
      (model(letters + [(1, 2, piece("c", -2, 5).content)]), "is marked as unused"), (model(letters + [(1, 2, piece("a", -2, 1).content)]), "'a'"),
      (model(letters, [(8, 0, [1])]), "treat_whitespace_as_suffix is not supported"),
    ] {
      let error = #expect(throws: EngineError.self) { try load(bytes, as: "tokenizer.model") }
      #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }
    for position in model(letters).indices {
      let whole = model(letters)
      for damaged in [Array(whole[..<position]), whole[..<position] + [whole[position] ^ 0x80] + whole[(position + 1)...]] {
        do { _ = try load(damaged, as: "tokenizer.model").encode("ab éc") } catch is EngineError {}
      }
    }
  }

  /// The table of T5's tokenizer with other numbers in its trie.
  @Test(.enabled(if: hasTokenizers)) func damagedCharacterMap() throws {
    let map = try SentencePieceFile(tokenizerFolder("t5") + "/spiece.model").characterMap
    let texts: [String] = try Fixture("hard_unicode.json")["texts"]
    for step in [1, 7, 97, 1009, 10_007] {
      var damaged = map
      for position in stride(from: 4, to: map.count / 2, by: step) { damaged[position] = UInt8(truncatingIfNeeded: position &* 2_654_435_761 >> 9) }
      guard let table = try? CharacterMap(damaged, at: "map") else { continue }
      for text in texts { _ = table.normalize(Array(text.utf8)) }
    }
  }
}
