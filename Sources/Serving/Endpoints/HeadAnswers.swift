import Diagnostics
import Engine
import Files

extension Server {
  /// Texts of a request at most.
  static let mostInputs = 2048

  /// What a head says about texts or pairs, and how many tokens it has read.
  ///
  /// - Parameter mayCut: whether texts that are longer than the server's limit lose what stands behind it, as with `perigee predict`.
  func predictions(_ inputs: [[String]], _ model: ServedModel, mayCut: Bool = true) async throws -> (answers: [Prediction], tokens: Int) {
    guard let predictor = model.predictor else { throw RequestError(.badRequest, "the model '\(model.name)' \(model.summary)") }
    guard inputs.count <= Self.mostInputs else {
      throw RequestError(.badRequest, "\(inputs.count) texts, of \(Self.mostInputs) at a time", hint: "send them in several requests")
    }
    let texts = try inputs.enumerated().map { place, input in
      let encoding = try predictor.encode(Predictor.Input(input[0], pair: input.count > 1 ? input[1] : nil))
      guard mayCut || !encoding.isTruncated else {
        throw RequestError(
          .badRequest, "text \(place + 1) has more than \(options.maxLength) tokens, and 'truncate' is false", hint: "--max-length sets the limit")
      }
      let longest = model.trained.network.maxInputLength
      guard encoding.count <= longest else {
        throw RequestError(
          .badRequest, "text \(place + 1) has \(encoding.count) tokens, but the model has positions for \(longest)", hint: "shorten it")
      }
      return encoding
    }
    let pending = Pending<[Prediction]>(seconds: options.requestTimeout, deadlines)
    try thread.add(TextsWork(texts, purpose: "predict \(model.name)", pending: pending) { try predictor.predictions(of: $0) })
    let tokens = texts.reduce(0) { $0 + $1.count }
    meters.count(tokens: tokens, "prompt")
    return (try await pending.value(), tokens)
  }

  /// The model with a head that a request names.
  func head(_ name: String?) throws(RequestError) -> ServedModel {
    try models.model(name, that: "classifies or gives a score") { $0.predictor != nil }
  }
}
