import Diagnostics
import Files
import Foundation

/// The nine tasks of GLUE (Wang and others 2018, arXiv 1804.07461), read from its folder layout: one
/// folder per task with `train.tsv`, `dev.tsv`.
public enum GLUE {
  /// Every task.
  ///
  /// Class order, class names and metrics are those of the Hugging Face hub's `glue` data set, so
  /// that class indices agree with checkpoints trained on it.
  public static let tasks: [GLUETask] = [
    GLUETask(
      "cola", folder: "CoLA", columns: .positions([3, 1], count: 4),
      classes: [("0", "unacceptable"), ("1", "acceptable")], metrics: ["matthews_correlation"]),
    GLUETask(
      "sst2", folder: "SST-2", columns: .named(["sentence", "label"]),
      classes: [("0", "negative"), ("1", "positive")], metrics: ["accuracy"]),
    GLUETask(
      "mrpc", folder: "MRPC", columns: .named(["#1 String", "#2 String", "Quality"]),
      classes: [("0", "not_equivalent"), ("1", "equivalent")], metrics: ["accuracy", "f1"]),
    GLUETask(
      "stsb", folder: "STS-B", columns: .named(["sentence1", "sentence2", "score"]),
      scores: 0...5, metrics: ["pearson", "spearmanr"]),
    GLUETask(
      "qqp", folder: "QQP", columns: .named(["question1", "question2", "is_duplicate"]),
      classes: [("0", "not_duplicate"), ("1", "duplicate")], metrics: ["accuracy", "f1"],
      // The official training file has lines that break inside a question.
      skipsMalformedRows: true),
    GLUETask(
      "mnli", folder: "MNLI", columns: .named(["sentence1", "sentence2", "gold_label"]),
      classes: [
        ("entailment", "entailment"), ("neutral", "neutral"), ("contradiction", "contradiction"),
      ],
      skippedLabels: ["-"],  // pairs whose annotators agree on no label
      metrics: ["accuracy"], devFiles: ["dev_matched.tsv"],
      optionalDevFiles: ["dev_mismatched.tsv"]),
    GLUETask(
      "qnli", folder: "QNLI", columns: .named(["question", "sentence", "label"]),
      classes: [("entailment", "entailment"), ("not_entailment", "not_entailment")],
      metrics: ["accuracy"]),
    GLUETask(
      "rte", folder: "RTE", columns: .named(["sentence1", "sentence2", "label"]),
      classes: [("entailment", "entailment"), ("not_entailment", "not_entailment")],
      metrics: ["accuracy"]),
    GLUETask(
      "wnli", folder: "WNLI", columns: .named(["sentence1", "sentence2", "label"]),
      classes: [("0", "not_entailment"), ("1", "entailment")], metrics: ["accuracy"]),
  ]

  /// The task called `name`, in any case, with or without its dash: `sst2`, `SST-2`, `sts_b`.
  ///
  /// - Throws: `EngineError` with the nearest name, if GLUE has no such task.
  public static func task(named name: String) throws -> GLUETask {
    let key = name.lowercased().filter { $0 != "-" && $0 != "_" }
    if let task = tasks.first(where: { $0.name == key }) { return task }
    throw EngineError(
      .argument, "GLUE has no task '\(name)'", hint: suggestion(for: key, among: tasks.map(\.name)))
  }

  /// Reads a task's training and dev data.
  ///
  /// - Parameters:
  ///   - name: the task, in any case, with or without its dash.
  ///   - folder: the task's folder, such as `glue/MNLI`.
  ///   - trainFile: the training file in that folder, default `train.tsv`. Columns are found by
  ///     their names, so a file with fewer of them will do (except for CoLA, which has no header).
  ///   - limit: how many examples to keep; default all.
  /// - Returns: the task with its data.
  /// - Throws: `EngineError` for an unknown task, missing files and malformed content.
  public static func read(
    _ name: String, folder: String, trainFile: String = "train.tsv", limit: RowLimit = RowLimit()
  ) throws -> TaskDefinition {
    try task(named: name).read(folder: folder, trainFile: trainFile, limit: limit)
  }
}

