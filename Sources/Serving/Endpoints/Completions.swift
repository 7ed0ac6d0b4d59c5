import Files
import Generation
import Tokenizers

/// `POST /v1/completions`: texts that follow prompts, in OpenAI's shape. With `echo` and `logprobs` the prompt's tokens have their log
/// probabilities too, which is how lm-evaluation-harness scores answers.
struct CompletionsEndpoint: Endpoint {
  let method = "POST"
  let path = "/v1/completions"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let fields = try question.record(CompletionFields.self)
    let model = try server.models.model(fields.sampling.model, that: "writes", where: \.writes)
    let network = model.trained.network
    guard !fields.echo || network.encoderLayout == nil else {
      throw RequestError(
        .badRequest, "'echo': the model '\(model.name)' reads the prompt with an encoder, and does not continue it", hint: "leave it out")
    }
    var request = Completion.Request(
      sampling: fields.sampling, prompts: [], maxTokens: fields.maxTokens, echo: fields.echo, logprobs: fields.logprobs)
    switch fields.prompt {
    case .texts(let texts):
      let generator = try TextGenerator(network, model.tokenizer, GenerationOptions(), seed: 0)
      (request.prompts, request.texts) = (try generator.tokens(texts), texts)
    case .tokens(let tokens):
      request.prompts = tokens.map { $0.map { Int32(exactly: $0) ?? -1 } }
      if fields.echo { request.texts = try request.prompts.map { try model.tokenizer.decode($0.filter { $0 >= 0 }) } }
    }
    return try await Completion(request, TextForm(), model, server).reply()
  }

  private struct TextForm: CompletionForm {
    let idKind = "cmpl"
    let object = "text_completion"
    let chunkObject = "text_completion"

    func choice(_ index: Int, _ text: String, _ logprobs: JSONValue, _ reason: String) -> JSONValue {
      ["index": .int(index), "text": .string(text), "logprobs": logprobs, "finish_reason": .string(reason)]
    }

    func opening(_ index: Int) -> JSONValue? { nil }

    func chunk(_ index: Int, _ text: String, _ reason: String?) -> JSONValue {
      ["index": .int(index), "text": .string(text), "logprobs": .null, "finish_reason": reason.map { .string($0) } ?? .null]
    }

    /// Four lists.
    func logprobs(_ tokens: [CompletionToken]) -> JSONValue {
      let tops = tokens.map { token -> JSONValue in
        guard let logProbability = token.logProbability else { return .null }
        var top = JSONObject()
        // Tokens of one text differ in bytes that are no letters: the most probable one stands for them.
        for (word, value) in token.top + [(token.word, logProbability)] where top[word] == nil { top[word] = .double(value) }
        return .object(top)
      }
      return [
        "tokens": .array(tokens.map { .string($0.word) }), "token_logprobs": .array(tokens.map { $0.logProbability.map { .double($0) } ?? .null }),
        "top_logprobs": .array(tops), "text_offset": .array(tokens.map { .int($0.offset) }),
      ]
    }
  }
}
