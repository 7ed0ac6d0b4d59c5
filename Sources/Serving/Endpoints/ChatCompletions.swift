import Diagnostics
import Files
import Tokenizers

/// `POST /v1/chat/completions`: what a model answers in a conversation, in OpenAI's shape. The model reads it in the form of its chat template;
/// one without a template gets none, since a conversation in another form would get a worse answer without a word.
struct ChatCompletionsEndpoint: Endpoint {
  let method = "POST"
  let path = "/v1/chat/completions"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let fields = try question.record(ChatFields.self)
    let model = try server.models.model(fields.sampling.model, that: "writes", where: \.writes)
    let network = model.trained.network
    guard network.encoderLayout == nil else {
      throw RequestError(.badRequest, "the model '\(model.name)' reads texts with an encoder, and answers in no conversation")
    }
    guard model.tokenizer.hasChatTemplate || fields.chatTemplate != nil else {
      throw RequestError(
        .badRequest, "the model '\(model.name)' has no chat template, so the form in which it reads a conversation is not known",
        hint:
          "put its chat_template.jinja into \(shortened(model.root, limit: 80)), send one as 'chat_template', or send a text to POST /v1/completions")
    }
    let prompt = try model.tokenizer.chatTokens(fields.conversation(), fields.chat)
    let request = Completion.Request(
      sampling: fields.sampling, prompts: [prompt], maxTokens: fields.maxCompletionTokens ?? fields.maxTokens,
      logprobs: fields.logprobs ? fields.topLogprobs ?? 0 : nil)
    return try await Completion(request, ChatForm(), model, server).reply()
  }

  private struct ChatForm: CompletionForm {
    let idKind = "chatcmpl"
    let object = "chat.completion"
    let chunkObject = "chat.completion.chunk"

    func choice(_ index: Int, _ text: String, _ logprobs: JSONValue, _ reason: String) -> JSONValue {
      [
        "index": .int(index), "message": ["role": "assistant", "content": .string(text), "refusal": .null], "logprobs": logprobs,
        "finish_reason": .string(reason),
      ]
    }

    func opening(_ index: Int) -> JSONValue? {
      ["index": .int(index), "delta": ["role": "assistant", "content": ""], "logprobs": .null, "finish_reason": .null]
    }

    func chunk(_ index: Int, _ text: String, _ reason: String?) -> JSONValue {
      ["index": .int(index), "delta": ["content": .string(text)], "logprobs": .null, "finish_reason": reason.map { .string($0) } ?? .null]
    }

    func logprobs(_ tokens: [CompletionToken]) -> JSONValue {
      func entry(_ word: String, _ value: Double) -> JSONObject {
        ["token": .string(word), "logprob": .double(value), "bytes": .array(word.utf8.map { .int(Int($0)) })]
      }
      let content = tokens.map { token -> JSONValue in
        var object = entry(token.word, token.logProbability ?? 0)
        object["top_logprobs"] = .array(token.top.map { .object(entry($0.word, $0.logProbability)) })
        return .object(object)
      }
      return ["content": .array(content), "refusal": .null]
    }
  }
}

/// A request of `POST /v1/chat/completions`.
struct ChatFields: Record {
  var messages = JSONValue.null
  var maxTokens: Int?
  var maxCompletionTokens: Int?
  var logprobs = false
  var topLogprobs: Int?
  var addGenerationPrompt: Bool?
  var continueFinalMessage = false
  var chatTemplate: String?
  var chatTemplateKwargs: JSONValue?
  var documents: JSONValue?
  var sampling = SamplingFields()

  static let recordName = SamplingFields.recordName
  static let fields: [Field<Self>] =
    [
      .value("messages", \.messages, "the conversation: objects with role and content", required: true),
      .int("max_tokens", \.maxTokens, "tokens that are written at most; default: as many as the model has positions for", in: 1...1_000_000),
      .int("max_completion_tokens", \.maxCompletionTokens, "the same, by its newer name", in: 1...1_000_000),
      .value("logprobs", \.logprobs, "log probabilities of the written tokens"),
      .int("top_logprobs", \.topLogprobs, "and of so many of the most probable ones", in: 0...20),
      .value("add_generation_prompt", \.addGenerationPrompt, "begin an answer; default: unless the last message is continued"),
      .value("continue_final_message", \.continueFinalMessage, "go on with the last message"),
      .value("chat_template", \.chatTemplate, "a template, or the name of one of the model's"),
      .value("chat_template_kwargs", \.chatTemplateKwargs, "further variables of the template"),
      .value("documents", \.documents, "texts to answer from, for templates that know them"),
    ] + Field.fields(of: \.sampling)
  static let foreignNames = SamplingFields.foreignNames.merging([
    "max_new_tokens": .isCalled("max_tokens"), "prompt": .isCalled("messages"), "echo": .isLeftOut("leave it out: answers are sent alone"),
    "tools": .isLeftOut("leave it out: calls of functions are not taken out of a text here"),
    "tool_choice": .isLeftOut("leave it out: calls of functions are not taken out of a text here"),
    "functions": .isLeftOut("leave it out: calls of functions are not taken out of a text here"),
    "response_format": .isLeftOut("leave it out: nothing keeps a model to a form here"),
  ]) { $1 }

  func validate() throws(EngineError) {
    try sampling.validate()
    try sampling.check(logprobs: logprobs)
    if topLogprobs != nil, !logprobs { throw EngineError(.argument, "'top_logprobs' needs 'logprobs'", hint: "set it to true") }
    if let maxTokens, let maxCompletionTokens, maxTokens != maxCompletionTokens {
      throw EngineError(.argument, "'max_tokens' is \(maxTokens), and 'max_completion_tokens' \(maxCompletionTokens)", hint: "give one of them")
    }
  }

  /// How the template is filled in.
  var chat: ChatOptions {
    get throws(EngineError) {
      var chat = ChatOptions()
      chat.addGenerationPrompt = addGenerationPrompt ?? !continueFinalMessage
      (chat.continueFinalMessage, chat.chatTemplate, chat.documents) = (continueFinalMessage, chatTemplate, documents)
      if let chatTemplateKwargs {
        guard case .object(let variables) = chatTemplateKwargs else {
          throw EngineError(.argument, "'chat_template_kwargs' must be an object, got \(chatTemplateKwargs.kindName)")
        }
        chat.templateVariables = variables
      }
      return chat
    }
  }

  /// The messages as templates read them: texts in several parts become one, a part in a line, as vLLM joins them.
  func conversation() throws(EngineError) -> [JSONValue] {
    guard case .array(let messages) = messages else {
      throw EngineError(.argument, "'messages' must be a list of objects with role and content, got \(messages.kindName)")
    }
    var result: [JSONValue] = []
    for (place, message) in messages.enumerated() {
      guard case .object(var object) = message, case .string? = object["role"] else {
        throw EngineError(.argument, "'messages[\(place)]' must be an object with role and content")
      }
      switch object["content"] {
      case nil, .null, .string: break
      case .array(let parts):
        var texts: [String] = []
        for part in parts {
          guard let text = part["text"]?.stringValue else {
            throw EngineError(
              .argument, "'messages[\(place)].content' has a part of the type '\(part["type"]?.stringValue ?? "?")': models here read text alone")
          }
          texts.append(text)
        }
        object["content"] = .string(texts.joined(separator: "\n"))
      case let other?: throw EngineError(.argument, "'messages[\(place)].content' must be a text, got \(other.kindName)")
      }
      result.append(.object(object))
    }
    return result
  }
}
