import Diagnostics
import Engine
import Generation
import LuaHost
import Training

/// Options of `Model:generate`.
struct GenerateOptions: LuaRecord {
  var generation = GenerationOptions()
  var returnDictInGenerate = false
  var logitsProcessor: LuaFunction?

  static let recordName = GenerationOptions.recordName
  static let typeName = GenerationOptions.typeName
  static var foreignNames: [String: ForeignName] { GenerationOptions.foreignNames }
  static let fields: [Field<Self>] =
    Field.fields(of: \.generation) + [
      .value("return_dict_in_generate", \.returnDictInGenerate, "give a table for each text, with its tokens and score, instead of the text"),
      .logitsProcessor(\.logitsProcessor),
    ]

  func validate() throws(EngineError) { try generation.validate() }
}

/// One text, or a list of them.
struct Prompts: LuaArgument {
  let texts: [String]
  let isSingle: Bool

  static var luaType: LuaType { LuaType("string|string[]") }
  static var expectedWord: String { "a text, or a list of texts" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Prompts {
    let (texts, isSingle): ([String], Bool) = try stack.oneOrSeveral(at: index, expected: expectedWord)
    return Prompts(texts: texts, isSingle: isSingle)
  }
}

/// One text, or a list of them; or the tokens of one, or of several.
struct GenerationPrompts: LuaArgument {
  let content: Content
  let isSingle: Bool

  enum Content {
    case texts([String])
    case tokens([[Int]])
  }

  static var luaType: LuaType { LuaType("string|string[]|integer[]|integer[][]") }
  static var expectedWord: String { "a text, a list of texts, or token ids" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> GenerationPrompts {
    if stack.isTable(at: index), let first = try LuaTable.read(stack, at: index).list.first {
      if first.int != nil { return GenerationPrompts(content: .tokens([try stack.several(at: index, expected: expectedWord)]), isSingle: true) }
      if case .table = first { return GenerationPrompts(content: .tokens(try stack.several(at: index, expected: expectedWord)), isSingle: false) }
    }
    let prompts = try Prompts.read(stack, at: index)
    return GenerationPrompts(content: .texts(prompts.texts), isSingle: prompts.isSingle)
  }

  var count: Int {
    switch content {
    case .texts(let texts): texts.count
    case .tokens(let tokens): tokens.count
    }
  }

  /// `finished`: called with the results of a prompt when they are there.
  func written(by generator: TextGenerator, finished: ([WrittenText]) throws -> Void) throws -> [[WrittenText]] {
    switch content {
    case .texts(let texts): try generator.generate(texts) { try finished($1) }
    case .tokens(let tokens): try generator.generate(tokens: tokens.map { $0.map { Int32(exactly: $0) ?? -1 } }) { try finished($1) }
    }
  }
}

/// What a model wrote: for one prompt a text, or the list of its texts where several were asked for; for a list the list of these.
struct WrittenTexts: LuaResult {
  let texts: [[WrittenText]]
  let prompts: GenerationPrompts
  let options: GenerateOptions

  static var luaType: LuaType {
    LuaType(
      "string|string[]|string[][]|WrittenText|WrittenText[]|WrittenText[][]",
      definition: .shape(
        LuaType.TableShape(
          "WrittenText", "What a model wrote behind a prompt.",
          fields: [
            ("text", "string", "without the prompt, and without special tokens"),
            ("tokens", "integer[]", "what was written, with the token that ended the text if one did"),
            ("score", "number", "log probability; of a beam search divided as length_penalty says"),
          ])))
  }

  func push(onto stack: LuaStack) throws -> Int32 {
    let values = texts.map { results -> LuaValue in
      let values = results.map(value)
      return options.generation.numReturnSequences > 1 ? .table(LuaTable(list: values)) : values.first ?? .nil
    }
    guard prompts.isSingle, let first = values.first else { return try values.push(onto: stack) }
    return try first.push(onto: stack)
  }

  private func value(_ written: WrittenText) -> LuaValue {
    guard options.returnDictInGenerate else { return .string(written.text) }
    return .table(
      LuaTable(fields: [
        "text": .string(written.text), "tokens": .table(LuaTable(list: written.tokens.map { .integer(Int($0)) })), "score": .number(written.score),
      ]))
  }
}

/// `Model:generate`.
func generateMethod(_ session: Session) -> Member<TrainableModel> {
  .method(
    "generate",
    "Continues texts, with a model that base:causal_lm() gave; or writes for each what a decoder says about it, with one of base:seq2seq_lm().",
    Param<GenerationPrompts>("texts", "one text, or a list of texts; or token ids as they are, such as tokenizer:apply_chat_template gives"),
    Param<GenerateOptions>("options", "see the fields"),
    returns: "for one text what follows it, for a list the same for each, in order; with num_return_sequences above 1 a list for each"
  ) { model, prompts, options in
    let seed = UInt64(options.generation.seed ?? session.seed)
    let generator = try TextGenerator(
      model.network, model.tokenizer, options.generation, seed: seed, processor: options.logitsProcessor?.logitsProcessor(session, seed: seed))
    generator.remark.map(session.noteOnce)
    var (done, tokens) = (0, 0)
    if !prompts.isSingle { session.showTexts(done: 0, total: prompts.count, tokens: 0) }
    let texts = try model.unchanged {
      try prompts.written(by: generator) { results in
        (done, tokens) = (done + 1, tokens + results.reduce(0) { $0 + $1.tokens.count })
        if !prompts.isSingle { session.showTexts(done: done, total: prompts.count, tokens: tokens) }
      }
    }
    return WrittenTexts(texts: texts, prompts: prompts, options: options)
  }
}
