import Diagnostics
import LuaHost
import TensorCore
import TransformerModels

/// Options of `models.load`.
struct LoadOptions: LuaRecord {
  var quantizationConfig: BitsAndBytesConfig?

  static let recordName = "load options"
  static let fields: [Field<Self>] = [
    .record(
      "quantization_config", \.quantizationConfig,
      "holds the frozen weights of all linear layers but the head's in 4 bits; adapters on them train as usual (QLoRA)")
  ]
}

/// How weights are held in 4 bits, in the words of Transformers.
struct BitsAndBytesConfig: LuaRecord {
  var loadIn4bit = false
  var bnb4bitQuantType = QuantizationConfig.QuantType.fp4
  var bnb4bitUseDoubleQuant = false
  var bnb4bitBlocksize = 64
  var llmInt8SkipModules: [String] = []

  static let recordName = "quantization_config"
  static let fields: [Field<Self>] = [
    .value("load_in_4bit", \.loadIn4bit, "whether weights are held in 4 bits; false leaves them as they are", required: true),
    .choice(
      "bnb_4bit_quant_type", \.bnb4bitQuantType, "\"nf4\", quantiles of the normal distribution, which QLoRA uses, or \"fp4\""),
    .bool("bnb_4bit_use_double_quant", \.bnb4bitUseDoubleQuant, "hold the blocks' statistics in 8 bits: 4.127 instead of 4.5 bits a weight"),
    .int("bnb_4bit_blocksize", \.bnb4bitBlocksize, "weights that share a statistic: 32, 64, 128, ... 4096", in: 32...4096),
    .strings("llm_int8_skip_modules", \.llmInt8SkipModules, "parts of the paths of layers that stay float32, beside the head's"),
  ]

  var quantization: WeightQuantization? {
    guard loadIn4bit else { return nil }
    let config = QuantizationConfig(
      bnb4bitQuantType, blocksize: bnb4bitBlocksize, useDoubleQuant: bnb4bitUseDoubleQuant)
    return WeightQuantization(config, skipModules: llmInt8SkipModules)
  }
}

extension QuantizationConfig.QuantType: LuaChoice {}
