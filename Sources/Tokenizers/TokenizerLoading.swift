import Diagnostics
import Files
import Foundation

extension Tokenizer {
  /// Reads the tokenizer of a model folder.
  ///
  /// Takes `tokenizer.json`; else `vocab.txt` (BERT's WordPiece); else `vocab.json` with
  /// `merges.txt` (byte-level BPE of GPT-2, RoBERTa and BART); else `spiece.model` (T5);
  /// else `tokenizer.model` (SentencePiece's BPE, of Llama 2, Mistral and Gemma, or T5's pieces). `tokenizer_config.json`,
  /// `special_tokens_map.json` and `added_tokens.json` are honoured where present: lower case,
  /// accents, prefix space, the longest input, special and added tokens. Chat templates are read as well, from `chat_template.jinja`,
  /// `tokenizer_config.json` or `chat_template.json`.
  ///
  /// - Throws: `EngineError` naming the file, for files that are missing, malformed, contradict
  ///   each other, or use a component that is not supported.
  public static func load(folder: String) throws -> Tokenizer {
    try FilePath.require(folder)
    guard let kind = fileKind(folder) else { throw EngineError(.file, "\(folder): no such folder") }
    guard kind == .folder else {
      throw EngineError(.file, "\(folder): is a file, expected a folder with a tokenizer")
    }
    let files = try TokenizerFiles(folder: folder)
    var definition: TokenizerDefinition
    if files.has("tokenizer.json") {
      definition = try files.tokenizerJSON()
    } else if files.has("vocab.txt") {
      definition = try files.wordPiece()
    } else if files.has("vocab.json") {
      definition = try files.byteLevelBPE()
    } else if files.has("spiece.model") {
      definition = try .t5(SentencePieceFile(files.path("spiece.model")), sentinels: files.sentinels())
    } else if files.has("tokenizer.model") {
      let file = try SentencePieceFile(files.path("tokenizer.model"))
      definition = try file.isUnigram ? .t5(file, sentinels: files.sentinels()) : files.sentencePieceBPE(file)
    } else {
      throw EngineError(
        .file, "\(folder): no tokenizer in this folder",
        hint: "expected tokenizer.json, or vocab.txt, or vocab.json and merges.txt, or spiece.model, or tokenizer.model")
    }
    try files.configure(&definition)
    return try Tokenizer(definition)
  }
}

/// The files of a folder from which a tokenizer is put together.
private struct TokenizerFiles {
  let folder: String
  let configuration: JSONValue
  let specialTokensMap: JSONValue

  init(folder: String) throws {
    self.folder = folder
    func readObject(_ name: String) throws -> JSONValue {
      let path = folder + "/" + name
      guard fileExists(path) else { return [:] }
      let json = try JSONValue(file: path)
      guard case .object = json else {
        throw EngineError(.data, "\(path): is \(json.kindName), expected an object")
      }
      return json
    }
    configuration = try readObject("tokenizer_config.json")
    specialTokensMap = try readObject("special_tokens_map.json")
  }

  func path(_ name: String) -> String { folder + "/" + name }

  func has(_ name: String) -> Bool { fileExists(path(name)) }

  private var configurationPath: String { path("tokenizer_config.json") }

  // MARK: The kinds of folders

  func tokenizerJSON() throws -> TokenizerDefinition {
    let place = path("tokenizer.json")
    let json = try JSONValue(file: place)
    guard case .object = json else {
      throw EngineError(.data, "\(place): is \(json.kindName), expected an object")
    }
    var definition = TokenizerDefinition(
      place: place, model: try ModelCatalogue.make(json["model"], at: place))
    if json["added_tokens"] != nil {
      definition.addedTokens = try json.array("added_tokens", at: place).enumerated().map {
        try AddedToken($1, at: "\(place): added_tokens[\($0)]")
      }
    }
    definition.normalizer = json["normalizer"]
    definition.preTokenizer = json["pre_tokenizer"]
    definition.postProcessor = json["post_processor"]
    definition.decoder = json["decoder"]
    overrideComponents(of: &definition)
    return definition
  }

