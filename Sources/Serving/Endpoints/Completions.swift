import Diagnostics
import Files
import Generation
import Synchronization
import Tokenizers
import TransformerModels

/// `POST /v1/completions`: texts that follow prompts, in OpenAI's shape. With `echo` and `logprobs` the prompt's tokens have their log
/// probabilities too, which is how lm-evaluation-harness scores answers.
struct CompletionsEndpoint: Endpoint {
  let method = "POST"
  let path = "/v1/completions"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let completion = try Completion(question.record(CompletionFields.self), server)
    return try await completion.fields.stream ? completion.stream() : completion.whole()
  }
}

/// One request for texts.
private struct Completion: Sendable {
  let fields: CompletionFields
  let server: Server
  let model: ServedModel
  let options: GenerationOptions
  let bias: ScoreBias
  let prompts: [[Int32]]
  /// The prompts' texts, for `echo`.
  let texts: [String]
  let id = Identifier.make("cmpl")
  let created = Identifier.now

  init(_ fields: CompletionFields, _ server: Server) throws {
    let model = try server.models.model(fields.model, that: "writes", where: \.writes)
    (self.fields, self.server, self.model) = (fields, server, model)
    let network = model.trained.network
    guard !fields.echo || network.encoderLayout == nil else {
      throw RequestError(
        .badRequest, "'echo': the model '\(model.name)' reads the prompt with an encoder, and does not continue it", hint: "leave it out")
    }
    options = try fields.options(seed: server.options.seed)
    bias = try fields.bias(vocabulary: network.layout.embeddings.vocabulary)
    let generator = try TextGenerator(network, model.tokenizer, options, seed: 0)
    switch fields.prompt {
    case .texts(let texts): (prompts, self.texts) = (try generator.tokens(texts), texts)
    case .tokens(let tokens):
      prompts = tokens.map { $0.map { Int32(exactly: $0) ?? -1 } }
      texts = try fields.echo ? prompts.map { [model] in try model.tokenizer.decode($0.filter { $0 >= 0 }) } : []
    }
    guard prompts.count * fields.n <= Server.mostInputs else {
      throw RequestError(
        .badRequest, "\(prompts.count) prompts with \(fields.n) texts each, of \(Server.mostInputs) texts at a time", hint: "send several requests")
    }
    do { try generator.check(tokens: prompts) } catch let error as EngineError {
      throw RequestError(.badRequest, error.description.replacing("max_new_tokens", with: "max_tokens"))
    }
    server.meters.count(tokens: promptTokens, "prompt")
  }

  private var promptTokens: Int { prompts.reduce(0) { $0 + $1.count } }

  // MARK: All at once

  func whole() async throws -> Reply {
    var written = prompts.map { _ in [WrittenText(text: "", tokens: [], score: 0)] }
    if fields.maxTokens > 0 {
      let pending = Pending<[[WrittenText]]>(seconds: server.options.requestTimeout, server.deadlines)
      try server.thread.add(WritingWork(model, prompts: prompts, options, bias, pending: pending))
      written = try await pending.value()
    } else if fields.n > 1 {
      written = written.map { Array(repeating: $0[0], count: fields.n) }
    }
    let scores = try await scores(written)
    let completionTokens = written.joined().reduce(0) { $0 + $1.tokens.count }
    server.meters.count(tokens: completionTokens, "completion")
    var choices: [JSONValue] = []
    for (prompt, results) in written.enumerated() {
      for result in results {
        let (text, reason) = try end(result)
        choices.append([
          "index": .int(choices.count), "text": .string((fields.echo ? texts[prompt] : "") + text),
          "logprobs": try scores.map { try logprobs($0[choices.count], prompt: prompt) } ?? .null, "finish_reason": .string(reason),
        ])
      }
    }
    var reply = object(choices)
    reply["usage"] = usage(completionTokens)
    return Reply(.object(reply))
  }

  /// A text without what ended it, and why it ended.
  private func end(_ result: WrittenText) throws -> (text: String, reason: String) {
    if let place = fields.stop.texts.compactMap({ result.text.range(of: $0)?.lowerBound }).min() { return (String(result.text[..<place]), "stop") }
    let isEnd = try result.tokens.last.map(model.trained.network.endTokens(model.tokenizer).contains) ?? false
    return (result.text, isEnd ? "stop" : "length")
  }

  private func object(_ choices: [JSONValue]) -> JSONObject {
    [
      "id": .string(id), "object": "text_completion", "created": .int(created), "model": .string(model.name), "choices": .array(choices),
    ]
  }

  private func usage(_ completionTokens: Int) -> JSONValue {
    [
      "prompt_tokens": .int(promptTokens), "completion_tokens": .int(completionTokens), "total_tokens": .int(promptTokens + completionTokens),
    ]
  }

  // MARK: Log probabilities

