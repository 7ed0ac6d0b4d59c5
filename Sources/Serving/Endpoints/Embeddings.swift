import Diagnostics
import Engine
import Files
import Foundation

/// `POST /v1/embeddings`: a vector for each text, in OpenAI's shape; any model can be asked. How vectors are made is as with `perigee embed`.
struct EmbeddingsEndpoint: Endpoint {
  let method = "POST"
  let path = "/v1/embeddings"

  struct Fields: Record {
    var input = OneOrMore()
    var model: String?
    var encodingFormat = Format.float
    var dimensions: Int?
    var pooling: Pooling?
    var normalize: Bool?

    enum Format: String, FieldChoice { case float, base64 }

    static let recordName = "request"
    static let fields: [Field<Self>] = [
      .value("input", \.input, "a text, or several", required: true), .value("model", \.model, "which model, where there are several"),
      .value("encoding_format", \.encodingFormat, "numbers, or the bytes of float32"),
      .int("dimensions", \.dimensions, "numbers of a vector; the model's alone", in: 1...1_000_000),
      .value("pooling", \.pooling, "see EmbeddingOptions"), .value("normalize", \.normalize, "see EmbeddingOptions"),
    ]
    static let foreignNames: [String: ForeignName] = [
      "inputs": .isCalled("input"), "user": .isLeftOut("leave it out: nobody is told apart here"), "adapter": .isCalled("model"),
      "pooling_type": .isCalled("pooling"),
    ]
  }

  /// A text, and about how many tokens it has: the embedder makes them.
  private struct Text: Counted {
    let text: String
    var count: Int { text.utf8.count / 4 }
  }

  /// A text's vector, and its number of tokens.
  private struct Vector: Sendable {
    let values: [Float]
    let tokens: Int
  }

  func answer(_ question: Question, _ server: Server) async throws -> Reply {
    let fields = try question.record(Fields.self)
    let model = try server.models.model(fields.model, that: "gives vectors") { _ in true }
    let texts = fields.input.texts
    guard texts.count <= Server.mostInputs else {
      throw RequestError(.badRequest, "\(texts.count) texts, of \(Server.mostInputs) at a time", hint: "send them in several requests")
    }
    let size = model.trained.network.layout.layer.size
    guard fields.dimensions ?? size == size else {
      throw RequestError(.badRequest, "'dimensions' is \(fields.dimensions ?? 0), but the model's vectors have \(size) numbers", hint: "leave it out")
    }
    if let empty = texts.firstIndex(of: "") { throw RequestError(.badRequest, "'input[\(empty + 1)]' is empty", hint: "leave it out") }
    var options = EmbeddingOptions()
    (options.pooling, options.normalize) = (fields.pooling, fields.normalize)
    let embedder = try Embedder(model.trained, options)
    let pending = Pending<[Vector]>(seconds: server.options.requestTimeout, server.deadlines)
    let purpose = "embed \(fields.pooling?.rawValue ?? "") \(fields.normalize.map { "\($0)" } ?? "") \(model.name)"
    try server.thread.add(
      TextsWork(texts.map(Text.init), purpose: purpose, pending: pending) { texts in
        let result = try embedder.embeddings(of: texts.map(\.text))
        return texts.indices.map { Vector(values: result.vector($0), tokens: result.tokens[$0]) }
      })
    let vectors = try await pending.value()
    let tokens = vectors.reduce(0) { $0 + $1.tokens }
    server.meters.count(tokens: tokens, "prompt")
    let data = vectors.enumerated().map { place, vector -> JSONValue in
      ["object": "embedding", "index": .int(place), "embedding": Self.json(vector.values, fields.encodingFormat)]
    }
    return Reply([
      "object": "list", "data": .array(data), "model": .string(model.name), "usage": ["prompt_tokens": .int(tokens), "total_tokens": .int(tokens)],
    ])
  }

  private static func json(_ values: [Float], _ format: Fields.Format) -> JSONValue {
    switch format {
    case .float: .array(values.map { .double(Double($0)) })
    case .base64: .string(values.map(\.bitPattern.littleEndian).withUnsafeBytes { Data($0).base64EncodedString() })
    }
  }
}