  /// Settings of `tokenizer_config.json` that change a component.
  private func overrideComponents(of definition: inout TokenizerDefinition) {
    func override(
      _ component: inout JSONValue?, _ type: String, _ keys: [(from: String, to: String)]
    ) {
      guard case .object(var members)? = component, case .string(type)? = component?["type"] else {
        return
      }
      for (from, to) in keys {
        guard case .bool(let value)? = configuration[from] else { continue }
        members[to] = .bool(value)
      }
      component = .object(members)
    }
    override(
      &definition.normalizer, "BertNormalizer",
      [
        ("do_lower_case", "lowercase"), ("strip_accents", "strip_accents"),
        ("tokenize_chinese_chars", "handle_chinese_chars"),
      ])
    override(&definition.preTokenizer, "ByteLevel", [("add_prefix_space", "add_prefix_space")])
  }

  func wordPiece() throws -> TokenizerDefinition {
    let place = path("vocab.txt")
    let lines = try lines(of: place)
    guard !lines.isEmpty else { throw EngineError(.data, "\(place): the vocabulary is empty") }
    // A token that comes twice has its last id, as in the reference.
    var lastLine = [ArraySlice<UInt8>: Int](minimumCapacity: lines.count)
    for (id, line) in lines.enumerated() { lastLine[line] = id }
    let members = lines.enumerated().compactMap { id, line in
      lastLine[line] == id ? (String(decoding: line, as: UTF8.self), JSONValue.int(id)) : nil
    }
    let unknown = try specialToken(.unk)?.content ?? "[UNK]"
    let model = try WordPiece(
      ["unk_token": .string(unknown), "vocab": .object(JSONObject(members))], at: place)
    var definition = TokenizerDefinition(place: place, model: model)
    let roles: [(SpecialTokens.Role, String)] = [
      (.pad, "[PAD]"), (.unk, "[UNK]"), (.cls, "[CLS]"), (.sep, "[SEP]"), (.mask, "[MASK]"),
    ]
    for (role, name) in roles {
      let token = try specialToken(role)?.content ?? name
      guard let id = model.vocabulary.id(of: token) else { continue }
      if definition.addedTokens.contains(where: { $0.id == Int(id) }) { continue }
      definition.addedTokens.append(AddedToken(token, id: Int(id)))
    }
    let lowercases = try configuration.bool("do_lower_case", default: true, at: configurationPath)
    definition.normalizer = .object([
      "type": .string("BertNormalizer"),
      "clean_text": .bool(true),
      "handle_chinese_chars": .bool(
        try configuration.bool("tokenize_chinese_chars", default: true, at: configurationPath)),
      "strip_accents": .bool(try configuration.bool("strip_accents", default: lowercases, at: configurationPath)),
      "lowercase": .bool(lowercases),
    ])
    definition.preTokenizer = .object(["type": .string("BertPreTokenizer")])
    definition.postProcessor = TokenizerDefinition.bertJSON(
      cls: try require(.cls, "[CLS]", in: model.vocabulary, at: place),
      sep: try require(.sep, "[SEP]", in: model.vocabulary, at: place))
    definition.decoder = .object([
      "type": .string("WordPiece"), "prefix": .string("##"),
      "cleanup": .bool(true),
    ])
    return definition
  }

