import Files
import Generation
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// All tests here run models. One after another: whether operations record gradients is one switch for the process.
@Suite(.serialized, .engine) enum GenerationTests {}

let fixtures = packageRoot + "/Tests/Fixtures"

/// A tiny random model of the fixtures with a language head.
func tinyModel(_ name: String, _ quantization: WeightQuantization? = nil) throws -> TransformerModel {
  try PretrainedModel(name: fixtures + "/models/" + name, quantization: quantization).make(.language, headSeed: 1)
}

/// Options as a script gives them.
func options(_ values: JSONObject) throws -> GenerationOptions { try GenerationOptions(json: .object(values), source: "test") }
