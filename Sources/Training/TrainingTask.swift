import Datasets
import Diagnostics
import Files
import Metrics
import TensorCore
import Tokenizers
import TransformerModels

/// Data and how to learn from it: what a trainer needs to know.
public class TrainingTask {
  public let name: String
  /// What a model for the task is built for.
  public let modelTask: ModelTask
  /// Metrics of an evaluation; empty where the loss is the only one.
  public let metricNames: [String]
  /// The metric that selects the best evaluation, without "eval_".
  public let metricForBestModel: String
  /// What the data is, for keys of stages: digests of files, or the generator's settings.
  public let identity: JSONValue
  /// Examples to train on, and named sets to evaluate on.
  public let train: Split
  public let evaluation: [Split]
  /// Rows that were left out, for reports.
  public let skippedRows: [SkippedRows]
  /// Where tokens are kept from run to run; nil: nowhere.
  public var tokenFolder: String?
  private var cache: [(split: Split, tokenizer: Tokenizer, maxLength: Int, data: EncodedDataset)] = []

  init(
    name: String, modelTask: ModelTask, metricNames: [String], metricForBestModel: String, identity: JSONValue,
    train: Split, evaluation: [Split], skippedRows: [SkippedRows] = []
  ) {
    self.name = name
    self.modelTask = modelTask
    self.metricNames = metricNames
    self.metricForBestModel = metricForBestModel
    self.identity = identity
    self.train = train
    self.evaluation = evaluation
    self.skippedRows = skippedRows
  }

  /// Whether `label` changes the tokens of a batch.
  var altersTokens: Bool { false }

  /// Labels for a batch of examples. `draw` names the random draws of masked language modelling.
  func label(_ batch: inout Batch, _ data: EncodedDataset, _ draw: RandomSource, _ arguments: TrainingArguments, _ tokenizer: Tokenizer) throws {
    preconditionFailure("\(Self.self) must override label")
  }

  /// Whether more of the metric is better.
  func greaterIsBetter(_ metric: String) -> Bool {
    MetricCatalogue.greaterIsBetter(metric) ?? false
  }

  /// A split as token ids; encoded once for each tokenizer and length.
  func encoded(_ split: Split, tokenizer: Tokenizer, maxLength: Int) throws -> EncodedDataset {
    // Names do not tell splits apart, nor do paths: two limits of one file are two splits.
    if let found = cache.first(where: { $0.split == split && $0.tokenizer === tokenizer && $0.maxLength == maxLength }) { return found.data }
    let data = try EncodedDataset(split.examples, source: split.path, tokenizer: tokenizer, maxLength: maxLength, folder: tokenFolder)
    cache.append((split, tokenizer, maxLength, data))
    return data
  }
}

/// Classification or regression of texts and pairs of texts.
public final class ClassificationTask: TrainingTask {
  public let problemType: TransformerModels.ProblemType
  public let labelNames: [String]

  /// `identity`: nil takes the digests of the task's files and its limits.
  public init(_ definition: TaskDefinition, identity: JSONValue? = nil) throws {
    problemType = definition.problemType == .regression ? .regression : .singleLabelClassification
    labelNames = definition.labelNames
    for metric in definition.metricNames {
      try MetricCatalogue.metric(named: metric).requireFit(classes: problemType == .regression ? nil : labelNames.count)
    }
    let labels = problemType == .regression ? ["score"] : definition.labelNames
    super.init(
      name: definition.name, modelTask: .sequenceClassification(labels: labels, problemType),
      metricNames: definition.metricNames, metricForBestModel: definition.metricForBestModel,
      identity: try identity ?? Self.identity(of: definition), train: definition.train,
      evaluation: definition.evaluation, skippedRows: definition.skippedRows)
  }

  /// The content that is trained and evaluated on: texts and labels themselves, however they were read, and which metric says
  /// what is best. What the task is called changes nothing.
  private static func identity(of definition: TaskDefinition) throws -> JSONValue {
    func digest(_ split: Split) -> JSONValue {
      let stream = DigestStream()
      for example in split.examples {
        // Lengths keep "ab", "c" apart from "a", "bc".
        let (text, pair) = (Array(example.text.utf8), example.textPair.map { Array($0.utf8) })
        stream.update(Array("\(text.count) \(pair?.count ?? -1) \(example.label ?? .nan)\n".utf8))
        stream.update(text)
        if let pair { stream.update(pair) }
      }
      return .string(stream.finish().hex)
    }
    return [
      "labels": .array(definition.labelNames.map { .string($0) }),
      "metrics": .array(definition.metricNames.map { .string($0) }), "metric_for_best_model": .string(definition.metricForBestModel),
      "train": digest(definition.train),
      // In order: the first set chooses the best weights.
      "evaluation": .array(definition.evaluation.map { [.string($0.name), digest($0)] }),
    ]
  }

  override func label(_ batch: inout Batch, _ data: EncodedDataset, _ draw: RandomSource, _ arguments: TrainingArguments, _ tokenizer: Tokenizer) throws {
    switch problemType {
    case .regression: batch.labels = .scores(batch.examples.map { Float(data.labels[$0]) })
    case .singleLabelClassification: batch.labels = .classes(batch.examples.map { Int32(data.labels[$0]) })
    }
  }
}

/// Masked language modelling: some tokens are hidden, and the model names them.
///
/// Of the chosen tokens 80 % become the mask token, 10 % a random one, 10 % stay. The choice is drawn anew in every
/// epoch; special tokens are never chosen. Paper: Devlin et al. 2019, arXiv 1810.04805, section 3.1.
public final class MaskedLanguageTask: TrainingTask {
  public init(name: String, train: Split, evaluation: [Split], identity: JSONValue) {
    super.init(
      name: name, modelTask: .maskedLM, metricNames: [], metricForBestModel: "accuracy", identity: identity, train: train,
      evaluation: evaluation)
  }

  override var altersTokens: Bool { true }

  override func label(_ batch: inout Batch, _ data: EncodedDataset, _ draw: RandomSource, _ arguments: TrainingArguments, _ tokenizer: Tokenizer) throws {
    guard let mask = tokenizer.maskTokenId else {
      throw EngineError(.data, "masked language modelling: the tokenizer has no mask token")
    }
    let special = data.specialTokens(batch.examples)
    let draws = draw.bits(2 * batch.ids.count)
    let scale = Double(UInt32.max) + 1
    var labels = [Int32](repeating: ignoredLabel, count: batch.ids.count)
    var isEmpty = true
    for i in batch.ids.indices where !special[i] {
      guard Double(draws[2 * i]) / scale < arguments.mlmProbability else { continue }
      (labels[i], isEmpty) = (batch.ids[i], false)
      let action = Double(draws[2 * i + 1]) / scale
      if action < 0.8 {
        batch.ids[i] = mask
      } else if action < 0.9 {
        batch.ids[i] = Int32((action - 0.8) / 0.1 * Double(tokenizer.vocabularySize))
      }
    }
    // A batch without a single chosen token would have no loss.
    if isEmpty, let first = special.firstIndex(of: false) {
      labels[first] = batch.ids[first]
      batch.ids[first] = mask
    }
    batch.labels = .tokens(labels)
  }
}
