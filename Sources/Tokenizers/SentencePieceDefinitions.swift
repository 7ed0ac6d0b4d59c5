import Diagnostics
import Files
import Foundation

extension TokenizerDefinition {
  /// T5's tokenizer: the pieces, then sentinels that span corruption puts in the place of what is hidden, the last one first.
  ///
  /// Throws where the file's first pieces are not T5's special tokens, because other families put special tokens elsewhere.
  static func t5(_ file: SentencePieceFile, sentinels: Int) throws -> TokenizerDefinition {
    let path = file.path
    try file.require(.unigram)
    let special = ["<pad>", "</s>", "<unk>"]
    guard file.pieces.prefix(special.count).map(\.token) == special else {
      throw file.misfit("its first pieces are not T5's (\(special.joined(separator: ", ")))")
    }
    let extra = file.pieces.contains { $0.token == "<extra_id_0>" } ? [] : (0..<sentinels).reversed().map { "<extra_id_\($0)>" }
    let model = try Unigram(
      file.pieces.map { ($0.token, $0.score) } + extra.map { ($0, 0) }, unknownId: file.unknownId, fallsBackToBytes: file.fallsBackToBytes, at: path)
    var definition = TokenizerDefinition(place: path, model: model)
    definition.addedTokens = special.enumerated().map { AddedToken($1, id: $0) }
    definition.addedTokens += extra.enumerated().map { AddedToken($1, id: file.pieces.count + $0) }
    let space = "\u{2581}"
    var normalizers = file.characterNormalizers
    if file.removesExtraSpaces {
      normalizers.append(["type": .string("Strip"), "strip_left": .bool(false), "strip_right": .bool(true)])
      normalizers.append(["type": .string("Replace"), "pattern": ["Regex": .string(" {2,}")], "content": .string(space)])
    }
    definition.normalizer = ["type": .string("Sequence"), "normalizers": .array(normalizers)]
    let metaspace: JSONValue = [
      "type": .string("Metaspace"), "replacement": .string(space), "prepend_scheme": .string(file.addsPrefixSpace ? "always" : "never"),
      "split": .bool(true),
    ]
    definition.preTokenizer = metaspace
    definition.postProcessor = sentenceJSON(end: (special[1], 1))
    definition.decoder = metaspace
    return definition
  }

