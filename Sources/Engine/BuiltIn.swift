import Checkpoints
import Datasets
import Diagnostics
import Files
import Tasks
import Tokenizers
import Training
import TransformerModels

/// The model for machines without one: a tiny RoBERTa with seeded random weights, and a tokenizer trained on the corpus.
package enum BuiltInModel {
  package static let name = "builtin:tiny"

  /// Pairs of the corpus that the tokenizer is trained on; they hold every word of the grammar.
  private static let tokenizerPairs = 4_000

  /// Throws for another name.
  package static func make(
    _ name: String, seed: UInt64, quantization: WeightQuantization? = nil
  ) throws -> (base: PretrainedModel, tokenizer: Tokenizer) {
    let (config, tokenizer) = try parts(name)
    return (try PretrainedModel(config: config, name: name, seed: seed, quantization: quantization), tokenizer)
  }

  /// The model without its weights. Throws for another name.
  package static func parts(_ name: String) throws -> (config: HuggingFaceConfig, tokenizer: Tokenizer) {
    guard name == Self.name else {
      throw EngineError(.argument, "\(name): no such built-in model", hint: suggestion(for: name, among: [Self.name]))
    }
    let texts = BuiltIn.corpus(count: tokenizerPairs).flatMap { [$0.text] + ($0.textPair.map { [$0] } ?? []) }
    let tokenizer = try BPETrainer.train(
      corpus: texts, vocabularySize: BuiltIn.vocabularySize, specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    let config = HuggingFaceConfig(
      JSONObject(BuiltIn.modelConfig(vocabSize: tokenizer.vocabularySize).sorted { $0.key < $1.key }.map { ($0.key, json($0.value)) }),
      path: name)
    return (config, tokenizer)
  }

  private static func json(_ value: any Sendable) -> JSONValue {
    switch value {
    case let value as Int: .int(value)
    case let value as Double: .double(value)
    case let value as String: .string(value)
    case let value as [String]: .array(value.map { .string($0) })
    default: .null
    }
  }
}

/// The tasks for machines without data: generated from a grammar, the same everywhere.
package enum BuiltInTasks {
  private static let generators: [(name: String, task: String, metric: String, make: @Sendable () -> BuiltInTask)] = [
    ("builtin:mnli", "mnli", "accuracy", { BuiltIn.mnli() }), ("builtin:rte", "rte", "accuracy", { BuiltIn.rte() }),
  ]

  /// A task with labels, cut to so many rows. Throws for another name, and where GLUE's task is another one.
  package static func classification(_ name: String, as task: String, maxTrainSamples: Int?, maxEvalSamples: Int?) throws -> TrainingTask {
    guard let generator = generators.first(where: { $0.name == name }) else {
      throw EngineError(.argument, "\(name): no such built-in task", hint: suggestion(for: name, among: generators.map(\.name)))
    }
    guard try GLUE.task(named: task).name == generator.task else {
      throw EngineError(
        .argument, "tasks.glue: '\(name)' is the task '\(generator.task)', not '\(task)'",
        hint: "the built-in tasks are \(generators.map(\.task).joined(separator: " and "))")
    }
    let task = generator.make()
    func split(_ examples: [BuiltInExample], _ part: String, _ limit: Int?) -> Split {
      let chosen = examples.prefix(limit ?? examples.count).enumerated()
      return Split(
        name: part, path: "\(name) \(part)",
        examples: chosen.map { Example([$1.text, $1.textPair], target: .label($1.label), line: $0 + 1) })
    }
    return try TrainingTask(
      TaskDefinition(
        name: name, labels: .classes, labelNames: task.labels, metricNames: [generator.metric],
        metricForBestModel: generator.metric, train: split(task.train, "train", maxTrainSamples),
        evaluation: [split(task.dev, "dev", maxEvalSamples)]))
  }
}
