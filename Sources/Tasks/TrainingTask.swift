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
  /// Options of those that compare texts.
  let metricOptions: MetricOptions
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
  private var cache: [(split: Split, tokenizer: Tokenizer, lengths: [Int?], data: EncodedDataset)] = []
  private let makeTokens: ((_ maxLength: Int) -> EncodedDataset)?
  /// What it was made from; nil where it is no text.
  private var definition: TaskDefinition?

  /// - Parameter makeTokens: the training data where it is no text.
  public init(
    name: String, type: any TaskType, metricNames: [String], metricOptions: MetricOptions = MetricOptions(), metricForBestModel: String,
    identity: JSONValue, train: Split, evaluation: [Split] = [], skippedRows: [SkippedRows] = [],
    makeTokens: ((_ maxLength: Int) -> EncodedDataset)? = nil
  ) {
    self.name = name
    self.type = type
    self.metricNames = metricNames
    self.metricOptions = metricOptions
    self.metricForBestModel = metricForBestModel
    self.identity = identity
    self.train = train
    self.evaluation = evaluation
    self.skippedRows = skippedRows
    self.makeTokens = makeTokens
  }

  /// The task of data that was read. Throws where a metric says nothing about its labels, and for options of a metric that it has not.
  public convenience init(_ definition: TaskDefinition, type given: (any TaskType)? = nil, metricOptions: MetricOptions = MetricOptions()) throws {
    let kind = TaskTypeCatalogue.sequenceTypes.first { $0.labelKind == definition.labels } ?? SequenceClassification.self
    let names = definition.labelNames
    if given == nil {
      for metric in definition.metricNames { try MetricCatalogue.metric(named: metric).requireFit(classes: names.isEmpty ? nil : names.count) }
    }
    if let other = metricOptions.names.first(where: { !definition.metricNames.contains($0) }) {
      throw EngineError(
        .argument, "metric_options: task '\(definition.name)' has no metric '\(other)'",
        hint: suggestion(for: other, among: definition.metricNames.filter { $0 != "perplexity" }))
    }
    self.init(
      name: definition.name, type: given ?? kind.init(labels: names.isEmpty ? ["score"] : names),
      metricNames: definition.metricNames, metricOptions: metricOptions, metricForBestModel: definition.metricForBestModel,
      identity: Self.identity(of: definition, metricOptions), train: definition.train, evaluation: definition.evaluation,
      skippedRows: definition.skippedRows)
    self.definition = definition
  }

  /// The task with those examples alone, in every set, that `keep` wants. Throws where a set has none left.
  public func filtered(_ keep: (Example) throws -> Bool) throws -> TrainingTask {
    guard let definition else { throw EngineError(.argument, "\(name): has no texts to choose by") }
    return try TrainingTask(definition.filtered(keep), type: type, metricOptions: metricOptions)
  }

  /// The content that is trained and evaluated on: texts and labels themselves, however they were read, and which metric says
  /// what is best. What the task is called changes nothing.
  private static func identity(of definition: TaskDefinition, _ metricOptions: MetricOptions) -> JSONValue {
    func digest(_ split: Split) -> JSONValue {
      let stream = DigestStream()
      for example in split.examples {
        let (text, pair) = (Array(example.text.utf8), example.textPair.map { Array($0.utf8) })
        var (target, texts) = ("nan", [[UInt8]]())
        switch example.target {
        case .none: break
        case .label(let index): target = "\(Double(index))"
        case .score(let score): target = "\(score)"
        case .texts(let all):
          texts = all.map { Array($0.utf8) }
          target = "\(texts.map(\.count))"
        }
        // Lengths keep "ab", "c" apart from "a", "bc".
        stream.update(Array("\(text.count) \(pair?.count ?? -1) \(target)\n".utf8))
        for part in [text, pair ?? []] + texts { stream.update(part) }
      }
      return .string(stream.finish().hex)
    }
    var identity: JSONObject = [
      "labels": .array(definition.labelNames.map { .string($0) }),
      "metrics": .array(definition.metricNames.map { .string($0) }), "metric_for_best_model": .string(definition.metricForBestModel),
      "train": digest(definition.train),
      // In order: the first set chooses the best weights.
      "evaluation": .array(definition.evaluation.map { [.string($0.name), digest($0)] }),
    ]
    let options = metricOptions.configValue.json
    if options != .null { identity["metric_options"] = options }
    return .object(identity)
  }

  /// Its metrics, those of texts with their options. Throws for a name that is no metric's.
  public var metrics: [Metric] { get throws { try metricNames.map { try metricOptions.metric(named: $0) } } }

  /// A split as token ids; encoded once for each tokenizer and lengths, see `EncodedDataset`.
  public func encoded(_ split: Split, tokenizer: Tokenizer, maxLength: Int, maxTargetLength: Int? = nil) throws -> EncodedDataset {
    if let makeTokens { return makeTokens(maxLength) }
    let lengths = [maxLength, maxTargetLength]
    // Names do not tell splits apart, nor do paths: two limits of one file are two splits.
    if let found = cache.first(where: { $0.split == split && $0.tokenizer === tokenizer && $0.lengths == lengths }) { return found.data }
    let data = try EncodedDataset(
      split.examples, source: split.path, for: type, tokenizer: tokenizer, maxLength: maxLength, maxTargetLength: maxTargetLength,
      folder: tokenFolder)
    cache.append((split, tokenizer, lengths, data))
    return data
  }
}
