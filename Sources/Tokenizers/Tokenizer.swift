import Diagnostics
import Files
import Synchronization

/// Turns text into the ids that a pre-trained model was trained on, and back.
///
/// The ids are those of the Hugging Face `tokenizers` library for the same files. Encoding is safe
/// from several threads at once.
///
/// ```swift
/// let tokenizer = try Tokenizer.load(folder: "models/roberta-base")
/// let encoding = try tokenizer.encode("A man sleeps.", pair: "Nobody sleeps.", maxLength: 128)
/// ```
public final class Tokenizer: Sendable {
  let definition: TokenizerDefinition
  let vocabulary: CombinedVocabulary
  let specialTokens: SpecialTokens
  private let normalizer: (any Normalizer)?
  private let preTokenizer: (any PreTokenizer)?
  private let postProcessor: (any PostProcessor)?
  private let decoder: (any Decoder)?
  private let rawMatcher: AddedTokenMatcher
  private let normalizedMatcher: AddedTokenMatcher
  let chatTemplates: ChatTemplates
  private let cache = WordCache()
  /// Taken once: the vocabulary is long.
  private let knownDigest = Mutex<Digest?>(nil)

  init(_ definition: TokenizerDefinition) throws {
    let place = definition.place
    self.definition = definition
    chatTemplates = ChatTemplates(definition.chatTemplates)
    let vocabulary = try CombinedVocabulary(
      model: definition.model.vocabulary, added: definition.addedTokens, at: place)
    self.vocabulary = vocabulary
    let normalizer = try NormalizerCatalogue.make(definition.normalizer, at: place)
    self.normalizer = normalizer
    preTokenizer = try PreTokenizerCatalogue.make(definition.preTokenizer, at: place)
    postProcessor = try PostProcessorCatalogue.make(
      definition.postProcessor, vocabulary: vocabulary, at: place)
    decoder = try DecoderCatalogue.make(definition.decoder, at: place)
    rawMatcher = AddedTokenMatcher(definition.addedTokens.filter { !$0.normalized }) {
      Array($0.content.utf8)
    }
    normalizedMatcher = AddedTokenMatcher(definition.addedTokens.filter(\.normalized)) {
      let bytes = Array($0.content.utf8)
      return normalizer?.normalize(bytes) ?? bytes
    }
    var specialTokens = definition.specialTokens
    specialTokens.inferMissing(
      vocabulary: vocabulary, unknownToken: definition.model.unknownToken)
    self.specialTokens = specialTokens
  }

  /// The content of its `tokenizer.json`.
  public var json: JSONValue { definition.json }
  /// The content of its `tokenizer_config.json`, as it was loaded.
  public var configuration: JSONObject { definition.configuration }

  /// What the tokenizer does: tokenizers of equal digests give equal ids.
  public func digest() -> Digest {
    knownDigest.withLock { known in
      if let known { return known }
      let roles = SpecialTokens.Role.allCases.map { JSONValue.array([.string($0.rawValue), specialTokens[$0].map { .string($0) } ?? .null]) }
      let parts: [JSONValue] = [definition.json, .array(roles), modelMaxLength.map { .int($0) } ?? .null]
      // In the order of the file: of normalizers and merges, the first comes first.
      let digest = Digest(of: JSONValue.array(parts).encoded(.ordered))
      known = digest
      return digest
    }
  }

  // MARK: Encoding

  /// The ids of a text, or of a pair of texts.
  ///
  /// - Parameters:
  ///   - text: any text; the empty text has no tokens of its own.
  ///   - pair: a second text, for models that read two.
  ///   - addSpecialTokens: whether to put the model's special tokens around the texts, such as
  ///     `[CLS] a [SEP] b [SEP]`.
  ///   - maxLength: the most tokens the result may have, special tokens included; the longer text
  ///     is shortened first, at its end (`longest_first`). Nil: no limit. Truncation and padding
  ///     settings in `tokenizer.json` have no effect.
  /// - Throws: `EngineError` if `maxLength` is negative or does not even hold the special tokens.
  public func encode(
    _ text: String, pair: String? = nil, addSpecialTokens: Bool = true, maxLength: Int? = nil
  ) throws -> Encoding {
    var texts = [Encoding(text: ids(of: text), type: 0)]
    if let pair { texts.append(Encoding(text: ids(of: pair), type: 1)) }
    if let maxLength { try truncate(&texts, maxLength, addSpecialTokens: addSpecialTokens) }
    if let postProcessor {
      texts = postProcessor.process(texts, addSpecialTokens: addSpecialTokens)
    }
    guard var result = texts.first else { return Encoding(text: [], type: 0) }
    for text in texts.dropFirst() { result = result + text }
    return result
  }

