import Diagnostics

/// How a model continues texts: Transformers' `GenerationConfig`, with its names and defaults.
public struct GenerationOptions: Record, Sendable {
  public var maxNewTokens: Int?
  public var minNewTokens: Int?
  public var maxLength: Int?
  public var minLength = 0
  public var doSample = false
  public var temperature = 1.0
  public var topK = 50
  public var topP = 1.0
  public var minP = 0.0
  public var numBeams = 1
  public var beamSearch = BeamConvention.transformers
  public var lengthPenalty = 1.0
  public var earlyStopping = EarlyStopping.whenNoneIsBetter
  public var noRepeatNgramSize = 0
  public var repetitionPenalty = 1.0
  public var eosTokenID: TokenChoice?
  public var decoderStartTokenID: Int?
  public var forcedBosTokenID: TokenChoice?
  public var forcedEosTokenID: TokenChoice?
  public var suppressTokens: TokenChoice?
  public var beginSuppressTokens: TokenChoice?
  public var stopStrings: [String] = []
  public var numReturnSequences = 1
  public var batchSize = 16
  public var useCache = true
  public var seed: Int?

  public init() {}

  public static let recordName = "generation options"
  public static let typeName = "GenerationOptions"
  public static let fields: [Field<Self>] = [
    .int("max_new_tokens", \.maxNewTokens, "tokens that are written at most", in: 1...10_000_000),
    .int("min_new_tokens", \.minNewTokens, "an end is not allowed before so many were written", in: 0...10_000_000),
    .int(
      "max_length", \.maxLength,
      "the same as max_new_tokens, with the prompt's tokens, or the decoder's start token; where both are left out, 20 tokens are written, as in Transformers",
      in: 1...10_000_000),
    .int("min_length", \.minLength, "the same as min_new_tokens, with the prompt's tokens, or the decoder's start token", in: 0...10_000_000),
    .value("do_sample", \.doSample, "draw each token by its probability, instead of the most probable one"),
    .float("temperature", \.temperature, "with do_sample: scores are divided by it; below 1 sharpens", in: Above(0)),
    .int("top_k", \.topK, "with do_sample: draw among the so many most probable tokens; 0: among all", in: 0...10_000_000),
    .float("top_p", \.topP, "with do_sample: draw among the most probable tokens that have this probability together", in: 0...1),
    .float("min_p", \.minP, "with do_sample: leave out tokens below this share of the most probable one's probability", in: 0...1),
    .int("num_beams", \.numBeams, "hypotheses that a beam search keeps; 1: no beam search", in: 1...1024),
    .value("beam_search", \.beamSearch, "whose beam search: Transformers' of today, or the LoRA authors' of their data-to-text experiments"),
    .float("length_penalty", \.lengthPenalty, "a hypothesis' log probability is divided by its length to this power"),
    .value(
      "early_stopping", \.earlyStopping,
      "when a beam search ends: true: with num_beams finished ones; false: when a better one is improbable; \"never\": when none can be better"),
    .int("no_repeat_ngram_size", \.noRepeatNgramSize, "no sequence of so many tokens occurs twice; 0: any may", in: 0...1_000),
    .float("repetition_penalty", \.repetitionPenalty, "above 1 makes tokens that occurred less probable", in: Above(0)),
    .value("eos_token_id", \.eosTokenID, "the token that ends a text, or a list of them; default: the model's"),
    .int(
      "decoder_start_token_id", \.decoderStartTokenID, "what the decoder of a model with an encoder begins with; default: the model's",
      in: 0...Int(Int32.max)),
    .value(
      "forced_bos_token_id", \.forcedBosTokenID,
      "the only token that may follow the first one, which in a model with an encoder is the decoder's start; {}: none is forced; default: the model's"
    ),
    .value(
      "forced_eos_token_id", \.forcedEosTokenID, "the only token, or a list of them, at the last place; {}: none is forced; default: the model's"),
    .value("suppress_tokens", \.suppressTokens, "tokens that are never written; {}: none; default: the model's"),
    .value(
      "begin_suppress_tokens", \.beginSuppressTokens,
      "tokens that no text begins with, behind one that forced_bos_token_id forces; {}: none; default: the model's"),
    .value("stop_strings", \.stopStrings, "texts that end the writing once they were written; they stay in the result"),
    .int("num_return_sequences", \.numReturnSequences, "results for each prompt", in: 1...1024),
    .int("batch_size", \.batchSize, "prompts that are worked on at a time; says nothing about the results", in: 1...65_536),
    .value("use_cache", \.useCache, "keep the keys and values of what was read, instead of computing them for each token again"),
    .int("seed", \.seed, "seeds the draws of do_sample; default: --seed, else 42", in: 0...),
  ]

  public static let foreignNames: [String: ForeignName] = [
    "max_tokens": .isCalled("max_new_tokens"), "beams": .isCalled("num_beams"), "beam_size": .isCalled("num_beams"),
    "n": .isCalled("num_return_sequences"),
    "num_samples": .isCalled("num_return_sequences"), "stop": .isCalled("stop_strings"), "stop_sequences": .isCalled("stop_strings"),
    "eos_token": .isCalled("eos_token_id"), "sample": .isCalled("do_sample"), "frequency_penalty": .isCalled("repetition_penalty"),
    "ngram_size": .isCalled("no_repeat_ngram_size"),
    "pad_token_id": .isLeftOut("leave it out: nothing is padded"),
  ]

