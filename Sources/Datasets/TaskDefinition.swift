import Diagnostics

/// What a column of labels holds.
public enum LabelKind: Sendable {
  /// Exactly one class per example.
  case classes
  /// One real number per example.
  case scores
}

/// Rows of a file that were left out, for one reason.
public struct SkippedRows: Sendable, Equatable {
  /// The file.
  public let path: String
  /// Why, such as "label '-'".
  public let reason: String
  /// How many rows.
  public var count: Int
  /// The first of them, counted from 1.
  public let firstLine: Int

  /// A group of skipped rows; see the properties.
  public init(path: String, reason: String, count: Int, firstLine: Int) {
    self.path = path
    self.reason = reason
    self.count = count
    self.firstLine = firstLine
  }
}

/// A task with its data: what training and evaluation need to know.
public struct TaskDefinition: Sendable, Equatable {
  /// Its name in reports: `mnli`, or the name given.
  public let name: String
  /// What the examples' labels are; nil for texts alone.
  public let labels: LabelKind?
  /// The classes in the order of their indices; empty where there are none.
  public let labelNames: [String]
  /// Names of the metrics to report.
  public let metricNames: [String]
  /// The metric that ranks checkpoints: one of `metricNames`, or `loss`.
  public let metricForBestModel: String
  /// The training data.
  public private(set) var train: Split
  /// The evaluation data; the first split ranks checkpoints.
  ///
  /// Split names are unique.
  public private(set) var evaluation: [Split]
  /// Rows of any split that were left out, in order of file and first line.
  public let skippedRows: [SkippedRows]

  /// A task; see the properties.
  public init(
    name: String, labels: LabelKind?, labelNames: [String] = [], metricNames: [String],
    metricForBestModel: String, train: Split, evaluation: [Split], skippedRows: [SkippedRows] = []
  ) {
    self.name = name
    self.labels = labels
    self.labelNames = labelNames
    self.metricNames = metricNames
    self.metricForBestModel = metricForBestModel
    self.train = train
    self.evaluation = evaluation
    self.skippedRows = skippedRows
  }
  /// The task with those examples alone, in every split, that `keep` wants. Throws where a split has none left.
  public func filtered(_ keep: (Example) throws -> Bool) throws -> TaskDefinition {
    func filter(_ split: Split) throws -> Split {
      var split = split
      split.examples = try split.examples.filter(keep)
      guard !split.examples.isEmpty else { throw EngineError(.data, "\(split.path): the filter leaves no example") }
      return split
    }
    var result = self
    result.train = try filter(train)
    result.evaluation = try evaluation.map(filter)
    return result
  }
}
