import Diagnostics
import LuaHost
import LuaTensors
import NN
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

extension BitsAndBytesConfig: LuaRecord {}
extension QuantizationConfig.QuantType: LuaChoice {}