/// What distinguishes one GLUE task from the others.
public struct GLUETask: Sendable {
  /// Its name on the hub, such as `sst2`.
  public let name: String
  /// The name of its folder in GLUE's layout, such as `SST-2`.
  public let folderName: String
  /// Classes, or scores for STS-B.
  public let labelKind: LabelKind
  /// The classes in the order of their indices; empty for regression.
  public let labelNames: [String]
  /// The metrics to report; the first ranks checkpoints.
  public let metricNames: [String]
  let columns: ColumnSelection
  let labels: LabelRule
  let devFiles: [String]
  let optionalDevFiles: [String]
  let skipsMalformedRows: Bool

  /// A classification task; `classes` gives each class's spelling in the files and its name.
  init(
    _ name: String, folder: String, columns: ColumnSelection,
    classes: [(spelling: String, name: String)], skippedLabels: Set<String> = [],
    metrics: [String], devFiles: [String] = ["dev.tsv"], optionalDevFiles: [String] = [],
    skipsMalformedRows: Bool = false
  ) {
    var indices: [String: Int] = [:]
    for (index, item) in classes.enumerated() { indices[item.spelling] = index }
    self.name = name
    self.folderName = folder
    self.labelKind = .classes
    self.labelNames = classes.map(\.name)
    self.metricNames = metrics
    self.columns = columns
    self.labels = .classes(
      names: classes.map(\.spelling), indices: indices, skipped: skippedLabels)
    self.devFiles = devFiles
    self.optionalDevFiles = optionalDevFiles
    self.skipsMalformedRows = skipsMalformedRows
  }

  /// A regression task.
  init(
    _ name: String, folder: String, columns: ColumnSelection, scores: ClosedRange<Double>,
    metrics: [String]
  ) {
    self.name = name
    self.folderName = folder
    self.labelKind = .scores
    self.labelNames = []
    self.metricNames = metrics
    self.columns = columns
    self.labels = .score(range: scores)
    self.devFiles = ["dev.tsv"]
    self.optionalDevFiles = []
    self.skipsMalformedRows = false
  }

  /// Whether examples are pairs of texts.
  public var hasPairs: Bool {
    switch columns {
    case .named(let names): names.count == 3
    case .positions(let positions, _): positions.count == 3
    }
  }

  func read(folder: String, trainFile: String, limit: RowLimit) throws -> TaskDefinition {
    try limit.validate()
    try requireTaskFolder(folder, trainFile: trainFile)
    let present = optionalDevFiles.filter { fileExists(FilePath.join(folder, $0)) }
    let reader = SplitReader(
      hasPairs: hasPairs, labels: labels, skipsMalformedRows: skipsMalformedRows)
    func read(_ file: String, limit count: Int?) throws -> (split: Split, skipped: [SkippedRows]) {
      let path = FilePath.join(folder, file)
      let rows = try readRows(path, format: .tsv, columns: columns)
      return try reader.split(
        named: FilePath.stem(of: path), suffix: optionalDevFiles.contains(file) ? "_mm" : nil, path: path, rows: rows, limit: count, seed: limit.seed)
    }
    let train = try read(trainFile, limit: limit.train)
    let evaluation = try (devFiles + present).map { try read($0, limit: limit.evaluation) }
    return TaskDefinition(
      name: name, labels: labelKind, labelNames: labelNames, metricNames: metricNames,
      metricForBestModel: metricNames[0], train: train.split, evaluation: evaluation.map(\.split),
      skippedRows: train.skipped + evaluation.flatMap(\.skipped))
  }

  /// A folder one level too high is the likeliest mistake.
  private func requireTaskFolder(_ folder: String, trainFile: String) throws {
    try FilePath.require(folder)
    guard fileExists(folder) else {
      throw EngineError(
        .file, "\(folder): no such folder",
        hint: "expected the folder of \(name) with \(trainFile) in it")
    }
    let inner = FilePath.join(folder, folderName)
    if !fileExists(FilePath.join(folder, trainFile)), fileExists(inner) {
      throw EngineError(
        .file, "\(folder): no \(trainFile) in this folder", hint: "did you mean '\(inner)'?")
    }
  }
}
