import Diagnostics
import TensorCore

/// How weights are held in 4 bits, in the words of Transformers' `BitsAndBytesConfig`: for scripts, and for folders of adapters that
/// were trained on such weights.
public struct BitsAndBytesConfig: Record, Equatable, Sendable {
  public var loadIn4bit = false
  public var bnb4bitQuantType = QuantizationConfig.QuantType.fp4
  public var bnb4bitUseDoubleQuant = false
  public var bnb4bitBlocksize = 64
  public var llmInt8SkipModules: [String] = []

  public static let recordName = "quantization_config"
  public static let fields: [Field<Self>] = [
    .value("load_in_4bit", \.loadIn4bit, "whether weights are held in 4 bits; false leaves them as they are", required: true),
    .value(
      "bnb_4bit_quant_type", \.bnb4bitQuantType, "\"nf4\", quantiles of the normal distribution, which QLoRA uses, or \"fp4\""),
    .value("bnb_4bit_use_double_quant", \.bnb4bitUseDoubleQuant, "hold the blocks' statistics in 8 bits: 4.127 instead of 4.5 bits a weight"),
    .int("bnb_4bit_blocksize", \.bnb4bitBlocksize, "weights that share a statistic: 32, 64, 128, ... 4096", in: 32...4096),
    .value("llm_int8_skip_modules", \.llmInt8SkipModules, "parts of the paths of layers that stay float32, beside the head's"),
  ]

  public static let foreignNames: [String: ForeignName] = [
    "load_in_8bit": .isLeftOut("8 bits are not supported: load_in_4bit = true holds weights in 4"),
    "bnb_4bit_compute_dtype": .isLeftOut("leave it out: products compute in the process's precision, perigee run --precision auto, bf16 or fp32"),
    "bnb_4bit_quant_storage": .isLeftOut("leave it out: codes are held as bytes"),
    "llm_int8_threshold": .isLeftOut("leave it out: 8 bits are not supported"),
    "llm_int8_enable_fp32_cpu_offload": .isLeftOut("leave it out: everything runs on the CPU"),
    "llm_int8_has_fp16_weight": .isLeftOut("leave it out: 8 bits are not supported"),
    "quant_type": .isCalled("bnb_4bit_quant_type"), "use_double_quant": .isCalled("bnb_4bit_use_double_quant"),
    "double_quant": .isCalled("bnb_4bit_use_double_quant"), "blocksize": .isCalled("bnb_4bit_blocksize"),
  ]

  public init() {}
}
