/// What a task's labels are; the raw values are those of `problem_type` in Transformers'
/// configurations.
public enum ProblemType: String, Sendable, CaseIterable {
  /// Exactly one class per example.
  case singleLabelClassification = "single_label_classification"
  /// One real number per example.
  case regression
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

/// A classification or regression task with its data: what training and evaluation need to know.
public struct TaskDefinition: Sendable, Equatable {
  /// Its name in reports: `mnli`, or the name given.
  public let name: String
  /// Classification or regression.
  public let problemType: ProblemType
  /// The classes in the order of their indices; empty for regression.
  public let labelNames: [String]
  /// Names of the metrics to report, at least one.
  public let metricNames: [String]
  /// The metric that ranks checkpoints: one of `metricNames`, or `loss`.
  public let metricForBestModel: String
  /// The training data.
  public let train: Split
  /// The evaluation data; the first split ranks checkpoints.
  ///
  /// Split names are unique.
  public let evaluation: [Split]
  /// Rows of any split that were left out, in order of file and first line.
  public let skippedRows: [SkippedRows]

  /// Outputs of the model's head: the number of classes, or 1 for regression.
  public var numLabels: Int { problemType == .regression ? 1 : labelNames.count }

  /// The files that the examples came from, training first, each once: what a digest of the task's
  /// content has to cover, beside the limits.
  public var sourceFiles: [String] {
    var paths: [String] = []
    for split in [train] + evaluation where !paths.contains(split.path) { paths.append(split.path) }
    return paths
  }

  /// A task; see the properties.
  public init(
    name: String, problemType: ProblemType, labelNames: [String], metricNames: [String],
    metricForBestModel: String, train: Split, evaluation: [Split], skippedRows: [SkippedRows] = []
  ) {
    self.name = name
    self.problemType = problemType
    self.labelNames = labelNames
    self.metricNames = metricNames
    self.metricForBestModel = metricForBestModel
    self.train = train
    self.evaluation = evaluation
    self.skippedRows = skippedRows
  }
}
