import Diagnostics
import Engine
import Files

/// `POST /v1/decisions`: typed answers to questions about one text, as OpenAI's API of that name, which is in beta: it stays in this
/// file.
///
/// A question's name says which model answers it; one without a name goes to `model`. A head answers what it was trained for,
/// whatever the instructions say.
struct DecisionsEndpoint: Endpoint {
  let method = "POST"
  let path = "/v1/decisions"

  struct Fields: Record {
    var model: String?
    var input = DecisionInput()
    var questions: [DecisionQuestion] = []

    static let recordName = "request"
    static let fields: [Field<Self>] = [
      .value("model", \.model, "which model answers questions without a name"),
      .value("input", \.input, "a text, or messages of which one is the user's", required: true),
      .value("questions", \.questions, "what is asked", required: true),
    ]

    func validate() throws(EngineError) {
      if questions.isEmpty { throw EngineError(.argument, "'questions' is empty: expected at least one") }
    }
  }

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let fields = try question.record(Fields.self)
    var answers: [JSONValue] = []
    var tokens = 0
    // All mistakes are found before anything is computed.
    let asked = try fields.questions.map { try ($0, $0.model(server, default: fields.model)) }
    for (question, model) in asked {
      let (predictions, count) = try await server.predictions([[fields.input.text]], model)
      tokens += count
      answers.append(
        .object(
          JSONObject(
            [("type", .string(question.type.rawValue)), ("name", question.name.map { .string($0) } ?? .null)]
              + question.answer(predictions[0], model.predictor?.labels ?? []))))
    }
    return Reply([
      "model": .string(fields.model ?? asked[0].1.name), "answers": .array(answers),
      "usage": ["input_tokens": .int(tokens), "output_tokens": 0, "total_tokens": .int(tokens)],
    ])
  }
}

enum DecisionKind: String, FieldChoice { case predicate, choice, score }

/// One question.
struct DecisionQuestion: Record {
  var type = DecisionKind.choice
  var name: String?
  var instructions: String?
  var choices: [DecisionChoice]?
  var levels: [DecisionLevel]?

  static let recordName = "question"
  static let fields: [Field<Self>] = [
    .value("type", \.type, "predicate: is it true; choice: which class; score: which level", required: true),
    .value("name", \.name, "which model answers"),
    .value("instructions", \.instructions, "for models that read them; a head does what it was trained for"),
    .value("choices", \.choices, "of a choice: the model's labels, all of them; default: those"),
    .value("levels", \.levels, "of a score by a classifier: the model's labels, all of them, the lowest first; default: in the model's order"),
  ]

  /// The model that answers. Throws `RequestError` for one that answers no such question.
  func model(_ server: Server, default name: String?) throws -> ServedModel {
    let model = try server.head(self.name ?? name)
    let labels = model.predictor?.labels ?? []
    let isScore = if case .scoring = model.use { true } else { false }
    func refuse(_ words: String) -> RequestError { RequestError(.badRequest, "question '\(model.name)': \(words)") }
    switch type {
    case .predicate where isScore || labels.count != 2:
      throw refuse("a predicate needs two classes, and the model \(model.summary)")
    case .choice where isScore: throw refuse("a choice needs classes, and the model \(model.summary)")
    default: break
    }
    let named = type == .choice ? choices?.map(\.value.text) : type == .score ? levels?.map(\.label) : nil
    if let named, !isScore {
      if let wrong = named.first(where: { !labels.contains($0) }) {
        throw RequestError(.badRequest, "question '\(model.name)': the model has no label '\(wrong)'", hint: suggestion(for: wrong, among: labels))
      }
      guard Set(named).count == labels.count, named.count == labels.count else {
        throw refuse("\(named.count) of the model's \(labels.count) labels are named: expected each of \(listed(labels, limit: 8)) once, or none")
      }
    }
    return model
  }

  /// What follows type and name.
  func answer(_ prediction: Prediction, _ labels: [String]) -> [(String, JSONValue)] {
    switch (type, prediction) {
    case (.predicate, .label(_, _, let probabilities)):
      // The second of two classes is the positive one.
      return [("probability", .double(probabilities[1]))]
    case (.choice, .label(let label, let index, let probabilities)):
      let order = choices?.map(\.value) ?? labels.map { .text($0) }
      let list = order.map { choice -> JSONValue in
        ["value": choice.json, "probability": .double(labels.firstIndex(of: choice.text).map { probabilities[$0] } ?? 0)]
      }
      let chosen = order.first { $0.text == label } ?? .text(label)
      return [("choice", chosen.json), ("probabilities", .array(list)), ("confidence", .double(probabilities[index]))]
    case (_, .label(_, let index, let probabilities)):
      let order = levels?.map(\.label) ?? labels
      let places = order.map { probabilities[labels.firstIndex(of: $0) ?? 0] }
      let list = order.indices.map { place -> JSONValue in
        ["value": .int(place), "label": .string(order[place]), "probability": .double(places[place])]
      }
      let mean = places.enumerated().reduce(0) { $0 + Double($1.offset) * $1.element }
      return [("score", .double(mean)), ("probabilities", .array(list)), ("confidence", .double(probabilities[index]))]
    case (_, .score(let score)): return [("score", .double(score)), ("probabilities", .array([])), ("confidence", .null)]
    }
  }
}

/// A choice: its value, and words about it that a head does not read.
struct DecisionChoice: Record {
  var value = Value.text("")
  var description: String?

  static let recordName = "choice"
  static let fields: [Field<Self>] = [
    .value("value", \.value, "a label of the model", required: true), .value("description", \.description, "what it means"),
  ]

  /// A text, or a boolean.
  enum Value: FieldValue, Sendable {
    case text(String)
    case bool(Bool)

    static let typeName = "string|boolean"
    static let expected = "a string or a boolean"

    static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Value {
      switch value {
      case .text(let text): return .text(text)
      case .bool(let bool): return .bool(bool)
      default: throw ValueMismatch(expected: expected, found: value.briefly)
      }
    }

    var text: String {
      switch self {
      case .text(let text): text
      case .bool(let bool): bool ? "true" : "false"
      }
    }
    var configValue: ConfigValue { if case .bool(let bool) = self { .bool(bool) } else { .text(text) } }
    var json: JSONValue { configValue.json }
  }
}

/// A level of a score.
struct DecisionLevel: Record {
  var label = ""
  var description: String?

  static let recordName = "level"
  static let fields: [Field<Self>] = [
    .value("label", \.label, "a label of the model", required: true), .value("description", \.description, "what it means"),
  ]
}

/// A text, or a list of messages, of which one is there and of the user.
struct DecisionInput: FieldValue, Sendable {
  var text = ""

  static let typeName = "string|table[]"
  static let expected = "a text, or a list of one message {\"role\": \"user\", \"content\": text}"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> DecisionInput {
    if case .text(let text) = value { return DecisionInput(text: text) }
    guard case .table(let table) = value, table.list.count == 1, case .table(let message) = table.list[0],
      case .text("user")? = message.fields["role"]
    else { throw ValueMismatch(expected: expected, found: value.briefly) }
    if case .text(let text)? = message.fields["content"] { return DecisionInput(text: text) }
    // Content in parts: those of text.
    guard case .table(let parts)? = message.fields["content"], parts.list.count == 1, case .table(let part) = parts.list[0],
      case .text("input_text")? = part.fields["type"], case .text(let text)? = part.fields["text"]
    else { throw ValueMismatch(expected: expected, found: "another content", place: "[1].content") }
    return DecisionInput(text: text)
  }

  var configValue: ConfigValue { .text(text) }
}
