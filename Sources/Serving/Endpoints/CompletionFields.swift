import Diagnostics
import Generation

/// What every request for texts can say about how they are drawn: OpenAI's names and defaults, with vLLM's additions.
struct SamplingFields: Record {
  var model: String?
  var temperature = 1.0
  var topP = 1.0
  var topK = 0
  var minP = 0.0
  var n = 1
  var stop = OneOrMore()
  var seed: Int?
  var stream = false
  var streamOptions: StreamOptions?
  var repetitionPenalty = 1.0
  var presencePenalty = 0.0
  var frequencyPenalty = 0.0
  var logitBias: [String: Double] = [:]

  static let recordName = "request"
  static let fields: [Field<Self>] = [
    .value("model", \.model, "which model writes, where there are several"),
    .float("temperature", \.temperature, "0: the most probable token each time", in: 0...100),
    .float("top_p", \.topP, "see GenerationOptions", in: Above(0, through: 1)), .int("top_k", \.topK, "0 and -1: all", in: -1...10_000_000),
    .float("min_p", \.minP, "see GenerationOptions", in: 0...1), .int("n", \.n, "texts for each prompt", in: 1...128),
    .value("stop", \.stop, "texts that end a text, and are no part of it"), .int("seed", \.seed, "of draws; default: the server's", in: 0...Int.max),
    .value("stream", \.stream, "send the text as it grows"), .value("stream_options", \.streamOptions, "of a stream"),
    .float("repetition_penalty", \.repetitionPenalty, "see GenerationOptions", in: Above(0)),
    .float("presence_penalty", \.presencePenalty, "subtracted from the score of a token that was written", in: -2...2),
    .float("frequency_penalty", \.frequencyPenalty, "subtracted as often as a token was written", in: -2...2),
    .value("logit_bias", \.logitBias, "added to the scores of tokens, by their numbers"),
  ]
  static let foreignNames: [String: ForeignName] = [
    "stop_strings": .isCalled("stop"), "num_return_sequences": .isCalled("n"), "adapter": .isCalled("model"),
    "best_of": .isLeftOut("ask for n texts, and choose"), "user": .isLeftOut("leave it out: nobody is told apart here"),
  ]

  struct StreamOptions: Record {
    var includeUsage = false
    static let recordName = "stream_options"
    static let fields: [Field<Self>] = [.value("include_usage", \.includeUsage, "send the numbers of tokens at the end")]
  }

  func validate() throws(EngineError) {
    if let empty = stop.texts.first(where: \.isEmpty) { throw EngineError(.argument, "'stop': '\(empty)' is in every text", hint: "leave it out") }
    guard stop.texts.count <= 16 else { throw EngineError(.argument, "'stop': \(stop.texts.count) texts, expected at most 16") }
  }

  /// Throws where log probabilities are asked for in a stream.
  func check(logprobs: Bool) throws(EngineError) {
    if stream, logprobs {
      throw EngineError(.argument, "'logprobs' needs the whole text, and 'stream' sends it in pieces", hint: "leave one out")
    }
  }

  /// The engine's options.
  ///
  /// - Parameters:
  ///   - longest: of prompt and text together, where `maxTokens` is nil: the same for all, so that such requests are written together.
  ///   - seed: where the request has none.
  func options(maxTokens: Int?, longest: Int, seed: Int) throws(EngineError) -> GenerationOptions {
    var options = GenerationOptions()
    if let maxTokens { options.maxNewTokens = max(1, maxTokens) } else { options.maxLength = longest }
    options.doSample = temperature > 0
    if options.doSample { (options.temperature, options.topP, options.topK, options.minP) = (temperature, topP, max(0, topK), minP) }
    options.repetitionPenalty = repetitionPenalty
    options.numReturnSequences = n
    options.stopStrings = stop.texts
    options.batchSize = 32
    // Nothing is drawn without a temperature: requests with other seeds then ask for the same.
    options.seed = options.doSample ? self.seed ?? seed : 0
    return options
  }

  /// What is added to scores. Throws for a token that the model does not have.
  func bias(vocabulary: Int) throws(EngineError) -> ScoreBias {
    var bias = ScoreBias(presence: Float(presencePenalty), frequency: Float(frequencyPenalty))
    for (name, value) in logitBias {
      guard let token = Int32(name), (0..<vocabulary).contains(Int(token)) else {
        throw EngineError(.argument, "request: 'logit_bias.\(shortened(name, limit: 20))' must be a token's number from 0 to \(vocabulary - 1)")
      }
      guard (-100...100).contains(value) else {
        throw EngineError(.argument, "request: 'logit_bias.\(name)' must be a number from -100 to 100, got \(value)")
      }
      bias.bias[token] = Float(value)
    }
    return bias
  }
}

/// A request of `POST /v1/completions`.
struct CompletionFields: Record {
  var prompt = Prompts.texts([])
  var maxTokens = 16
  var echo = false
  var logprobs: Int?
  var sampling = SamplingFields()

  static let recordName = SamplingFields.recordName
  static let fields: [Field<Self>] =
    [
      .value("prompt", \.prompt, "what is continued", required: true),
      .int("max_tokens", \.maxTokens, "tokens that are written at most; 0 writes none, for echo", in: 0...1_000_000),
      .value("echo", \.echo, "put the prompt in front of the text"),
      .int("logprobs", \.logprobs, "log probabilities of the tokens, and of so many of the most probable ones", in: 0...20),
    ] + Field.fields(of: \.sampling)
  static let foreignNames = SamplingFields.foreignNames.merging([
    "max_new_tokens": .isCalled("max_tokens"), "max_completion_tokens": .isCalled("max_tokens"), "top_logprobs": .isCalled("logprobs"),
    "messages": .isLeftOut("send a conversation to POST /v1/chat/completions"),
    "suffix": .isLeftOut("leave it out: texts are continued at their end"),
  ]) { $1 }

  func validate() throws(EngineError) {
    try sampling.validate()
    try sampling.check(logprobs: logprobs != nil)
    if maxTokens == 0, !echo {
      throw EngineError(.argument, "'max_tokens' is 0: nothing is asked for", hint: "give 'echo' for the prompt's own numbers")
    }
  }
}
