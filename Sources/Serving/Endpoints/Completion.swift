import Diagnostics
import Files
import Generation
import Synchronization
import Tokenizers
import TransformerModels

/// How one of OpenAI's endpoints lays texts out.
protocol CompletionForm: Sendable {
  /// Begins the answer's id: "cmpl".
  var idKind: String { get }
  /// What a whole answer is called, and what a piece of a stream is.
  var object: String { get }
  var chunkObject: String { get }
  func choice(_ index: Int, _ text: String, _ logprobs: JSONValue, _ reason: String) -> JSONValue
  /// What a stream says of a text before the text.
  func opening(_ index: Int) -> JSONValue?
  /// A piece of a text in a stream; `reason`: why the text ends with it.
  func chunk(_ index: Int, _ text: String, _ reason: String?) -> JSONValue
  func logprobs(_ tokens: [CompletionToken]) -> JSONValue
}

/// A token with its log probability, as requests want to see it.
struct CompletionToken: Sendable {
  let word: String
  /// Where it begins in the text, in letters.
  let offset: Int
  /// Nil: nothing stands in front of it.
  let logProbability: Double?
  /// The most probable tokens of its place.
  let top: [(word: String, logProbability: Double)]
}

/// One request for texts.
struct Completion: Sendable {
  /// What is asked for, in the form of either endpoint.
  struct Request: Sendable {
    var sampling: SamplingFields
    var prompts: [[Int32]]
    /// The prompts' texts, for `echo`.
    var texts: [String] = []
    /// Nil: as many as the model has positions for.
    var maxTokens: Int?
    var echo = false
    /// How many of the most probable tokens are told with each token's log probability; nil: neither.
    var logprobs: Int?
  }

  private let request: Request
  private let form: any CompletionForm
  private let server: Server
  private let model: ServedModel
  private let options: GenerationOptions
  private let bias: ScoreBias
  private let id: String
  private let created = Identifier.now

  init(_ request: Request, _ form: any CompletionForm, _ model: ServedModel, _ server: Server) throws {
    (self.request, self.form, self.model, self.server) = (request, form, model, server)
    id = Identifier.make(form.idKind)
    options = try request.sampling.options(
      maxTokens: request.maxTokens, longest: model.trained.network.maxBodyLength, seed: server.options.seed)
    bias = try request.sampling.bias(vocabulary: model.trained.network.layout.embeddings.vocabulary)
    guard request.prompts.count * request.sampling.n <= Server.mostInputs else {
      throw RequestError(
        .badRequest, "\(request.prompts.count) prompts with \(request.sampling.n) texts each, of \(Server.mostInputs) texts at a time",
        hint: "send several requests")
    }
    let generator = try TextGenerator(model.trained.network, model.tokenizer, options, seed: 0)
    do { try generator.check(tokens: request.prompts) } catch let error as EngineError {
      throw RequestError(.badRequest, error.description.replacing("max_new_tokens", with: "max_tokens"))
    }
    server.meters.count(tokens: promptTokens, "prompt")
  }

  func reply() async throws -> Reply { try await request.sampling.stream ? stream() : whole() }

  private var promptTokens: Int { request.prompts.reduce(0) { $0 + $1.count } }

  // MARK: All at once

  private func whole() async throws -> Reply {
    var written = request.prompts.map { _ in [WrittenText(text: "", tokens: [], score: 0)] }
    if request.maxTokens != 0 {
      let pending = Pending<[[WrittenText]]>(seconds: server.options.requestTimeout, server.deadlines)
      try server.thread.add(WritingWork(model, prompts: request.prompts, options, bias, pending: pending))
      written = try await pending.value()
    } else if request.sampling.n > 1 {
      written = written.map { Array(repeating: $0[0], count: request.sampling.n) }
    }
    let scores = try await scores(written)
    let completionTokens = written.joined().reduce(0) { $0 + $1.tokens.count }
    server.meters.count(tokens: completionTokens, "completion")
    var choices: [JSONValue] = []
    for (prompt, results) in written.enumerated() {
      for result in results {
        let (text, reason) = try end(result)
        let logprobs = try scores.map { try form.logprobs(tokens($0[choices.count], prompt: prompt)) } ?? .null
        choices.append(form.choice(choices.count, (request.echo ? request.texts[prompt] : "") + text, logprobs, reason))
      }
    }
    var reply = object(form.object, choices)
    reply["usage"] = usage(completionTokens)
    return Reply(.object(reply))
  }

