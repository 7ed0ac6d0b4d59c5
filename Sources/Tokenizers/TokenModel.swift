import Diagnostics
import Files

/// Turns one word into ids. The result depends on the word alone, so that words can be cached.
protocol TokenModel: Sendable {
  var vocabulary: Vocabulary { get }
  /// The token for what the vocabulary cannot spell, if the model has one.
  var unknownToken: String? { get }
  /// Appends the ids of `word`, which is not empty.
  func tokenize(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32])
  /// The `model` section of `tokenizer.json`.
  var json: JSONValue { get }
}

/// The models of `tokenizer.json`, by their `type`.
enum ModelCatalogue {
  static let types: [ComponentType<any TokenModel>] = [
    .init("BPE") { try BPE($0, at: $1) },
    .init("Unigram") { try Unigram($0, at: $1) },
    .init("WordPiece") { try WordPiece($0, at: $1) },
  ]

  static func make(_ json: JSONValue?, at place: String) throws -> any TokenModel {
    guard let json else { throw EngineError(.data, "\(place): 'model' is missing") }
    // Files of early versions carry no type; only BPE has merges.
    if json["type"] == nil {
      return json["merges"] == nil
        ? try WordPiece(json, at: "\(place): model") : try BPE(json, at: "\(place): model")
    }
    return try component(json, among: types, "model", at: place)
  }
}

extension Vocabulary {
  /// Reads `{"token": id, ...}`.
  init(_ json: JSONValue?, at place: String) throws {
    guard case .object(let tokens)? = json else {
      throw EngineError(
        .data,
        "\(place): 'vocab' is \(json?.kindName ?? "missing"), expected an object of tokens and ids")
    }
    guard !tokens.isEmpty else { throw EngineError(.data, "\(place): the vocabulary is empty") }
    let members = try tokens.members.map { token, id in
      guard case .int(let id) = id else {
        throw EngineError(
          .data, "\(place): the id of token '\(token)' is not a whole number in range")
      }
      return (token: token, id: id)
    }
    try self.init(members, at: place)
  }

  var json: JSONValue { .object(JSONObject(tokensById.map { ($0.token, .int($0.id)) })) }
}
