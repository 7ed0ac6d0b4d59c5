import Datasets
import Diagnostics
import Foundation
import LuaHost
import NN
import Tasks
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

/// One text, or a list of texts and pairs.
struct PredictionInputs: LuaArgument {
  let inputs: [PredictionInput]
  /// Whether it was one text that is no list.
  let isSingle: Bool

  static var luaType: LuaType { LuaType("string|(\(PredictionInput.luaType.name))[]") }
  static var expectedWord: String { "a text, or a list of texts and of pairs { \"a\", \"b\" }" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> PredictionInputs {
    if stack.isString(at: index) {
      return PredictionInputs(inputs: [PredictionInput(text: try String.read(stack, at: index), pair: nil)], isSingle: true)
    }
    guard stack.isTable(at: index) else { throw stack.mismatch(expectedWord, at: index) }
    do throws(ValueMismatch) {
      return PredictionInputs(inputs: try [PredictionInput].read(stack, at: index), isSingle: false)
    } catch {
      throw ValueMismatch(expected: expectedWord, found: error.found, place: error.place, report: error.report)
    }
  }
}

/// What the model says about a text, or a list of that.
struct PredictionAnswers: LuaResult {
  let answers: [LuaTable]
  let isSingle: Bool

  static var luaType: LuaType {
    LuaType(
      "Prediction|Prediction[]",
      definition: .shape(
        LuaType.TableShape(
          "Prediction", "What a model says about a text, or a pair of texts.",
          fields: [
            ("label", "string?", "the most probable class; nil for regression"),
            ("probabilities", "table<string, number>?", "by class, together 1; nil for regression"),
            ("score", "number?", "the regression's value; nil for classification"),
          ])))
  }

  func push(onto stack: LuaStack) throws -> Int32 {
    if isSingle, let answer = answers.first { return try answer.push(onto: stack) }
    return try answers.push(onto: stack)
  }
}

extension TrainableModel {
  /// Label and probabilities (or the score) of each input.
  func predictions(_ inputs: [PredictionInput], maxLength: Int) throws -> [LuaTable] {
    guard type.head.isSequence else {
      throw EngineError(.argument, "predict: the model is \(type.name), expected a classification or regression")
    }
    let examples = inputs.enumerated().map { Example([$1.text] + ($1.pair.map { [$0] } ?? []), line: $0 + 1) }
    let data = try EncodedDataset(examples, source: "predict", for: type, tokenizer: tokenizer, maxLength: maxLength)
    var results: [LuaTable] = []
    for start in stride(from: 0, to: data.count, by: 32) {
      let logits = try network.predict(data.batch(Array(start..<min(start + 32, data.count))))
      results += type.answers(logits).enumerated().map { row, answer in table(answer, logits, row: row) }
    }
    return results
  }

  /// An answer for the script; of a class with the probabilities of all.
  private func table(_ answer: Answer, _ logits: Tensor, row: Int) -> LuaTable {
    guard case .label(let best) = answer else { return LuaTable(fields: ["score": .number(answer.number)]) }
    let scores = (0..<logits.columns).map { logits.element(row * logits.columns + $0) }
    let weights = scores.map { exp($0 - scores[best]) }
    let sum = weights.reduce(0, +)
    let probabilities = Dictionary(zip(network.labels, weights.map { LuaValue.number($0 / sum) }), uniquingKeysWith: { a, _ in a })
    return LuaTable(fields: ["label": .string(network.labels[best]), "probabilities": .table(LuaTable(fields: probabilities))])
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