  func byteLevelBPE() throws -> TokenizerDefinition {
    let place = path("vocab.json")
    let mergesPath = path("merges.txt")
    guard has("merges.txt") else {
      throw EngineError(.file, "\(mergesPath): no such file", hint: "vocab.json needs it")
    }
    let vocabulary = try Vocabulary(JSONValue(file: place), at: place)
    var pairs = [(left: Substring, right: Substring)]()
    var lineNumbers = [Int]()
    for (index, line) in try lines(of: mergesPath).enumerated() {
      if line.isEmpty || line.starts(with: Array("#version".utf8)) { continue }
      guard let pair = BPE.pair(String(decoding: line, as: UTF8.self)) else {
        throw EngineError(
          .data, "\(mergesPath):\(index + 1): expected two tokens with a space between them")
      }
      pairs.append(pair)
      lineNumbers.append(index + 1)
    }
    let model = try BPE(
      vocabulary: vocabulary, merges: pairs, unknownToken: nil, at: place,
      mergePlace: { "\(mergesPath):\(lineNumbers[$0])" })
    var definition = TokenizerDefinition(place: place, model: model)
    let addsPrefixSpace = try configuration.bool(
      "add_prefix_space", default: false, at: configurationPath)
    definition.preTokenizer = TokenizerDefinition.byteLevelJSON(addsPrefixSpace: addsPrefixSpace)
    definition.decoder = TokenizerDefinition.byteLevelJSON(addsPrefixSpace: true)
    let isRoberta = vocabulary.id(of: "<s>") != nil && vocabulary.id(of: "</s>") != nil
    for name in isRoberta ? ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] : ["<|endoftext|>"] {
      guard let id = vocabulary.id(of: name) else { continue }
      definition.addedTokens.append(AddedToken(name, id: Int(id), lstrip: name == "<mask>"))
    }
    definition.postProcessor =
      isRoberta
      ? TokenizerDefinition.robertaJSON(
        cls: try require(.cls, "<s>", in: vocabulary, at: place),
        sep: try require(.sep, "</s>", in: vocabulary, at: place), addsPrefixSpace: addsPrefixSpace)
      : TokenizerDefinition.byteLevelJSON(addsPrefixSpace: true)
    return definition
  }

  /// Llama 2's, Mistral's and Gemma's: a text begins with a token unless the configuration says otherwise.
  func sentencePieceBPE(_ file: SentencePieceFile) throws -> TokenizerDefinition {
    func flag(_ key: String) throws -> Bool? {
      guard configuration[key] != nil, configuration[key] != .null else { return nil }
      return try configuration.bool(key, default: true, at: configurationPath)
    }
    return try .sentencePieceBPE(
      file, begins: flag("add_bos_token") ?? true, ends: flag("add_eos_token") ?? false,
      begin: specialToken(.bos)?.content, end: specialToken(.eos)?.content, addsPrefixSpace: flag("add_prefix_space"))
  }

  /// How many sentinels (`<extra_id_0>`) T5's tokenizer has beside its pieces.
  func sentinels() throws -> Int {
    switch configuration["extra_ids"] {
    case nil, .null: return 100
    case .int(let count) where (0...10_000).contains(count): return count
    default: throw EngineError(.data, "\(configurationPath): 'extra_ids' is not a whole number from 0 to 10000")
    }
  }

  /// The lines of a text file without their ends, which are LF or CRLF.
  private func lines(of path: String) throws -> [ArraySlice<UInt8>] {
    var lines = Array(try readText(path).utf8).split(
      separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
  }

  private func require(
    _ role: SpecialTokens.Role, _ name: String, in vocabulary: Vocabulary, at place: String
  ) throws -> (token: String, id: Int) {
    let token = try specialToken(role)?.content ?? name
    guard let id = vocabulary.id(of: token) else {
      throw EngineError(.data, "\(place): \(role.rawValue) '\(token)' is not in the vocabulary")
    }
    return (token, Int(id))
  }

  // MARK: Configuration

  /// The token of a role, where a file names one: "[CLS]" or {"content": "[CLS]", ...}.
  private func specialToken(_ role: SpecialTokens.Role) throws -> AddedToken? {
    for (json, name) in [
      (configuration, "tokenizer_config.json"), (specialTokensMap, "special_tokens_map.json"),
    ] {
      if let token = try specialToken(json[role.rawValue], at: "\(path(name)): \(role.rawValue)") {
        return token
      }
    }
    return nil
  }

  private func specialToken(_ json: JSONValue?, at place: String) throws -> AddedToken? {
    switch json {
    case nil, .null: return nil
    case .string(let content): return content.isEmpty ? nil : AddedToken(content, id: -1)
    case .object:
      var token = try json.map { try AddedToken($0, id: -1, at: place) }
      token?.special = true
      return token
    case let other?:
      throw EngineError(.data, "\(place): is \(other.kindName), expected a string")
    }
  }

  /// Adds what the smaller files say: added tokens, roles, the longest input.
  func configure(_ definition: inout TokenizerDefinition) throws {
    if case .object(let members) = configuration { definition.configuration = members }
    definition.chatTemplates = try ChatTemplates.texts(folder: folder, configuration: configuration)
    try addConfiguredTokens(to: &definition)
    var named = [AddedToken]()
    for role in SpecialTokens.Role.allCases {
      guard let token = try specialToken(role) else { continue }
      definition.specialTokens[role] = token.content
      named.append(token)
    }
    let key = "additional_special_tokens"
    for json in [configuration, specialTokensMap] {
      guard case .array(let tokens)? = json[key] else { continue }
      named += try tokens.compactMap { try specialToken($0, at: "\(folder): \(key)") }
    }
    let vocabulary = try CombinedVocabulary(
      model: definition.model.vocabulary, added: definition.addedTokens, at: definition.place)
    var nextId = vocabulary.nextId
    var known = Set(definition.addedTokens.map { Array($0.content.utf8) })
    for var token in named where known.insert(Array(token.content.utf8)).inserted {
      token.id = vocabulary.id(of: token.content).map(Int.init) ?? nextId
      nextId = max(nextId, token.id + 1)
      definition.addedTokens.append(token)
    }
    definition.modelMaxLength = try modelMaxLength()
  }

  /// `added_tokens_decoder` of the configuration, and `added_tokens.json`.
  private func addConfiguredTokens(to definition: inout TokenizerDefinition) throws {
    var tokens = [AddedToken]()
    if case .object(let members)? = configuration["added_tokens_decoder"] {
      for (key, token) in members.members {
        let place = "\(configurationPath): added_tokens_decoder '\(key)'"
        guard let id = Int(key) else {
          throw EngineError(.data, "\(place): expected a token id as the key")
        }
        tokens.append(try AddedToken(token, id: id, at: place))
      }
    }
    // Beside a tokenizer.json it repeats what that holds.
    if !has("tokenizer.json"), has("added_tokens.json") {
      let place = path("added_tokens.json")
      for (token, id) in try Vocabulary(JSONValue(file: place), at: place).tokensById {
        var added = AddedToken(token, id: id)
        added.special = false
        added.normalized = true
        tokens.append(added)
      }
    }
    var places = Dictionary(
      definition.addedTokens.enumerated().map { (Array($1.content.utf8), $0) }, uniquingKeysWith: { first, _ in first })
    for token in tokens.sorted(by: { $0.id < $1.id }) {
      if let index = places[Array(token.content.utf8)] {
        guard definition.addedTokens[index].id == token.id else {
          throw EngineError(
            .data,
            "\(folder): token '\(token.content)' has id \(token.id) in tokenizer_config.json or "
              + "added_tokens.json, but \(definition.addedTokens[index].id) in \(definition.place)")
        }
        // Where the tokens come from the conventions of a family, the file knows better.
        if !has("tokenizer.json") { definition.addedTokens[index] = token }
      } else {
        places[Array(token.content.utf8)] = definition.addedTokens.count
        definition.addedTokens.append(token)
      }
    }
  }

  private func modelMaxLength() throws -> Int? {
    let key = "model_max_length"
    let length: Double
    switch configuration[key] {
    case nil, .null: return nil
    case .int(let value): length = Double(value)
    case .double(let value): length = value
    case let other?:
      throw EngineError(.data, "\(configurationPath): '\(key)' is \(other.kindName), expected a number")
    }
    // 1e30 is written for "no limit".
    guard length < 1e9 else { return nil }
    guard length >= 1, let whole = Int(exactly: length) else {
      throw EngineError(
        .data, "\(configurationPath): '\(key)' is \(length), expected a whole number of at least 1")
    }
    return whole
  }
}
