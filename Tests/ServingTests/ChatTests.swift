import Files
import Generation
import TestSupport
import Testing

@testable import Serving

/// Conversations, against the generator with the template's text.
@Suite(.engine, .serialized) struct ChatTests {
  private static let template =
    "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant :{{ mood }}{% endif %}"

  private func body(_ messages: JSONValue, _ more: JSONObject = [:]) -> String {
    var body: JSONObject = ["messages": messages, "temperature": 0, "max_tokens": 10, "chat_template": .string(Self.template)]
    for (name, value) in more.members { body[name] = value }
    return JSONValue.object(body).encoded(.line)
  }

  private func written(_ server: Server, _ text: String, _ change: (inout GenerationOptions) -> Void = { _ in }) throws -> (
    ids: [Int32], texts: [WrittenText]
  ) {
    let model = TestModels[server.models, "writer"]
    var options = GenerationOptions()
    options.maxNewTokens = 10
    change(&options)
    let ids = try model.tokenizer.encode(text, addSpecialTokens: false).ids
    return (ids, try TextGenerator(model.trained.network, model.tokenizer, options, seed: 42).generate(tokens: [ids])[0])
  }

  private let dog: JSONValue = [["role": "system", "content": "be short"], ["role": "user", "content": "the dog"]]

  @Test func answersAreTheGenerators() async throws {
    try await TestModels.serve { server, address in
      let (ids, texts) = try written(server, "system : be short user : the dog assistant :")
      let answer = try await post(address, "/v1/chat/completions", body(dog))
      let choice = answer.json?["choices"]?[0]
      #expect(choice?["message"] == ["role": "assistant", "content": .string(texts[0].text), "refusal": .null], "\(answer.body)")
      #expect(
        choice?["finish_reason"] == "length" && answer.json?["object"] == "chat.completion"
          && answer.json?["id"]?.stringValue?.hasPrefix("chatcmpl-") == true)
      #expect(
        answer.json?["usage"]
          == [
            "prompt_tokens": .int(ids.count), "completion_tokens": .int(texts[0].tokens.count),
            "total_tokens": .int(ids.count + texts[0].tokens.count),
          ])
      // Texts in parts, an open last message, a variable.
      for (messages, more, text) in [
        ([["role": "user", "content": [["type": "text", "text": "the"], ["type": "text", "text": "dog"]]]], [:], "user : the\ndog assistant :"),
        ([["role": "assistant", "content": "the small"]], ["continue_final_message": true], "assistant : the small"),
        ([["role": "user", "content": "a"]], ["chat_template_kwargs": ["mood": " no"], "max_completion_tokens": 10], "user : a assistant : no"),
      ] as [(JSONValue, JSONObject, String)] {
        let answer = try await post(address, "/v1/chat/completions", body(messages, more))
        #expect(answer.json?["choices"]?[0]?["message"]?["content"] == .string(try written(server, text).texts[0].text), "\(answer.body)")
      }
      // Without a number the model writes as long as it has positions.
      let long = try await post(address, "/v1/chat/completions", body(dog, ["max_tokens": .null]))
      #expect(long.json?["usage"]?["total_tokens"] == 48 || long.json?["choices"]?[0]?["finish_reason"] == "stop")
    }
  }

  @Test func streamsAndLogProbabilities() async throws {
    try await TestModels.serve { server, address in
      let (ids, texts) = try written(server, "system : be short user : the dog assistant :") {
        ($0.doSample, $0.temperature, $0.topK, $0.seed, $0.numReturnSequences) = (true, 1, 0, 3, 2)
      }
      let draws: JSONObject = ["temperature": 1, "seed": 3, "n": 2]
      let stream = try await post(address, "/v1/chat/completions", body(dog, JSONObject(draws.members.map { $0 } + [("stream", true)])))
      var (pieces, roles, reasons) = (["", ""], 0, [String]())
      for line in stream.body.split(whereSeparator: \.isNewline) where line.hasPrefix("data: {") {
        let event = try JSONValue(parsing: String(line.dropFirst(6)), source: "event")
        #expect(event["object"] == "chat.completion.chunk")
        guard let choice = event["choices"]?[0] else { continue }
        pieces[choice["index"]?.intValue ?? 0] += choice["delta"]?["content"]?.stringValue ?? ""
        roles += choice["delta"]?["role"] == "assistant" ? 1 : 0
        if let reason = choice["finish_reason"]?.stringValue { reasons.append(reason) }
      }
      #expect(pieces == texts.map(\.text) && roles == 2 && reasons.count == 2 && stream.body.contains("data: [DONE]"))

      let answer = try await post(
        address, "/v1/chat/completions", body(dog, JSONObject(draws.members.map { $0 } + [("logprobs", true), ("top_logprobs", 2)])))
      for (place, text) in texts.enumerated() {
        let content = try #require(answer.json?["choices"]?[place]?["logprobs"]?["content"]?.arrayValue, "\(answer.body)")
        #expect(content.count == text.tokens.count)
        let model = TestModels[server.models, "writer"]
        let scores = try model.trained.network.tokenScores([ScoredText(tokens: ids + text.tokens)], top: 2)[0].suffix(text.tokens.count)
        expectClose("log probabilities", content.compactMap { $0["logprob"]?.doubleValue }, scores.map { Double($0.logProbability) }, relative: 1e-4)
        #expect(content.allSatisfy { $0["top_logprobs"]?.arrayValue?.count == 2 && $0["bytes"]?.arrayValue != nil })
      }
    }
  }
}