  /// The tokenizers of Llama 2, Mistral and Gemma: byte-pair encoding of whole texts.
  ///
  /// `begins`, `ends`: whether a text gets the token that begins or ends one; `begin`, `end`: these, where they are not the file's.
  /// `addsPrefixSpace`: whether there is a space in front of a text; nil: what the file says. Behind a symbol of the user's there is one
  /// more, as in Transformers.
  static func sentencePieceBPE(
    _ file: SentencePieceFile, begins: Bool, ends: Bool, begin: String?, end: String?, addsPrefixSpace: Bool?
  ) throws -> TokenizerDefinition {
    let path = file.path
    try file.require(.bpe)
    let tokens = file.pieces.map(\.token)
    let vocabulary = try Vocabulary(tokens.enumerated().map { ($1, $0) }, at: path)
    let unknown = file.unknownId.map { tokens[$0] }
    let model = try BPE(
      vocabulary: vocabulary, merges: file.merges(vocabulary), unknownToken: unknown, fusesUnknown: true, fallsBackToBytes: file.fallsBackToBytes,
      at: path, mergePlace: { "\(path): merge \($0 + 1)" })
    var definition = TokenizerDefinition(place: path, model: model)
    let hasPrefix = addsPrefixSpace ?? file.addsPrefixSpace
    definition.addedTokens = file.pieces.enumerated().compactMap { id, piece in
      guard [.control, .unknown, .userDefined].contains(piece.kind) else { return nil }
      var token = AddedToken(piece.token, id: id)
      token.special = piece.kind != .userDefined
      // The user's symbols may have spaces. A prefix would become a part of them.
      token.normalized = piece.kind == .userDefined && !hasPrefix
      return token
    }
    let space = "\u{2581}"
    func replace(_ pattern: JSONValue, by content: String) -> JSONValue {
      ["type": .string("Replace"), "pattern": pattern, "content": .string(content)]
    }
    var normalizers = file.characterNormalizers
    if file.removesExtraSpaces {
      // Spaces that nothing stands before or behind; there the sign for a space counts as one.
      normalizers.append(replace(["Regex": .string(#"(?<![\s\S]) +|[ \#(space)]+(?![\s\S])"#)], by: ""))
      normalizers.append(replace(["Regex": .string(" {2,}")], by: " "))
    }
    if hasPrefix { normalizers.append(["type": .string("Prepend"), "prepend": .string(space)]) }
    normalizers.append(replace(["String": .string(" ")], by: space))
    definition.normalizer = ["type": .string("Sequence"), "normalizers": .array(normalizers)]
    var decoders: [JSONValue] = [
      replace(["String": .string(space)], by: " "), ["type": .string("ByteFallback")], ["type": .string("Fuse")],
    ]
    if hasPrefix || file.removesExtraSpaces {
      decoders.append(["type": .string("Strip"), "content": .string(" "), "start": .int(file.removesExtraSpaces ? 1 << 20 : 1), "stop": .int(0)])
    }
    definition.decoder = ["type": .string("Sequence"), "decoders": .array(decoders)]
    func token(_ name: String) throws -> (token: String, id: Int) {
      guard let id = vocabulary.id(of: name) else { throw file.misfit("has no piece '\(name)' to begin or end a text with") }
      return (name, Int(id))
    }
    let names = (begin ?? file.begin, end ?? file.end)
    if begins || ends { definition.postProcessor = try sentenceJSON(begin: begins ? token(names.0) : nil, end: ends ? token(names.1) : nil) }
    if vocabulary.id(of: names.0) != nil { definition.specialTokens[.bos] = names.0 }
    if vocabulary.id(of: names.1) != nil { definition.specialTokens[.eos] = names.1 }
    definition.specialTokens[.unk] = unknown
    return definition
  }
}

extension SentencePieceFile {
  /// The file's own map of characters as a stage of `tokenizer.json`, if it has one.
  fileprivate var characterNormalizers: [JSONValue] {
    guard !characterMap.isEmpty else { return [] }
    return [["type": .string("Precompiled"), "precompiled_charsmap": .string(Data(characterMap).base64EncodedString())]]
  }

  /// What byte-pair encoding does: any two neighbours that make a piece, of these the one with the highest score. The file has no list of
  /// merges; of the ways to make one piece, that with the longest left part comes first, as in Transformers.
  ///
  /// Throws for a piece with a character that is none itself.
  fileprivate func merges(_ vocabulary: Vocabulary) throws -> [(left: Substring, right: Substring)] {
    var mergeable = [Bool](repeating: false, count: pieces.count)
    for (id, piece) in pieces.enumerated() {
      if piece.kind == .unused { throw misfit("piece '\(piece.token)' is marked as unused, which is not supported") }
      mergeable[id] = piece.kind == .normal
    }
    func isPart(_ text: Substring) -> Bool {
      var text = text
      return text.withUTF8 { vocabulary.id(of: $0) }.map { mergeable[Int($0)] } ?? false
    }
    let order = pieces.indices.filter { mergeable[$0] }.sorted { (pieces[$1].score, $0) < (pieces[$0].score, $1) }
    var merges: [(left: Substring, right: Substring)] = []
    for id in order {
      let token = pieces[id].token[...]
      let cuts = token.unicodeScalars.indices.dropFirst()
      if cuts.isEmpty { continue }
      for (start, end) in zip(token.unicodeScalars.indices, Array(cuts) + [token.endIndex]) where !isPart(token[start..<end]) {
        throw misfit("piece '\(token)' has the character '\(token[start..<end])', which is no piece itself")
      }
      for cut in cuts.reversed() where isPart(token[..<cut]) && isPart(token[cut...]) { merges.append((token[..<cut], token[cut...])) }
    }
    return merges
  }
}
