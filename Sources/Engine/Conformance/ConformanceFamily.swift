import Checkpoints
import Datasets
import Files
import Tasks
import Tokenizers
import Training
import TransformerModels

/// A model that methods are tried on, a tiny one of its family, and what it learns.
package struct ConformanceFamily {
  package let base: PretrainedModel
  package let tokenizer: Tokenizer
  package let task: TrainingTask

  /// A model of this configuration, but with the tokenizer's vocabulary and with dropout, whose values `seed` gives. It learns the
  /// built-in corpus, in a task of this type.
  package init(_ config: HuggingFaceConfig, for type: any TaskType, _ tokenizer: Tokenizer, seed: UInt64) throws {
    self.tokenizer = tokenizer
    let dropout = try ModelCatalogue.architecture(of: config).dropoutKeys.map { ($0, JSONValue.double(0.1)) }
    base = try PretrainedModel(
      config: config.changed(JSONObject([("vocab_size", .int(tokenizer.vocabularySize))] + dropout)), name: config.path, seed: seed)
    let examples = BuiltIn.corpus(count: 16).enumerated().map { index, pair in
      // Sequences have a label; what answers in tokens has a text to follow.
      type.head.isSequence
        ? Example([pair.text, pair.textPair].compactMap { $0 }, target: .label(index % 2), line: index + 1)
        : Example([pair.text], target: .texts([pair.textPair ?? pair.text]), line: index + 1)
    }
    task = TrainingTask(
      name: "conformance", type: type, metricNames: [], metricForBestModel: "loss", identity: .null,
      train: Split(name: "train", path: "builtin:corpus", examples: examples))
  }

  /// The built-in model, which classifies, and a decoder of its size, which writes: grouped heads, gates, and no biases.
  package static func builtIn(seed: UInt64) throws -> [ConformanceFamily] {
    let (base, tokenizer) = try BuiltInModel.make(BuiltInModel.name, seed: seed)
    let decoder: JSONObject = ["model_type": .string(Llama.modelType), "hidden_act": "silu", "num_key_value_heads": 2]
    return [
      try ConformanceFamily(base.config, for: SequenceClassification(labels: ["LABEL_0", "LABEL_1"]), tokenizer, seed: seed),
      try ConformanceFamily(base.config.changed(decoder), for: CausalLM(), tokenizer, seed: seed),
    ]
  }
}
