import Diagnostics
import Files

/// `POST /classify`: the label of each text with the probabilities of all, in vLLM's shape.
struct ClassifyEndpoint: Endpoint {
  let method = "POST"
  let path = "/classify"

  struct Fields: Record {
    var input = OneOrMore()
    var model: String?

    static let recordName = "request"
    static let fields: [Field<Self>] = [
      .value("input", \.input, "a text, or several", required: true), .value("model", \.model, "which model answers, where there are several"),
    ]
    static let foreignNames: [String: ForeignName] = ["inputs": .isCalled("input"), "adapter": .isCalled("model")]
  }

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let fields = try question.record(Fields.self)
    let model = try server.head(fields.model)
    let (answers, tokens) = try await server.predictions(fields.input.texts.map { [$0] }, model)
    let data = answers.enumerated().map { place, answer -> JSONValue in
      switch answer {
      case .score(let score): ["index": .int(place), "label": .null, "probs": [.double(score)], "num_classes": 1]
      case .label(let label, _, let probabilities):
        [
          "index": .int(place), "label": .string(label), "probs": .array(probabilities.map { .double($0) }),
          "num_classes": .int(probabilities.count),
        ]
      }
    }
    return Reply([
      "id": .string(Identifier.make("classify")), "object": "list", "created": .int(Identifier.now), "model": .string(model.name),
      "data": .array(data), "usage": ["prompt_tokens": .int(tokens), "total_tokens": .int(tokens), "completion_tokens": 0],
    ])
  }
}
