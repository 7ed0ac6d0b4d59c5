/// `POST /v1/chat/completions`: refused. A chat model reads a conversation in the form of its template, and none is filled in here: a text in
/// another form would get a worse answer without a word.
struct ChatCompletionsEndpoint: Endpoint {
  let method = "POST"
  let path = "/v1/chat/completions"

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    throw RequestError(
      .badRequest, "chat templates are not supported",
      hint:
        "fill the model's template in yourself (tokenizer.apply_chat_template(messages, tokenize=False)), and send the text to POST /v1/completions"
    )
  }
}
