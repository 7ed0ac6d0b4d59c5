import Datasets
import Diagnostics
import Foundation
import Tasks
import TensorCore
import Tokenizers
import Training
import TransformerModels

/// What a model says about one text, or one pair of texts.
package enum Prediction: Equatable, Sendable {
  /// The most probable class: its name, its place among the model's labels, and the probability of every label, in their order.
  case label(String, index: Int, probabilities: [Double])
  /// The number that a regression gives.
  case score(Double)
}

/// Asks a trained model about texts: for scripts, commands and servers.
package struct Predictor {
  /// A text, or a pair of texts.
  package struct Input: Equatable, Sendable {
    package var text: String
    package var pair: String?

    package init(_ text: String, pair: String? = nil) { (self.text, self.pair) = (text, pair) }

    /// One text, or two.
    init(_ texts: ArraySlice<String>) { self.init(texts.first ?? "", pair: texts.dropFirst().first) }
  }

  private let model: TrainableModel
  private let maxLength: Int
  /// Inputs that go through the model at once.
  package static let batchSize = 32

  /// - Parameter maxLength: tokens of one input, at least 2; longer ones are cut.
  /// - Throws: `EngineError` (`.argument`) for a model that answers in tokens.
  package init(_ model: TrainableModel, maxLength: Int = 128) throws {
    guard model.type is any SequenceTaskType else {
      throw EngineError(.argument, "predict: the model is \(model.type.name), expected a classification or regression")
    }
    (self.model, self.maxLength) = (model, maxLength)
  }

  /// The names of the classes, in the order of the probabilities.
  package var labels: [String] { model.network.labels }

  /// One prediction for each input, in order. Nothing is dropped, and no gradient is recorded.
  package func predictions(for inputs: [Input]) throws -> [Prediction] {
    let examples = inputs.enumerated().map { Example([$1.text] + ($1.pair.map { [$0] } ?? []), line: $0 + 1) }
    let data = try EncodedDataset(examples, source: "predict", for: model.type, tokenizer: model.tokenizer, maxLength: maxLength)
    return try stride(from: 0, to: data.count, by: Self.batchSize).flatMap { start in
      try predictions(data.batch(Array(start..<min(start + Self.batchSize, data.count))))
    }
  }

  /// The tokens of an input, for `predictions(of:)`. Safe from any thread.
  package func encode(_ input: Input) throws -> Encoding {
    try model.type.encode(Example([input.text] + (input.pair.map { [$0] } ?? []), line: 1), model.tokenizer, maxLength: maxLength)
  }

  /// The predictions for inputs that go through the model together: those of `predictions(for:)`, up to the rounding of other batches.
  package func predictions(of inputs: [Encoding]) throws -> [Prediction] {
    try predictions(
      Batch(
        ids: inputs.flatMap(\.ids), tokenTypes: inputs.flatMap(\.tokenTypeIds), offsets: Offsets(lengths: inputs.map(\.count))))
  }

  private func predictions(_ batch: Batch) throws -> [Prediction] {
    let logits = try model.network.predict(batch)
    return model.type.answers(logits).enumerated().map { row, answer in prediction(answer, logits, row: row) }
  }

  private func prediction(_ answer: Answer, _ logits: Tensor, row: Int) -> Prediction {
    guard case .label(let best) = answer else { return .score(answer.number) }
    let scores = (0..<logits.columns).map { logits.element(row * logits.columns + $0) }
    let weights = scores.map { exp($0 - scores[best]) }
    let sum = weights.reduce(0, +)
    return .label(labels[best], index: best, probabilities: weights.map { $0 / sum })
  }
}