  /// Of each choice; nil: nobody asked.
  private func scores(_ written: [[WrittenText]]) async throws -> [[TokenScore]]? {
    guard let top = fields.logprobs else { return nil }
    let network = model.trained.network
    let scored = zip(prompts, written).flatMap { prompt, results in
      results.map { result in
        network.encoderLayout == nil ? ScoredText(tokens: prompt + result.tokens) : ScoredText(input: prompt, tokens: result.tokens)
      }
    }
    let pending = Pending<[[TokenScore]]>(seconds: server.options.requestTimeout, server.deadlines)
    try server.thread.add(
      TextsWork(scored, purpose: "score \(top) \(model.name)", pending: pending) { [model] in try model.trained.network.tokenScores($0, top: top) })
    return try await pending.value()
  }

  /// OpenAI's four lists: of all tokens with `echo`, else of those that were written. Nothing stands in front of the first one.
  private func logprobs(_ scores: [TokenScore], prompt: Int) throws -> JSONValue {
    let first = fields.echo ? prompts[prompt].first : nil
    let shown = fields.echo || model.trained.network.encoderLayout != nil ? scores[...] : scores.dropFirst(prompts[prompt].count - 1)
    let tokens = (first.map { [$0] } ?? []) + shown.map(\.token)
    let words = try tokens.map(word)
    var (offsets, place) = ([JSONValue](), fields.echo || texts.isEmpty ? 0 : texts[prompt].unicodeScalars.count)
    for token in tokens {
      offsets.append(.int(place))
      place += try model.tokenizer.decode([token]).unicodeScalars.count
    }
    let tops = try shown.map { score -> JSONValue in
      var top = JSONObject()
      // Tokens of one text differ in bytes that are no letters: the most probable one stands for them.
      for (token, value) in score.top + [(score.token, score.logProbability)] {
        let word = try word(token)
        if top[word] == nil { top[word] = .double(Double(value)) }
      }
      return .object(top)
    }
    let none: [JSONValue] = first == nil ? [] : [.null]
    return [
      "tokens": .array(words.map { .string($0) }), "token_logprobs": .array(none + shown.map { .double(Double($0.logProbability)) }),
      "top_logprobs": .array(none + tops), "text_offset": .array(offsets),
    ]
  }

  /// A token alone; special ones by their names.
  private func word(_ token: Int32) throws -> String {
    let text = try model.tokenizer.decode([token])
    return text.isEmpty ? model.tokenizer.token(of: token) ?? "" : text
  }

  // MARK: As it grows

  func stream() async throws -> Reply {
    let (events, continuation) = Reply.Events.makeStream()
    let current = Mutex<Pending<WrittenText>?>(nil)
    let task = Task { [self] in
      do {
        var completionTokens = 0
        for index in 0..<prompts.count * fields.n {
          completionTokens += try await streamChoice(index, current) { continuation.yield($0) }
        }
        server.meters.count(tokens: completionTokens, "completion")
        if fields.streamOptions?.includeUsage == true {
          var last = object([])
          last["usage"] = usage(completionTokens)
          continuation.yield(Self.event(last))
        }
        continuation.yield("data: [DONE]\n\n")
        continuation.finish()
      } catch { continuation.finish(throwing: error) }
    }
    // Whoever went away needs no more text.
    continuation.onTermination = { _ in
      task.cancel()
      current.withLock { $0 }?.finish(.failure(CancellationError()))
    }
    return try await Reply(events)
  }

  private static func event(_ object: JSONObject) -> String { "data: \(JSONValue.object(object).encoded(.line))\n\n" }

  /// Sends one text. Returns its number of tokens.
  private func streamChoice(_ index: Int, _ current: borrowing Mutex<Pending<WrittenText>?>, yield: @escaping @Sendable (String) -> Void) async throws
    -> Int
  {
    try Task.checkCancellation()
    let prompt = index / fields.n
    @Sendable func send(text: String, reason: String?) {
      yield(
        Self.event(
          object([
            ["index": .int(index), "text": .string(text), "logprobs": .null, "finish_reason": reason.map { .string($0) } ?? .null]
          ])))
    }
    if fields.echo { send(text: texts[prompt], reason: nil) }
    guard fields.maxTokens > 0 else {
      send(text: "", reason: "length")
      return 0
    }
    var options = options
    options.numReturnSequences = 1
    let pending = Pending<WrittenText>(seconds: server.options.requestTimeout, server.deadlines)
    current.withLock { $0 = pending }
    let stream = Mutex(TextStream())
    let stops = fields.stop.texts
    try server.thread.add(
      StreamWork(model, prompt: prompts[prompt], number: index, options, bias, pending: pending) { text in
        if let piece = stream.withLock({ $0.piece(of: Self.withoutPartOf(stops, text)) }) { send(text: piece, reason: nil) }
      })
    let result = try await pending.value()
    let (text, reason) = try end(result)
    guard let rest = stream.withLock({ $0.rest(of: text) }) else {
      throw RequestError(.internalError, "a token took back what was sent already", hint: "ask for the text without 'stream'")
    }
    send(text: rest, reason: reason)
    return result.tokens.count
  }

  /// A text without an end that may become one of the texts that end it.
  private static func withoutPartOf(_ stops: [String], _ text: String) -> String {
    let longest = stops.compactMap { stop in (1...stop.count).last { text.hasSuffix(stop.prefix($0)) } }.max() ?? 0
    return String(text.dropLast(longest))
  }
}
