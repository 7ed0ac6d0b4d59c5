import Files
import Foundation
import Generation
import TensorCore
import TestSupport
import Testing
import TransformerModels

@testable import Serving

/// Texts that the server's model writes, against the generator without a server.
@Suite(.engine, .serialized) struct CompletionTests {
  private func options(_ change: (inout GenerationOptions) -> Void = { _ in }) -> GenerationOptions {
    var options = GenerationOptions()
    options.maxNewTokens = 12
    change(&options)
    return options
  }

  private func written(_ server: Server, _ prompts: [String], _ options: GenerationOptions) throws -> [[WrittenText]] {
    let model = TestModels[server.models, "writer"]
    return try TextGenerator(model.trained.network, model.tokenizer, options, seed: 42).generate(prompts)
  }

  /// The texts of an answer; where it is an error, that, as all of them.
  private func texts(_ answer: Answer) -> [String] {
    answer.json?["choices"]?.arrayValue?.compactMap { $0["text"]?.stringValue } ?? [answer.body, answer.body]
  }

  @Test func textsAreTheGenerators() async throws {
    try await TestModels.serve { server, address in
      let greedy = try written(server, ["the dog", "a small house"], options())
      let body = #"{"prompt": ["the dog", "a small house"], "temperature": 0, "max_tokens": 12}"#
      let answer = try await post(address, "/v1/completions", body)
      #expect(texts(answer) == greedy.map { $0[0].text } && texts(answer)[0] != texts(answer)[1])
      #expect(answer.json?["usage"]?["completion_tokens"]?.intValue == greedy.reduce(0) { $0 + $1[0].tokens.count })
      // Tokens are taken as they are.
      let tokens = try TestModels[server.models, "writer"].tokenizer.encodePrompt("the dog")
      let numbers = (tokens.start + tokens.ids).map(String.init).joined(separator: ", ")
      #expect(
        texts(try await post(address, "/v1/completions", "{\"prompt\": [\(numbers)], \"temperature\": 0, \"max_tokens\": 12}"))[0]
          == greedy[0][0].text)

      let drawn = try written(
        server, ["the dog"], options { ($0.doSample, $0.temperature, $0.topK, $0.topP, $0.seed, $0.numReturnSequences) = (true, 0.8, 20, 0.9, 5, 3) })
      let draws = #"{"prompt": "the dog", "temperature": 0.8, "top_k": 20, "top_p": 0.9, "seed": 5, "n": 3, "max_tokens": 12"#
      #expect(texts(try await post(address, "/v1/completions", draws + "}")) == drawn[0].map(\.text) && Set(drawn[0].map(\.text)).count > 1)
      // Sent as they grow, they are the same.
      let stream = try await post(address, "/v1/completions", draws + #", "stream": true, "stream_options": {"include_usage": true}}"#)
      #expect(stream.body.hasSuffix("data: [DONE]\n\n\r\n0\r\n\r\n") && stream.head.contains("text/event-stream"))
      var pieces = ["", "", ""]
      var count = 0
      for line in stream.body.split(whereSeparator: \.isNewline) where line.hasPrefix("data: {") {
        let event = try JSONValue(parsing: String(line.dropFirst(6)), source: "event")
        guard let choice = event["choices"]?.arrayValue?.first else { continue }
        pieces[choice["index"]?.intValue ?? 0] += choice["text"]?.stringValue ?? ""
        count += 1
      }
      #expect(pieces == drawn[0].map(\.text) && count > 3)
      #expect(stream.body.contains(#""completion_tokens":\#(drawn[0].reduce(0) { $0 + $1.tokens.count })"#))
    }
  }

