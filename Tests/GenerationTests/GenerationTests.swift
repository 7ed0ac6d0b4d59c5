import Files
import Generation
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// All tests here run models. One after another: whether operations record gradients is one switch for the process.
@Suite(.serialized, .engine) enum GenerationTests {}

let fixtures = packageRoot + "/Tests/Fixtures"

let encoderDecoders = ["tiny-bart", "tiny-t5", "tiny-t5v11"]

/// A tiny random model of the fixtures with a language head. `factors`: what a decoder's parameters are multiplied by, by a part of
/// their names.
func tinyModel(_ name: String, _ quantization: WeightQuantization? = nil, factors: JSONObject = [:]) throws -> TransformerModel {
  let model = try PretrainedModel(name: fixtures + "/models/" + name, quantization: quantization).make(.language, headSeed: 1)
  for (part, factor) in factors.members {
    for (name, tensor) in model.namedParameters() where name.contains("decoder") && name.contains(part) {
      try tensor.makeExclusive()
      try tensor.assign(Autograd.noGrad { try tensor.mul(factor.doubleValue ?? 1) })
    }
  }
  return model
}

/// Options as a script gives them.
func options(_ values: JSONObject) throws -> GenerationOptions { try GenerationOptions(json: .object(values), source: "test") }
