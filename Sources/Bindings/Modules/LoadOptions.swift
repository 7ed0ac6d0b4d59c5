import Diagnostics
import LuaHost
import LuaTensors
import TensorCore
import TransformerModels

/// Options of `models.load`.
struct LoadOptions: LuaRecord {
  var quantizationConfig: BitsAndBytesConfig?

  static let recordName = "load options"
  static let fields: [Field<Self>] = [
    .value(
      "quantization_config", \.quantizationConfig,
      "holds the frozen weights of all linear layers but the head's in 4 bits; adapters on them train as usual (QLoRA)")
  ]

  static let foreignNames: [String: ForeignName] = [
    "load_in_4bit": .isCalled("quantization_config", reason: "quantization_config = { load_in_4bit = true }"),
    "load_in_8bit": .isCalled(
      "quantization_config", reason: "8 bits are not supported; quantization_config = { load_in_4bit = true } holds weights in 4"),
    "torch_dtype": .isLeftOut("leave it out: the precision is that of the process, perigee run --precision auto, bf16 or fp32"),
    "dtype": .isLeftOut("leave it out: the precision is that of the process, perigee run --precision auto, bf16 or fp32"),
    "device_map": .isLeftOut("leave it out: everything runs on the CPU"), "device": .isLeftOut("leave it out: everything runs on the CPU"),
    "num_labels": .isLeftOut("a base has no head: models.load(name):classifier { num_labels = ... }"),
    "id2label": .isLeftOut("a base has no head: models.load(name):classifier { labels = { ... } }"),
    "problem_type": .isLeftOut("a base has no head: models.load(name):classifier { problem_type = ... }"),
    "cache_dir": .isLeftOut("leave it out: the environment's HF_HUB_CACHE or HF_HOME says where the hub's cache lies"),
    "revision": .isLeftOut("leave it out: the cache's main revision is taken; a folder's path names another"),
    "trust_remote_code": .isLeftOut("leave it out: no code of a model is ever run"),
    "low_cpu_mem_usage": .isLeftOut("leave it out: weights are mapped, not read"),
    "attn_implementation": .isLeftOut("leave it out: there is one implementation of attention"),
    "seed": .isLeftOut("weights come from the folder; base:classifier { seed = ... } seeds the head"),
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
    .value(
      "bnb_4bit_quant_type", \.bnb4bitQuantType, "\"nf4\", quantiles of the normal distribution, which QLoRA uses, or \"fp4\""),
    .value("bnb_4bit_use_double_quant", \.bnb4bitUseDoubleQuant, "hold the blocks' statistics in 8 bits: 4.127 instead of 4.5 bits a weight"),
    .int("bnb_4bit_blocksize", \.bnb4bitBlocksize, "weights that share a statistic: 32, 64, 128, ... 4096", in: 32...4096),
    .value("llm_int8_skip_modules", \.llmInt8SkipModules, "parts of the paths of layers that stay float32, beside the head's"),
  ]

  static let foreignNames: [String: ForeignName] = [
    "load_in_8bit": .isLeftOut("8 bits are not supported: load_in_4bit = true holds weights in 4"),
    "bnb_4bit_compute_dtype": .isLeftOut("leave it out: products compute in the process's precision, perigee run --precision auto, bf16 or fp32"),
    "bnb_4bit_quant_storage": .isLeftOut("leave it out: codes are held as bytes"),
    "llm_int8_threshold": .isLeftOut("leave it out: 8 bits are not supported"),
    "llm_int8_enable_fp32_cpu_offload": .isLeftOut("leave it out: everything runs on the CPU"),
    "llm_int8_has_fp16_weight": .isLeftOut("leave it out: 8 bits are not supported"),
    "quant_type": .isCalled("bnb_4bit_quant_type"), "use_double_quant": .isCalled("bnb_4bit_use_double_quant"),
    "double_quant": .isCalled("bnb_4bit_use_double_quant"), "blocksize": .isCalled("bnb_4bit_blocksize"),
  ]

  var quantization: WeightQuantization? {
    guard loadIn4bit else { return nil }
    let config = QuantizationConfig(
      bnb4bitQuantType, blocksize: bnb4bitBlocksize, useDoubleQuant: bnb4bitUseDoubleQuant)
    return WeightQuantization(config, skipModules: llmInt8SkipModules)
  }
}

extension QuantizationConfig.QuantType: LuaChoice {}
