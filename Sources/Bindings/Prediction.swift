import Datasets
import Diagnostics
import Foundation
import LuaHost
import NN
import TensorCore
import Training
import TransformerModels

/// A text, or a pair of texts.
struct PredictionInput: LuaArgument {
  let text: String
  let pair: String?

  static var luaType: LuaType { LuaType("string|string[]") }
  static var expectedWord: String { "text or pair of text" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> PredictionInput {
    if stack.typeName(index) == "string" { return PredictionInput(text: try String.read(stack, at: index), pair: nil) }
    let texts = try [String].read(stack, at: index)
    guard texts.count == 2 else { throw ValueMismatch(expected: "a text or a pair of texts", found: "a list of \(texts.count)") }
    return PredictionInput(text: texts[0], pair: texts[1])
  }
}

extension TrainableModel {
  /// Label and probabilities (or the score) of each input.
  func predictions(_ inputs: [PredictionInput], maxLength: Int) throws -> [LuaTable] {
    guard case .sequenceClassification(let labels, let problem) = network.task else {
      throw EngineError(.argument, "predict: the model is \(network.taskName), expected a classification or regression")
    }
    let examples = inputs.enumerated().map { Example(text: $1.text, textPair: $1.pair, label: nil, line: $0 + 1) }
    let data = try EncodedDataset(examples, source: "predict", tokenizer: tokenizer, maxLength: maxLength)
    var results: [LuaTable] = []
    for start in stride(from: 0, to: data.count, by: 32) {
      let logits = try network.predict(data.batch(Array(start..<min(start + 32, data.count))))
      for row in 0..<logits.rows {
        let scores = (0..<logits.columns).map { logits.element(row * logits.columns + $0) }
        if problem == .regression {
          results.append(LuaTable(fields: ["score": .number(scores[0])]))
          continue
        }
        let highest = scores.max() ?? 0
        let weights = scores.map { exp($0 - highest) }
        let sum = weights.reduce(0, +)
        let best = scores.firstIndex(of: highest) ?? 0
        let probabilities = Dictionary(zip(labels, weights.map { LuaValue.number($0 / sum) }), uniquingKeysWith: { a, _ in a })
        results.append(
          LuaTable(fields: ["label": .string(labels[best]), "probabilities": .table(LuaTable(fields: probabilities))]))
      }
    }
    return results
  }
}

extension TransformerModel {
  /// All linear layers with their paths.
  var linearModules: [(path: String, linear: Linear)] {
    namedModules().compactMap { path, module in (module as? Linear).map { (path, $0) } }
  }
  var linears: [Linear] { linearModules.map(\.linear) }
  var linearPaths: [String] { linearModules.map(\.path) }
}