  /// A text without what ended it, and why it ended.
  private func end(_ result: WrittenText) throws -> (text: String, reason: String) {
    if let place = request.sampling.stop.texts.compactMap({ result.text.range(of: $0)?.lowerBound }).min() {
      return (String(result.text[..<place]), "stop")
    }
    let isEnd = try result.tokens.last.map(model.trained.network.endTokens(model.tokenizer).contains) ?? false
    return (result.text, isEnd ? "stop" : "length")
  }

  private func object(_ kind: String, _ choices: [JSONValue]) -> JSONObject {
    [
      "id": .string(id), "object": .string(kind), "created": .int(created), "model": .string(model.name), "choices": .array(choices),
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
    guard let top = request.logprobs else { return nil }
    let network = model.trained.network
    let scored = zip(request.prompts, written).flatMap { prompt, results in
      results.map { result in
        network.encoderLayout == nil ? ScoredText(tokens: prompt + result.tokens) : ScoredText(input: prompt, tokens: result.tokens)
      }
    }
    let pending = Pending<[[TokenScore]]>(seconds: server.options.requestTimeout, server.deadlines)
    try server.thread.add(
      TextsWork(scored, purpose: "score \(top) \(model.name)", pending: pending) { [model] in try model.trained.network.tokenScores($0, top: top) })
    return try await pending.value()
  }

  /// The tokens that are told about: all of them with `echo`, else those that were written. Nothing stands in front of the first one.
  private func tokens(_ scores: [TokenScore], prompt: Int) throws -> [CompletionToken] {
    let first = request.echo ? request.prompts[prompt].first : nil
    let hasEncoder = model.trained.network.encoderLayout != nil
    let shown = request.echo || hasEncoder ? scores[...] : scores.dropFirst(request.prompts[prompt].count - 1)
    var place = request.echo || request.texts.isEmpty ? 0 : request.texts[prompt].unicodeScalars.count
    let scored: [(token: Int32, score: TokenScore?)] = (first.map { [($0, nil)] } ?? []) + shown.map { ($0.token, $0) }
    return try scored.map { id, score in
      let text = try model.tokenizer.decode([id])
      defer { place += text.unicodeScalars.count }
      return CompletionToken(
        word: try word(id), offset: place, logProbability: score.map { Double($0.logProbability) },
        top: try score.map { score in try score.top.map { (try word($0.0), Double($0.1)) } } ?? [])
    }
  }

  /// A token alone; special ones by their names.
  private func word(_ token: Int32) throws -> String {
    let text = try model.tokenizer.decode([token])
    return text.isEmpty ? model.tokenizer.token(of: token) ?? "" : text
  }

  // MARK: As it grows

  private func stream() async throws -> Reply {
    let (events, continuation) = Reply.Events.makeStream()
    let current = Mutex<Pending<WrittenText>?>(nil)
    let task = Task { [self] in
      do {
        var completionTokens = 0
        for index in 0..<request.prompts.count * request.sampling.n {
          completionTokens += try await streamChoice(index, current) { continuation.yield($0) }
        }
        server.meters.count(tokens: completionTokens, "completion")
        if request.sampling.streamOptions?.includeUsage == true {
          var last = object(form.chunkObject, [])
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
    let prompt = index / request.sampling.n
    @Sendable func send(text: String, reason: String?) { yield(Self.event(object(form.chunkObject, [form.chunk(index, text, reason)]))) }
    if let opening = form.opening(index) { yield(Self.event(object(form.chunkObject, [opening]))) }
    if request.echo { send(text: request.texts[prompt], reason: nil) }
    guard request.maxTokens != 0 else {
      send(text: "", reason: "length")
      return 0
    }
    var options = options
    options.numReturnSequences = 1
    let pending = Pending<WrittenText>(seconds: server.options.requestTimeout, server.deadlines)
    current.withLock { $0 = pending }
    let stream = Mutex(TextStream())
    let stops = request.sampling.stop.texts
    try server.thread.add(
      StreamWork(model, prompt: request.prompts[prompt], number: index, options, bias, pending: pending) { text in
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