  public func validate() throws(EngineError) {
    func refuse(_ message: String, _ hint: String) throws(EngineError) { throw EngineError(.argument, "generation options: " + message, hint: hint) }
    if maxNewTokens != nil, maxLength != nil { try refuse("max_new_tokens and max_length are both given", "leave one of them out") }
    if let least = minNewTokens, let most = maxNewTokens, least > most {
      try refuse("min_new_tokens is \(least), and max_new_tokens \(most)", "min_new_tokens must not be larger")
    }
    if let most = maxLength, minLength > most { try refuse("min_length is \(minLength), and max_length \(most)", "min_length must not be larger") }
    let standard = GenerationOptions()
    if !doSample {
      let given = [
        ("temperature", temperature != standard.temperature), ("top_k", topK != standard.topK), ("top_p", topP != standard.topP),
        ("min_p", minP != standard.minP),
      ].first { $0.1 }
      if let given { try refuse("\(given.0) is given, but nothing is drawn", "set do_sample = true, or leave \(given.0) out") }
    }
    if numBeams == 1 {
      let given = [
        ("length_penalty", lengthPenalty != standard.lengthPenalty), ("early_stopping", earlyStopping != standard.earlyStopping),
        ("beam_search", beamSearch != standard.beamSearch),
      ].first { $0.1 }
      if let given { try refuse("\(given.0) is given, but there is no beam search", "set num_beams to 2 or more, or leave \(given.0) out") }
      if numReturnSequences > 1, !doSample {
        try refuse("num_return_sequences is \(numReturnSequences), and all would be the same", "set do_sample = true, or num_beams")
      }
    } else {
      if doSample { try refuse("do_sample and num_beams = \(numBeams)", "a beam search draws nothing: set num_beams to 1, or do_sample to false") }
      let most = beamSearch == .lora ? 1 : numBeams
      if numReturnSequences > most {
        try refuse("num_return_sequences is \(numReturnSequences), and the search keeps \(most)", "ask for \(most) at most")
      }
      if beamSearch == .lora, earlyStopping != standard.earlyStopping {
        try refuse("early_stopping is given, but the LoRA authors' search has none", "leave early_stopping out")
      }
    }
    if stopStrings.contains("") { try refuse("stop_strings has an empty text", "leave it out") }
    if beamSearch == .lora, !stopStrings.isEmpty {
      try refuse("stop_strings is given, but the LoRA authors' search has none", "give their tokens as eos_token_id")
    }
  }
}

extension GenerationOptions {
  /// New tokens that a command asks for, where its settings do not say it.
  public static let commandMaxNewTokens = 64

  /// Options of a command.
  ///
  /// - Parameter settings: `name=value`, with the names of the fields.
  /// - Throws: `EngineError` for a setting that is none of these.
  public init(settings: [String]) throws {
    self.init()
    for text in settings {
      let setting = try Setting(text)
      guard let field = Self.fields.first(where: { $0.name == setting.name }) else {
        throw setting.unknown(among: Self.fields.map(\.name), hint: Self.remedy(for: setting.name))
      }
      try field.set(text: setting.value, in: &self)
    }
    if maxNewTokens == nil, maxLength == nil { maxNewTokens = Self.commandMaxNewTokens }
  }
}

/// Whose beam search; see `BeamSearch` and `LoRABeamSearch`.
public enum BeamConvention: String, FieldChoice {
  case transformers, lora
}

/// When a beam search with enough finished hypotheses ends.
public enum EarlyStopping: FieldValue, Sendable, Equatable {
  /// At once.
  case whenFull
  /// When the best live hypothesis, at its length, is not better than the worst finished one.
  case whenNoneIsBetter
  /// When no continuation can be better.
  case never

  public static var typeName: String { "boolean|\"never\"" }
  public static var expected: String { "true, false or \"never\"" }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> EarlyStopping {
    switch value {
    case .bool(true): return .whenFull
    case .bool(false): return .whenNoneIsBetter
    case .text("never"): return .never
    default: throw ValueMismatch(expected: expected, found: value.briefly)
    }
  }

  public static func decode(text: String) throws(ValueMismatch) -> EarlyStopping {
    try decode(text == "true" ? .bool(true) : text == "false" ? .bool(false) : .text(text))
  }

  public var configValue: ConfigValue { self == .never ? .text("never") : .bool(self == .whenFull) }
}

/// A token, or several.
public struct TokenChoice: FieldValue, Sendable, Equatable {
  public var ids: [Int32]

  public init(ids: [Int32]) { self.ids = ids }

  public static var typeName: String { "integer|integer[]" }
  public static var expected: String { "a token's number, or a list of them" }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> TokenChoice {
    if case .table = value { return try checked([Int].decode(value), value) }
    return try checked([Int.decode(value)], value)
  }

  public static func decode(text: String) throws(ValueMismatch) -> TokenChoice {
    try checked([Int].decode(text: text), .text(text))
  }

  private static func checked(_ numbers: [Int], _ value: ConfigValue) throws(ValueMismatch) -> TokenChoice {
    guard numbers.allSatisfy({ $0 >= 0 && $0 <= Int(Int32.max) }) else { throw ValueMismatch(expected: expected, found: "\(numbers)") }
    return TokenChoice(ids: numbers.map { Int32($0) })
  }

  public var configValue: ConfigValue { .table(ConfigTable(list: ids.map { .integer(Int($0)) }, form: .list)) }
}