  @Test func stopsAndBiases() async throws {
    try await TestModels.serve { server, address in
      let whole = try written(server, ["the dog"], options())[0][0]
      let stop = String(whole.text.dropFirst(whole.text.count / 2).prefix(3))
      let expected = String(whole.text[..<(try #require(whole.text.range(of: stop))).lowerBound])
      for stream in [false, true] {
        let answer = try await post(
          address, "/v1/completions",
          JSONValue.object(["prompt": "the dog", "temperature": 0, "max_tokens": 12, "stop": .string(stop), "stream": .bool(stream)]).encoded(.line))
        let text =
          stream
          ? try answer.body.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("data: {") }.map {
            try JSONValue(parsing: String($0.dropFirst(6)), source: "event")["choices"]?.arrayValue?[0]["text"]?.stringValue ?? ""
          }.joined() : texts(answer)[0]
        #expect(text == expected && answer.body.contains(#""finish_reason":"stop""#))
      }
      let first = whole.tokens[0]
      let without = try await post(
        address, "/v1/completions", #"{"prompt": "the dog", "temperature": 0, "max_tokens": 12, "logprobs": 0, "logit_bias": {"\#(first)": -100}}"#)
      let other = without.json?["choices"]?.arrayValue?[0]["logprobs"]?["tokens"]?.arrayValue?[0].stringValue
      #expect(try other != TestModels[server.models, "writer"].tokenizer.decode([first]))
      // No token twice, with a penalty that no score survives... the largest that a request may ask for.
      let penalised = try await post(
        address, "/v1/completions", #"{"prompt": "the dog", "temperature": 0, "max_tokens": 12, "frequency_penalty": 2}"#)
      #expect(penalised.status == 200)
    }
  }

  /// As lm-evaluation-harness asks: the prompt's own log probabilities, and one token more.
  @Test func promptsAreScored() async throws {
    try await TestModels.serve { server, address in
      let model = TestModels[server.models, "writer"]
      let prompts: [[Int32]] = [[5, 9, 30, 12], [7, 21]]
      let answer = try await post(
        address, "/v1/completions",
        #"{"model": "writer", "prompt": [[5, 9, 30, 12], [7, 21]], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true}"#)
      for (place, prompt) in prompts.enumerated() {
        let logits = try model.trained.network.predict(Batch(ids: prompt, offsets: Offsets(lengths: [prompt.count])))
        let rows = (0..<prompt.count).map { row -> [Double] in
          let values = (0..<logits.columns).map { logits.element(row * logits.columns + $0) }
          let sum = log(values.reduce(0) { $0 + exp($1) })
          return values.map { $0 - sum }
        }
        let logprobs = try #require(answer.json?["choices"]?.arrayValue?[place]["logprobs"], "\(answer.body)")
        let scores = try #require(logprobs["token_logprobs"]?.arrayValue)
        #expect(scores.count == prompt.count + 1 && scores[0] == .null)
        expectClose(
          "log probabilities", scores.dropFirst().compactMap(\.doubleValue),
          zip(rows, prompt.dropFirst()).map { $0[Int($1)] } + [rows[prompt.count - 1].max() ?? 0], relative: 1e-4)
        let tops = try #require(logprobs["top_logprobs"]?.arrayValue)
        #expect(tops[0] == .null && tops.count == scores.count)
        // The harness calls an answer greedy where each token's number is the largest one of its place.
        expectClose(
          "top", tops.dropFirst().map { $0.objectValue?.members.compactMap { $1.doubleValue }.max() ?? .nan }, rows.map { $0.max() ?? 0 },
          relative: 1e-4)
        #expect(tops.last?.objectValue?.members.contains { $1 == scores.last } == true)
      }
      let none = try await post(address, "/v1/completions", #"{"prompt": "the dog", "max_tokens": 0, "echo": true, "logprobs": 2}"#)
      #expect(texts(none) == ["the dog"] && none.json?["usage"]?["completion_tokens"] == 0)
    }
  }

  /// Greedy requests that wait together are written together; a head does not wait for a long text.
  @Test func writingIsShared() async throws {
    try await TestModels.serve { server, address in
      let prompts = ["the dog", "a cat", "the small house", "no"]
      let expected = try written(server, prompts, options())
      let obstacle = try await Obstacle(server)
      let got = try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
        for (place, prompt) in prompts.enumerated() {
          group.addTask {
            (place, try await post(address, "/v1/completions", #"{"prompt": "\#(prompt)", "temperature": 0, "max_tokens": 12, "seed": \#(place)}"#))
          }
        }
        try await waitWhile { server.thread.waitingCount < prompts.count }
        obstacle.open()
        return try await group.reduce(into: [Int: String]()) { $0[$1.0] = self.texts($1.1).first }
      }
      try await waitWhile { server.thread.totals.turns < 2 }
      #expect(server.thread.totals.turns == 2)
      for (place, texts) in expected.enumerated() { #expect(got[place] == texts[0].text) }
    }
  }
}
