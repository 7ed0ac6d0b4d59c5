import Engine
import Files
import Foundation
import Generation
import TestSupport
import Testing

@testable import Serving

/// What the endpoints answer, against the same models asked without a server.
@Suite(.engine, .serialized) struct EndpointTests {
  private static let texts = [
    "a dog sees the small house", "no", "the girl bought a pear on Monday, in the forest, and then some more words follow it",
  ]

  @Test func headsAnswerAsThePredictorDoes() async throws {
    try await TestModels.serve { server, address in
      let predictor = try #require(TestModels[server.models, "three"].predictor)
      let expected = try Self.texts.map { text -> [Double] in
        guard case .label(_, _, let probabilities) = try predictor.predictions(for: [Predictor.Input(text)])[0] else { return [] }
        return probabilities
      }
      func check(_ entries: JSONValue?, _ probabilities: [Double]) {
        let labels = entries?.arrayValue?.compactMap { $0["label"]?.stringValue }
        let scores = entries?.arrayValue?.compactMap { $0["score"]?.doubleValue } ?? []
        let order = probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }
        #expect(labels == order.map { predictor.labels[$0] })
        expectClose("scores", scores, order.map { probabilities[$0] }, relative: 1e-5)
      }
      let one = try await post(address, "/predict", #"{"inputs": "\#(Self.texts[0])", "model": "three"}"#)
      #expect(one.status == 200)
      check(one.json, expected[0])
      let lists = Self.texts.map { "[\"\($0)\"]" }.joined(separator: ", ")
      let all = try await post(address, "/predict", "{\"inputs\": [\(lists)], \"model\": \"three\"}")
      for (place, probabilities) in expected.enumerated() { check(all.json?.arrayValue?[place], probabilities) }

      guard case .label(let label, _, let pair) = try predictor.predictions(for: [Predictor.Input("a dog", pair: "a cat")])[0] else { return }
      check(try await post(address, "/predict", #"{"inputs": ["a dog", "a cat"], "model": "three"}"#).json, pair)
      #expect(predictor.labels.contains(label))

      let classes = try await post(address, "/classify", #"{"input": "\#(Self.texts[1])", "model": "three"}"#)
      let first = classes.json?["data"]?.arrayValue?[0]
      expectClose("probs", first?["probs"]?.arrayValue?.compactMap(\.doubleValue) ?? [], expected[1], relative: 1e-5)
      #expect(first?["num_classes"] == 3 && first?["label"]?.stringValue == predictor.labels[expected[1].firstIndex(of: expected[1].max() ?? 0) ?? 0])

      guard case .score(let score) = try #require(TestModels[server.models, "number"].predictor).predictions(for: [Predictor.Input("no")])[0] else {
        return
      }
      let number = try await post(address, "/predict", #"{"inputs": "no", "model": "number"}"#)
      #expect(abs((number.json?.arrayValue?[0]["score"]?.doubleValue ?? .nan) - score) < 1e-5)
    }
  }

  @Test func decisionsNameTheModelThatAnswers() async throws {
    try await TestModels.serve { server, address in
      let body = """
        {"model": "two", "input": [{"role": "user", "content": "no"}], "questions": [{"type": "predicate", "instructions": "is it?"},
          {"type": "choice", "name": "three", "choices": [{"value": "z"}, {"value": "x", "description": "."}, {"value": "y"}]},
          {"type": "score", "name": "number"}, {"type": "score", "name": "three", "levels": [{"label": "y"}, {"label": "x"}, {"label": "z"}]}]}
        """
      let answer = try await post(address, "/v1/decisions", body)
      #expect(answer.status == 200, "\(answer.body)")
      let answers = try #require(answer.json?["answers"]?.arrayValue)
      func prediction(_ name: String) throws -> Prediction {
        try #require(TestModels[server.models, name].predictor).predictions(for: [Predictor.Input("no")])[0]
      }
      guard case .label(_, _, let two) = try prediction("two"), case .label(let label, let best, let three) = try prediction("three"),
        case .score(let score) = try prediction("number")
      else { return }
      #expect(answers[0]["name"] == .null && abs((answers[0]["probability"]?.doubleValue ?? 0) - two[1]) < 1e-5)
      #expect(answers[1]["choice"]?.stringValue == label && abs((answers[1]["confidence"]?.doubleValue ?? 0) - three[best]) < 1e-5)
      let probabilities = answers[1]["probabilities"]?.arrayValue ?? []
      #expect(probabilities.map { $0["value"]?.stringValue } == ["z", "x", "y"])
      expectClose("choices", probabilities.compactMap { $0["probability"]?.doubleValue }, [three[2], three[0], three[1]], relative: 1e-5)
      #expect(abs((answers[2]["score"]?.doubleValue ?? 0) - score) < 1e-5)
      #expect(abs((answers[3]["score"]?.doubleValue ?? 0) - (three[0] + 2 * three[2])) < 1e-5)
    }
  }

  /// Requests that wait for the same model go through it together, and nobody's answer changes.
  @Test func waitingRequestsShareAPass() async throws {
    try await TestModels.serve { server, address in
      let names = ["three", "two", "number"]
      let obstacle = try await Obstacle(server)
      let answers = try await withThrowingTaskGroup(of: (Int, String).self) { group in
        for i in 0..<45 {
          group.addTask {
            let text = Self.texts[i % 2] + String(repeating: " a dog", count: i % 5)
            return (i, try await post(address, "/predict", #"{"inputs": "\#(text)", "model": "\#(names[i % 3])"}"#).body)
          }
        }
        try await waitWhile { server.thread.waitingCount < 45 }
        obstacle.open()
        return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
      }
      // One turn for each model, and the obstacle.
      try await waitWhile { server.thread.totals.turns < 4 }
      #expect(server.thread.totals.turns == 4)
      for (i, body) in answers {
        let text = Self.texts[i % 2] + String(repeating: " a dog", count: i % 5)
        let predictor = try #require(TestModels[server.models, names[i % 3]].predictor)
        let expected: Double
        switch try predictor.predictions(for: [Predictor.Input(text)])[0] {
        case .score(let score): expected = score
        case .label(_, let best, let probabilities): expected = probabilities[best]
        }
        let got = try JSONValue(parsing: body, source: "answer").arrayValue?[0]["score"]?.doubleValue ?? .nan
        #expect(abs(got - expected) < 1e-5, "\(i): \(got) for \(expected)")
      }
    }
  }

  @Test func oneRequestOfManyTextsTakesTurnsWithOthers() async throws {
    try await TestModels.serve { server, address in
      let lists = (0..<100).map { "[\"\(Self.texts[$0 % 3]) \($0)\"]" }.joined(separator: ", ")
      let many = try await post(address, "/predict", "{\"inputs\": [\(lists)], \"model\": \"two\"}")
      #expect(many.json?.arrayValue?.count == 100)
      try await waitWhile { server.thread.totals.turns < 4 }
    }
  }
}
