import Diagnostics
import Engine
import Files

/// `POST /predict`: the labels of a text with their probabilities, the most probable one first, in the shape of text-embeddings-inference. A
/// regression has one label, whose score is what it gives.
struct PredictEndpoint: Endpoint {
  let method = "POST"
  let path = "/predict"

  struct Fields: Record {
    var inputs = TextsOrPairs()
    var model: String?
    var truncate: Bool?
    var rawScores = false

    static let recordName = "request"
    static let fields: [Field<Self>] = [
      .value("inputs", \.inputs, "texts or pairs", required: true),
      .value("model", \.model, "which model answers, where there are several"),
      .value("truncate", \.truncate, "false: a text that is too long is an error; else it is cut"),
      .value("raw_scores", \.rawScores, "not given here"),
    ]
    static let foreignNames: [String: ForeignName] = [
      "input": .isCalled("inputs"), "text": .isCalled("inputs"), "texts": .isCalled("inputs"), "adapter": .isCalled("model"),
      "truncation_direction": .isLeftOut("leave it out: texts lose their end"),
    ]

    func validate() throws(EngineError) {
      if rawScores { throw EngineError(.argument, "'raw_scores': scores are probabilities here", hint: "leave it out") }
    }
  }

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let fields = try question.record(Fields.self)
    let model = try server.head(fields.model)
    let (answers, _) = try await server.predictions(fields.inputs.inputs, model, mayCut: fields.truncate ?? true)
    let lists = answers.map { Self.scores($0, model.predictor?.labels ?? []) }
    return Reply(fields.inputs.isBatch ? .array(lists) : lists[0])
  }

  private static func scores(_ answer: Prediction, _ labels: [String]) -> JSONValue {
    func entry(_ label: String, _ score: Double) -> JSONValue { ["label": .string(label), "score": .double(score)] }
    switch answer {
    case .score(let score): return .array([entry(labels.first ?? "score", score)])
    case .label(_, _, let probabilities):
      // Of equal ones the first label is the first.
      let order = probabilities.indices.sorted { (-probabilities[$0], $0) < (-probabilities[$1], $1) }
      return .array(order.map { entry(labels[$0], probabilities[$0]) })
    }
  }
}
