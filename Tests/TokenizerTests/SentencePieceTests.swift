import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Tokenizers

/// `spiece.model` files: what they hold, and that no damage to one is more than an error.
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

  private func load(_ bytes: [UInt8], _ configuration: String = "{}") throws -> Tokenizer {
    try withTemporaryFolder { folder in
      try Data(bytes).write(to: URL(fileURLWithPath: folder + "/spiece.model"))
      try write(["tokenizer_config.json": configuration], to: folder)
      return try Tokenizer.load(folder: folder)
    }
  }

  @Test func isRead() throws {
    let tokenizer = try load(file())
    #expect(tokenizer.vocabularySize == 107 && tokenizer.eosTokenId == 1 && tokenizer.padTokenId == 0)
    // "a" and "b" have -6.5 together, "ab" has -7.
    #expect(try tokenizer.encode("ab  éü b<extra_id_0>").ids == [3, 4, 6, 3, 2, 3, 6, 106, 1])
    #expect(try load(file(), #"{"extra_ids": 2}"#).token(of: 7) == "<extra_id_1>")
    #expect(try load(file(), #"{"extra_ids": 0}"#).vocabularySize == 7)
  }

  @Test func othersAreRefused() throws {
    for (bytes, reason) in [
      (file(type: 2), "of type 2, expected a unigram model"), (file(first: "<s>"), "its first pieces are not T5's"),
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