  private func truncate(
    _ texts: inout [Encoding], _ maxLength: Int, addSpecialTokens: Bool
  ) throws {
    let added = addSpecialTokens ? postProcessor?.addedTokens(isPair: texts.count > 1) ?? 0 : 0
    guard maxLength >= added else {
      throw EngineError(
        .argument, "max_length is \(maxLength), expected at least \(added), the special tokens alone"
      )
    }
    let limit = maxLength - added
    if texts.count > 1 {
      let (first, second) = Encoding.longestFirst(texts[0].count, texts[1].count, limit: limit)
      texts[0].truncate(to: first)
      texts[1].truncate(to: second)
    } else {
      texts[0].truncate(to: limit)
    }
  }

  /// The tokens of a text, without special tokens around it.
  public func tokenize(_ text: String) -> [String] {
    ids(of: text).map { vocabulary.token(of: $0) ?? "" }
  }

  private func ids(of text: String) -> [Int32] {
    var text = text
    return text.withUTF8 { bytes in
      var ids = [Int32]()
      ids.reserveCapacity(bytes.count / 3 + 8)
      if rawMatcher.isEmpty {
        appendNormalized(bytes, isStart: true, to: &ids)
      } else {
        for part in rawMatcher.split(bytes) {
          if let id = part.id {
            ids.append(id)
          } else {
            appendNormalized(UnsafeBufferPointer(rebasing: bytes[part.range]), isStart: part.range.lowerBound == 0, to: &ids)
          }
        }
      }
      return ids
    }
  }

  private func appendNormalized(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool, to ids: inout [Int32]) {
    guard let normalizer else { return appendWords(text, isStart: isStart, to: &ids) }
    normalizer.normalize(Array(text)).withUnsafeBufferPointer { appendWords($0, isStart: isStart, to: &ids) }
  }

  private func appendWords(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool, to ids: inout [Int32]) {
    if normalizedMatcher.isEmpty { return appendModel(text, isStart: isStart, to: &ids) }
    for part in normalizedMatcher.split(text) {
      if let id = part.id {
        ids.append(id)
      } else {
        appendModel(UnsafeBufferPointer(rebasing: text[part.range]), isStart: isStart && part.range.lowerBound == 0, to: &ids)
      }
    }
  }

  private func appendModel(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool, to ids: inout [Int32]) {
    guard !text.isEmpty else { return }
    var pieces = Pieces()
    pieces.isAtStart = isStart
    if let preTokenizer {
      pieces.bytes.reserveCapacity(text.count + text.count / 4)
      preTokenizer.split(text, into: &pieces)
    } else {
      pieces = Pieces(whole: Array(text))
    }
    pieces.forEach { word in
      cache.append(word, to: &ids) { definition.model.tokenize($0, into: &$1) }
    }
  }

  // MARK: Decoding

  /// The text of ids. Normalization (lower case, accents, white space) is not undone.
  ///
  /// - Parameter skipSpecialTokens: whether to leave special tokens out.
  /// - Throws: `EngineError` for an id that no token has.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = true) throws -> String {
    var tokens = [[UInt8]]()
    for id in ids {
      guard let token = vocabulary.token(of: id) else {
        throw EngineError(
          .argument, "token id \(id) is not in the vocabulary of \(vocabularySize) tokens")
      }
      if skipSpecialTokens, vocabulary.isSpecial(id) { continue }
      tokens.append(Array(token.utf8))
    }
    let parts = decoder?.decode(tokens) ?? [Array(tokens.joined(separator: [0x20]))]
    return String(decoding: Array(parts.joined()), as: UTF8.self)
  }

  // MARK: Vocabulary

  /// The number of tokens, added ones included.
  public var vocabularySize: Int { vocabulary.count }

  /// The id of a token as it stands in the vocabulary, such as `##ing` or `Ġthe`.
  public func id(of token: String) -> Int32? { vocabulary.id(of: token) }

  /// The token of an id, as it stands in the vocabulary.
  public func token(of id: Int32) -> String? { vocabulary.token(of: id) }

  /// Id of the token that fills batches up.
  public var padTokenId: Int32? { id(.pad) }
  /// Id of the token that stands first, and whose state classifiers read.
  public var clsTokenId: Int32? { id(.cls) }
  /// Id of the token between two texts, and after the last.
  public var sepTokenId: Int32? { id(.sep) }
  /// Id of the token that hides a word from a masked language model.
  public var maskTokenId: Int32? { id(.mask) }
  /// Id of the token for what the vocabulary cannot spell.
  public var unkTokenId: Int32? { id(.unk) }
  /// Id of the token that begins a text.
  public var bosTokenId: Int32? { id(.bos) }
  /// Id of the token that ends a text.
  public var eosTokenId: Int32? { id(.eos) }

  /// The ids of all tokens that are marked special, ascending.
  public var specialTokenIds: [Int32] {
    definition.addedTokens.lazy.filter(\.special).map { Int32($0.id) }.sorted()
  }

  /// The most tokens that the model reads, if `tokenizer_config.json` says so.
  public var modelMaxLength: Int? { definition.modelMaxLength }

  private func id(_ role: SpecialTokens.Role) -> Int32? {
    specialTokens[role].flatMap { vocabulary.id(of: $0) }
  }
}
