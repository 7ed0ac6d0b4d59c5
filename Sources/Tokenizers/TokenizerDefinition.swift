import Files

/// All that makes a tokenizer, in the form of `tokenizer.json`: what is loaded, and what is saved.
struct TokenizerDefinition: Sendable {
  /// The file it came from, for errors.
  var place: String
  var model: any TokenModel
  var addedTokens: [AddedToken] = []
  var normalizer: JSONValue?
  var preTokenizer: JSONValue?
  var postProcessor: JSONValue?
  var decoder: JSONValue?
  var specialTokens = SpecialTokens()
  var modelMaxLength: Int?
  /// `tokenizer_config.json` as it was loaded.
  var configuration = JSONObject()
  /// See `ChatTemplates.texts`.
  var chatTemplates: [(name: String, text: ChatTemplates.Text)] = []

  var json: JSONValue {
    .object([
      "version": .string("1.0"),
      "truncation": .null,
      "padding": .null,
      "added_tokens": .array(addedTokens.sorted { $0.id < $1.id }.map(\.json)),
      "normalizer": normalizer ?? .null,
      "pre_tokenizer": preTokenizer ?? .null,
      "post_processor": postProcessor ?? .null,
      "decoder": decoder ?? .null,
      "model": model.json,
    ])
  }
}

// MARK: The components of the families that have no `tokenizer.json`

extension TokenizerDefinition {
  static func byteLevelJSON(addsPrefixSpace: Bool) -> JSONValue {
    .object([
      "type": .string("ByteLevel"),
      "add_prefix_space": .bool(addsPrefixSpace),
      "trim_offsets": .bool(true), "use_regex": .bool(true),
    ])
  }

  static func robertaJSON(
    cls: (token: String, id: Int), sep: (token: String, id: Int), addsPrefixSpace: Bool
  ) -> JSONValue {
    .object([
      "type": .string("RobertaProcessing"),
      "sep": .array([.string(sep.token), .int(sep.id)]),
      "cls": .array([.string(cls.token), .int(cls.id)]),
      "trim_offsets": .bool(true),
      "add_prefix_space": .bool(addsPrefixSpace),
    ])
  }

  static func bertJSON(cls: (token: String, id: Int), sep: (token: String, id: Int)) -> JSONValue {
    let single = [(cls.token, 0), ("A", 0), (sep.token, 0)]
    return templateJSON(single: single, pair: single + [("B", 1), (sep.token, 1)], tokens: [cls, sep])
  }

  /// Texts with a token in front of or behind each; at least one of the two.
  static func sentenceJSON(begin: (token: String, id: Int)? = nil, end: (token: String, id: Int)? = nil) -> JSONValue {
    func sentence(_ name: String) -> [(part: String, type: Int)] {
      (begin.map { [($0.token, 0)] } ?? []) + [(name, 0)] + (end.map { [($0.token, 0)] } ?? [])
    }
    return templateJSON(single: sentence("A"), pair: sentence("A") + sentence("B"), tokens: [begin, end].compactMap { $0 })
  }

  /// `single`, `pair`: the texts "A" and "B" and special tokens in their order, each with its token type.
  private static func templateJSON(
    single: [(part: String, type: Int)], pair: [(part: String, type: Int)], tokens: [(token: String, id: Int)]
  ) -> JSONValue {
    func parts(_ template: [(part: String, type: Int)]) -> JSONValue {
      .array(
        template.map { part, type in
          .object([["A", "B"].contains(part) ? "Sequence" : "SpecialToken": ["id": .string(part), "type_id": .int(type)]])
        })
    }
    let definitions = tokens.map { token in
      (token.token, ["id": .string(token.token), "ids": [.int(token.id)], "tokens": [.string(token.token)]] as JSONValue)
    }
    return .object([
      "type": .string("TemplateProcessing"), "single": parts(single), "pair": parts(pair),
      "special_tokens": .object(JSONObject(definitions)),
    ])
  }
}
