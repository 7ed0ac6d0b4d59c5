import Datasets
import Diagnostics
import Files
import Metrics
import Tokenizers
import TransformerModels

/// Data and what is to be learnt from it: what a trainer needs to know.
public final class TrainingTask {
  public let name: String
  public let type: any TaskType
  /// Metrics of an evaluation; empty where the loss is the only one.
  public let metricNames: [String]
  /// The metric that selects the best evaluation, without "eval_".
  public let metricForBestModel: String
  /// What the data is, for keys of stages: digests of texts and labels, or the generator's settings.
  public let identity: JSONValue
  /// Examples to train on, and named sets to evaluate on.
  public let train: Split
  public let evaluation: [Split]
  /// Rows that were left out, for reports.
  public let skippedRows: [SkippedRows]
  /// Where tokens are kept from run to run; nil: nowhere.
  public var tokenFolder: String?
  private var cache: [(split: Split, tokenizer: Tokenizer, maxLength: Int, data: EncodedDataset)] = []
  private let makeTokens: ((_ maxLength: Int) -> EncodedDataset)?

  /// - Parameter makeTokens: the training data where it is no text.
  public init(
    name: String, type: any TaskType, metricNames: [String], metricForBestModel: String, identity: JSONValue,
    train: Split, evaluation: [Split] = [], skippedRows: [SkippedRows] = [], makeTokens: ((_ maxLength: Int) -> EncodedDataset)? = nil
  ) {
    self.name = name
    self.type = type
    self.metricNames = metricNames
    self.metricForBestModel = metricForBestModel
    self.identity = identity
    self.train = train
    self.evaluation = evaluation
    self.skippedRows = skippedRows
    self.makeTokens = makeTokens
  }

  /// A task over texts with classes or scores. Throws where a metric says nothing about these.
  public convenience init(_ definition: TaskDefinition) throws {
    let isRegression = definition.problemType == .regression
    for metric in definition.metricNames {
      try MetricCatalogue.metric(named: metric).requireFit(classes: isRegression ? nil : definition.labelNames.count)
    }
    self.init(
      name: definition.name, type: isRegression ? Regression() : SequenceClassification(labels: definition.labelNames),
      metricNames: definition.metricNames, metricForBestModel: definition.metricForBestModel,
      identity: Self.identity(of: definition), train: definition.train, evaluation: definition.evaluation,
      skippedRows: definition.skippedRows)
  }

  /// The content that is trained and evaluated on: texts and labels themselves, however they were read, and which metric says
  /// what is best. What the task is called changes nothing.
  private static func identity(of definition: TaskDefinition) -> JSONValue {
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

  /// A split as token ids; encoded once for each tokenizer and length.
  public func encoded(_ split: Split, tokenizer: Tokenizer, maxLength: Int) throws -> EncodedDataset {
    if let makeTokens { return makeTokens(maxLength) }
    // Names do not tell splits apart, nor do paths: two limits of one file are two splits.
    if let found = cache.first(where: { $0.split == split && $0.tokenizer === tokenizer && $0.maxLength == maxLength }) { return found.data }
    let data = try EncodedDataset(split.examples, source: split.path, tokenizer: tokenizer, maxLength: maxLength, folder: tokenFolder)
    cache.append((split, tokenizer, maxLength, data))
    return data
  }
}
