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
  var configuration: [JSONMember] = []

  var json: JSONValue {
    .object([
      JSONMember("version", .string("1.0")),
      JSONMember("truncation", .null),
      JSONMember("padding", .null),
      JSONMember("added_tokens", .array(addedTokens.sorted { $0.id < $1.id }.map(\.json))),
      JSONMember("normalizer", normalizer ?? .null),
      JSONMember("pre_tokenizer", preTokenizer ?? .null),
      JSONMember("post_processor", postProcessor ?? .null),
      JSONMember("decoder", decoder ?? .null),
      JSONMember("model", model.json),
    ])
  }
}

// MARK: The components of the two families that have no `tokenizer.json`

extension TokenizerDefinition {
  static func byteLevelJSON(addsPrefixSpace: Bool) -> JSONValue {
    .object([
      JSONMember("type", .string("ByteLevel")),
      JSONMember("add_prefix_space", .bool(addsPrefixSpace)),
      JSONMember("trim_offsets", .bool(true)), JSONMember("use_regex", .bool(true)),
    ])
  }

  static func robertaJSON(
    cls: (token: String, id: Int), sep: (token: String, id: Int), addsPrefixSpace: Bool
  ) -> JSONValue {
    .object([
      JSONMember("type", .string("RobertaProcessing")),
      JSONMember("sep", .array([.string(sep.token), .int(sep.id)])),
      JSONMember("cls", .array([.string(cls.token), .int(cls.id)])),
      JSONMember("trim_offsets", .bool(true)),
      JSONMember("add_prefix_space", .bool(addsPrefixSpace)),
    ])
  }

  static func bertJSON(cls: (token: String, id: Int), sep: (token: String, id: Int)) -> JSONValue {
    func special(_ token: String, _ type: Int) -> JSONValue {
      .object([
        JSONMember(
          "SpecialToken",
          .object([JSONMember("id", .string(token)), JSONMember("type_id", .int(type))]))
      ])
    }
    func sequence(_ name: String, _ type: Int) -> JSONValue {
      .object([
        JSONMember(
          "Sequence", .object([JSONMember("id", .string(name)), JSONMember("type_id", .int(type))]))
      ])
    }
    let single = [special(cls.token, 0), sequence("A", 0), special(sep.token, 0)]
    let definitions = [cls, sep].map { token in
      JSONMember(
        token.token,
        .object([
          JSONMember("id", .string(token.token)), JSONMember("ids", .array([.int(token.id)])),
          JSONMember("tokens", .array([.string(token.token)])),
        ]))
    }
    return .object([
      JSONMember("type", .string("TemplateProcessing")),
      JSONMember("single", .array(single)),
      JSONMember("pair", .array(single + [sequence("B", 1), special(sep.token, 1)])),
      JSONMember("special_tokens", .object(definitions)),
    ])
  }
}
