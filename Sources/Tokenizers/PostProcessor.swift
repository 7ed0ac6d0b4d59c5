import Diagnostics
import Files

/// Puts special tokens around one or two encoded texts.
protocol PostProcessor: Sendable {
  /// How many tokens it adds.
  func addedTokens(isPair: Bool) -> Int
  func process(_ texts: [Encoding], addSpecialTokens: Bool) -> [Encoding]
}

/// The post-processors of `tokenizer.json`, by their `type`.
enum PostProcessorCatalogue {
  static func make(
    _ json: JSONValue?, vocabulary: CombinedVocabulary, at place: String
  ) throws -> (any PostProcessor)? {
    guard let json, json != .null else { return nil }
    let types: [ComponentType<any PostProcessor>] = [
      .init("BertProcessing") { try PairProcessing.bert($0, vocabulary: vocabulary, at: $1) },
      .init("ByteLevel") { _, _ in NoProcessing() },
      .init("RobertaProcessing") { try PairProcessing.roberta($0, vocabulary: vocabulary, at: $1) },
      .init("Sequence") { try PostProcessorSequence($0, vocabulary: vocabulary, at: $1) },
      .init("TemplateProcessing") { try TemplateProcessing($0, vocabulary: vocabulary, at: $1) },
    ]
    return try component(json, among: types, "post_processor", at: place)
  }
}

/// Byte-level post-processing moves offsets only.
struct NoProcessing: PostProcessor {
  func addedTokens(isPair: Bool) -> Int { 0 }
  func process(_ texts: [Encoding], addSpecialTokens: Bool) -> [Encoding] { texts }
}

/// The fixed forms of BERT, `cls a sep b sep`, and RoBERTa, `cls a sep sep b sep` with all types 0.
struct PairProcessing: PostProcessor {
  private let cls: Int32
  private let sep: Int32
  private let isRoberta: Bool

  static func bert(
    _ json: JSONValue, vocabulary: CombinedVocabulary, at place: String
  ) throws -> PairProcessing {
    try PairProcessing(json, isRoberta: false, vocabulary: vocabulary, at: place)
  }

  static func roberta(
    _ json: JSONValue, vocabulary: CombinedVocabulary, at place: String
  ) throws -> PairProcessing {
    try PairProcessing(json, isRoberta: true, vocabulary: vocabulary, at: place)
  }

  private init(
    _ json: JSONValue, isRoberta: Bool, vocabulary: CombinedVocabulary, at place: String
  ) throws {
    func token(_ key: String) throws -> Int32 {
      let pair = try json.array(key, at: place)
      guard pair.count == 2, case .string(let token) = pair[0], case .int(let id) = pair[1] else {
        throw EngineError(.data, "\(place): '\(key)' is not [\"token\", id]")
      }
      return try vocabulary.confirm(token, id: id, at: "\(place): \(key)")
    }
    cls = try token("cls")
    sep = try token("sep")
    self.isRoberta = isRoberta
  }

  func addedTokens(isPair: Bool) -> Int { !isPair ? 2 : isRoberta ? 4 : 3 }

  func process(_ texts: [Encoding], addSpecialTokens: Bool) -> [Encoding] {
    var texts = texts
    if isRoberta {
      for index in texts.indices { texts[index].setType(0) }
    }
    guard addSpecialTokens else { return texts }
    return texts.enumerated().map { index, text in
      let type: Int32 = index == 0 || isRoberta ? 0 : 1
      let start = index == 0 ? [cls] : isRoberta ? [sep] : []
      return Encoding(special: start, type: type) + text + Encoding(special: [sep], type: type)
    }
  }
}

/// Special tokens and texts in a given order, with given types.
struct TemplateProcessing: PostProcessor {
  private enum Piece {
    case special(ids: [Int32], type: Int32)
    case text(index: Int, type: Int32)
  }

  private let single: [Piece]
  private let pair: [Piece]

  init(_ json: JSONValue, vocabulary: CombinedVocabulary, at place: String) throws {
    func pieces(_ key: String) throws -> [Piece] {
      try json.array(key, at: place).enumerated().map { index, piece in
        try TemplateProcessing.piece(
          piece, tokens: json["special_tokens"], vocabulary: vocabulary,
          at: "\(place): \(key)[\(index)]")
      }
    }
    single = try pieces("single")
    pair = try pieces("pair")
    let usesSecond = single.contains { if case .text(1, _) = $0 { true } else { false } }
    if usesSecond { throw EngineError(.data, "\(place): 'single' uses sequence B") }
  }

  private static func piece(
    _ json: JSONValue, tokens: JSONValue?, vocabulary: CombinedVocabulary, at place: String
  ) throws -> Piece {
    let content = json["Sequence"] ?? json["SpecialToken"] ?? .null
    let name = try content.string("id", at: place)
    guard case .int(let number)? = content["type_id"] ?? .int(0), let type = Int32(exactly: number)
    else { throw EngineError(.data, "\(place): 'type_id' is not a whole number") }
    if json["Sequence"] != nil {
      guard name == "A" || name == "B" else {
        throw EngineError(.data, "\(place): sequence '\(name)', expected 'A' or 'B'")
      }
      return .text(index: name == "A" ? 0 : 1, type: type)
    }
    guard let definition = tokens?[name] else { throw EngineError(.data, "\(place): '\(name)' is not among 'special_tokens'") }
    let ids = try definition.array("ids", at: place)
    let names = try definition.array("tokens", at: place)
    guard ids.count == names.count else {
      throw EngineError(.data, "\(place): '\(name)' has \(ids.count) ids for \(names.count) tokens")
    }
    return .special(
      ids: try zip(ids, names).map { id, token in
        guard case .int(let id) = id, case .string(let token) = token else {
          throw EngineError(.data, "\(place): '\(name)' has ids or tokens of a wrong type")
        }
        return try vocabulary.confirm(token, id: id, at: place)
      }, type: type)
  }

  func addedTokens(isPair: Bool) -> Int {
    (isPair ? pair : single).reduce(0) { sum, piece in
      if case .special(let ids, _) = piece { sum + ids.count } else { sum }
    }
  }

  func process(_ texts: [Encoding], addSpecialTokens: Bool) -> [Encoding] {
    (texts.count > 1 ? pair : single).compactMap { piece in
      switch piece {
      case .special(let ids, let type):
        return addSpecialTokens ? Encoding(special: ids, type: type) : nil
      case .text(let index, let type):
        guard index < texts.count else { return nil }
        var text = texts[index]
        text.setType(type)
        return text
      }
    }
  }
}

/// Post-processors one after another; only one of them may add tokens.
struct PostProcessorSequence: PostProcessor {
  let stages: [any PostProcessor]

  init(_ json: JSONValue, vocabulary: CombinedVocabulary, at place: String) throws {
    stages = try json.array("processors", at: place).compactMap {
      try PostProcessorCatalogue.make($0, vocabulary: vocabulary, at: place)
    }
    guard stages.count(where: { !($0 is NoProcessing) }) <= 1 else {
      throw EngineError(
        .data, "\(place): more than one processor that adds tokens is not supported")
    }
  }

  func addedTokens(isPair: Bool) -> Int {
    stages.reduce(0) { $0 + $1.addedTokens(isPair: isPair) }
  }

  func process(_ texts: [Encoding], addSpecialTokens: Bool) -> [Encoding] {
    stages.reduce(texts) { $1.process($0, addSpecialTokens: addSpecialTokens) }
  }
}
