import Diagnostics
import Engine
import LuaHost

extension Predictor.Input: LuaArgument {
  package static var luaType: LuaType { LuaType("string|string[]") }
  package static var expectedWord: String { "text or pair of text" }

  package static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Predictor.Input {
    if stack.typeName(index) == "string" { return Predictor.Input(try String.read(stack, at: index)) }
    let texts = try [String].read(stack, at: index)
    guard texts.count == 2 else { throw ValueMismatch(expected: "a text or a pair of texts", found: "a list of \(texts.count)") }
    return Predictor.Input(texts[0], pair: texts[1])
  }
}

/// One text, or a list of texts and pairs.
struct PredictionInputs: LuaArgument {
  let inputs: [Predictor.Input]
  /// Whether it was one text that is no list.
  let isSingle: Bool

  static var luaType: LuaType { LuaType("string|(\(Predictor.Input.luaType.name))[]") }
  static var expectedWord: String { "a text, or a list of texts and of pairs { \"a\", \"b\" }" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> PredictionInputs {
    let (inputs, isSingle): ([Predictor.Input], Bool) = try stack.oneOrSeveral(at: index, expected: expectedWord)
    return PredictionInputs(inputs: inputs, isSingle: isSingle)
  }
}

/// What the model says about a text, or a list of that.
struct PredictionAnswers: LuaResult {
  let predictions: [Prediction]
  let labels: [String]
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
    let tables = predictions.map(table)
    if isSingle, let answer = tables.first { return try answer.push(onto: stack) }
    return try tables.push(onto: stack)
  }

  private func table(_ prediction: Prediction) -> LuaTable {
    switch prediction {
    case .score(let score): return LuaTable(fields: ["score": .number(score)])
    case .label(let label, _, let probabilities):
      let named = Dictionary(zip(labels, probabilities.map { LuaValue.number($0) }), uniquingKeysWith: { first, _ in first })
      return LuaTable(fields: ["label": .string(label), "probabilities": .table(LuaTable(fields: named))])
    }
  }
}
