import Datasets
import Diagnostics
import Foundation
import Generation
import Metrics
import Tasks
import TransformerModels

/// What a model is asked to write for a set: each prompt once, with all texts that the set has for it.
public struct PromptSet: Sendable {
  /// In the order in which the set first has them.
  public let prompts: [String]
  /// Of each prompt, in the set's order: examples with the same prompt are references of one another.
  public let references: [[String]]

  /// Throws where an example is no prompt with a text that should follow.
  public init(_ split: Split) throws {
    guard split.examples.allSatisfy({ if case .texts = $0.target { true } else { false } }) else {
      throw EngineError(
        .argument, "generation: \(split.path): its examples are texts without prompts",
        hint: "give the task columns for what the model reads and for what it should write")
    }
    let grouped = split.examples.grouped
    (prompts, references) = (grouped.map(\.text), grouped.map(\.references))
  }
}

/// A model writes what it should for an evaluation set, and metrics compare that with the set's own texts.
public struct TextEvaluation {
  public let set: PromptSet
  private let generator: TextGenerator
  private let metrics: [Metric]
  private let functions: TrainerFunctions
  /// The prompts as the model reads them.
  private let tokens: [[Int32]]

  /// Throws where the model writes no text, or where a prompt does not fit into it.
  ///
  /// - Parameter options: those of `TrainingArguments.generation`; draws begin at the arguments' seed where they have none.
  public init(
    _ model: TrainableModel, _ task: TrainingTask, _ split: Split, _ options: GenerationOptions, _ arguments: TrainingArguments,
    _ functions: TrainerFunctions
  ) throws {
    guard options.numReturnSequences == 1 else {
      throw EngineError(
        .argument, "generation: num_return_sequences is \(options.numReturnSequences), but one text for each prompt is compared",
        hint: "leave it out; model:generate gives several")
    }
    set = try PromptSet(split)
    generator = try TextGenerator(
      model.network, model.tokenizer, options, seed: arguments.usedSeed, processor: functions.logitsProcessor)
    (metrics, self.functions) = (try task.textMetrics, functions)
    tokens = try generator.encoded(set.prompts, maxLength: arguments.maxLength)
  }

  /// The text for each prompt of the set, in its order.
  func write(onText: TextObserver?) throws -> [WrittenText] {
    var texts = [WrittenText?](repeating: nil, count: set.prompts.count)
    var (done, tokens) = (0, 0)
    onText?(0, texts.count, 0)
    try write(Array(texts.indices)) { place, text in
      texts[place] = text
      (done, tokens) = (done + 1, tokens + text.tokens.count)
      onText?(done, texts.count, tokens)
    }
    return texts.compactMap(\.self)
  }

  /// The text for each of some prompts, by their places in `set`.
  ///
  /// `finished`: called whenever one is there, with its place.
  public func write(_ places: [Int], finished: (Int, WrittenText) throws -> Void) throws {
    try generator.generate(tokens: places.map { tokens[$0] }, numbers: places) { index, results in
      if let text = results.first { try finished(places[index], text) }
    }
  }

  /// The task's metrics of texts by name, without "eval_". Spaces around texts and references do not count.
  public func scores(of texts: [String]) throws -> [String: Double] {
    guard !metrics.isEmpty else { return [:] }
    let scored = try ScoredTexts(hypotheses: texts.map(trimmed), references: set.trimmedReferences)
    return Dictionary(uniqueKeysWithValues: try metrics.map { ($0.name, try $0.score(scored).score.value) })
  }

  /// The task's metrics of texts, and those of a script.
  func scores(of written: [WrittenText]) throws -> [String: Double] {
    let own = try scores(of: written.map(\.text))
    let predictions = WrittenPredictions(
      texts: written.map { trimmed($0.text) }, references: set.trimmedReferences, tokens: written.map(\.tokens))
    return own.merging(try functions.textMetrics?(predictions) ?? [:]) { $1 }
  }
}

/// What a model wrote for an evaluation set, and what the set has for each prompt: without white space at the ends of texts.
public struct WrittenPredictions: Sendable {
  public let texts: [String]
  public let references: [[String]]
  /// Of each text, with the one that ended it if one did.
  public let tokens: [[Int32]]
}

private func trimmed(_ text: String) -> String { text.trimmingCharacters(in: .whitespacesAndNewlines) }

extension PromptSet {
  fileprivate var trimmedReferences: [[String]] { references.map { $0.map(trimmed) } }
}

extension TrainingTask {
  /// Those of its metrics that compare texts which a model writes.
  public var textMetrics: [Metric] { get throws { try metrics.filter(\.readsTexts) } }

  /// What there is to know about how these are computed, which may depend on what is installed: part of a result's key.
  public var textRemarks: [String] {
    get throws { try textMetrics.flatMap { metric in try (metric.textScorer?.remarks() ?? []).map { "\(metric.name): \($0)" } } }
  }

  /// The same, and what the model's files say about writing that the options do not.
  public func textRemarks(_ network: TransformerModel, _ options: GenerationOptions) throws -> [String] {
    try textRemarks + [network.remark(on: options)].compactMap(\.self)
  }

  /// The others: an evaluation computes them from its batches.
  var batchMetrics: [Metric] { get throws { try metrics.filter { !$0.readsTexts } } }

  /// Names of what an evaluation computes of one set, without "eval_".
  ///
  /// - Parameter writes: whether the model writes texts in it.
  public func evaluatedNames(writes: Bool) throws -> [String] {
    let own = try batchMetrics.map(\.name)
    return ["loss"] + own + (own.count > 1 ? [combinedName] : []) + (writes ? try textMetrics.map(\.name) : [])
  }
}

extension Trainer {
  /// What the first evaluation set should give as texts: what a check can call a script's metrics with. nil where there is no set.
  public static func writtenReferences(_ model: TrainableModel, _ task: TrainingTask) throws -> WrittenPredictions? {
    guard let split = task.evaluation.first else { return nil }
    let set = try PromptSet(split)
    let texts = set.references.map { $0.first ?? "" }
    return WrittenPredictions(
      texts: texts.map(trimmed), references: set.trimmedReferences,
      tokens: try texts.map { try model.tokenizer.encode($0, addSpecialTokens: false).ids })
  }

  /// Throws where the model cannot be evaluated by what it writes: before the first step.
  static func checkGeneration(
    _ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments, _ functions: TrainerFunctions
  ) throws {
    guard let options = arguments.generation else {
      guard functions.logitsProcessor == nil else {
        throw EngineError(.argument, "logits_processor is given, but nothing is written", hint: "give generation too: generation = { ... }")
      }
      return
    }
    guard try functions.textMetrics != nil || !task.textMetrics.isEmpty else {
      throw EngineError(
        .argument, "generation: task '\(task.name)' has no metric that compares texts",
        hint: "give the task some: metrics = { \"rougeL\" }; or give compute_metrics, or leave generation out")
    }
    for split in task.evaluation { _ = try TextEvaluation(model, task, split, options, arguments, functions) }
  }
}
