import Diagnostics
import Files
import Foundation

/// A classification or regression task in files of one's own: TSV, CSV or JSONL with named columns.
public struct TableTask: Sendable {
  /// The training file.
  public var train: String
  /// Evaluation files, the one that ranks checkpoints first; may be empty.
  public var evaluation: [String] = []
  /// The format of all files; nil (default) tells each file's by its extension.
  public var format: TableFormat?
  /// The column of the text, or of the first text of a pair.
  public var textColumn: String
  /// The column of the second text; nil (default) for single texts.
  public var textPairColumn: String?
  /// The column of the class or the score.
  public var labelColumn: String
  /// Classification (default) or regression.
  public var labelKind = LabelKind.classes
  /// The classes as the files spell them, in the order of their indices.
  ///
  /// Nil (default): those of the training file, sorted, as numbers if all are integers. Not for
  /// regression.
  public var labelNames: [String]?
  /// Labels whose rows are left out and counted, such as SNLI's `-`; default none.
  public var skippedLabels: [String] = []
  /// Metrics to report.
  ///
  /// Nil (default): accuracy, or pearson and spearmanr for regression.
  public var metricNames: [String]?
  /// One of the metrics, or `loss`.
  ///
  /// Nil (default): the first metric.
  public var metricForBestModel: String?
  /// The task's name in reports.
  ///
  /// Nil (default): the name of the training file, without its ending.
  public var name: String?
  /// How many examples to keep; default all.
  public var limit = RowLimit()

  /// A task with defaults for all but its file and columns.
  public init(train: String, textColumn: String, labelColumn: String) {
    self.train = train
    self.textColumn = textColumn
    self.labelColumn = labelColumn
  }

  /// Reads the files.
  ///
  /// - Throws: `EngineError` for options that contradict each other, missing files and columns, and
  ///   rows that cannot be read; the latter with file and line.
  public func read() throws -> TaskDefinition {
    try limit.validate()
    try validateColumns()
    let metrics = try validatedMetrics()
    let trainRows = try rows(of: train)
    let classes = try classNames(in: trainRows)
    let reader = SplitReader(hasPairs: textPairColumn != nil, labels: labelRule(classes))
    let trainSplit = try reader.split(
      named: FilePath.stem(of: train), path: train, rows: trainRows, limit: limit.train, seed: limit.seed)
    var splits: [Split] = []
    var skipped = trainSplit.skipped
    for path in evaluation {
      let result = try reader.split(
        named: uniqueName(FilePath.stem(of: path), among: splits.map(\.name)), path: path,
        rows: try rows(of: path), limit: limit.evaluation, seed: limit.seed)
      splits.append(result.split)
      skipped += result.skipped
    }
    return TaskDefinition(
      name: name ?? FilePath.stem(of: train), labels: labelKind, labelNames: classes,
      metricNames: metrics, metricForBestModel: metricForBestModel ?? metrics.first ?? "loss",
      train: trainSplit.split, evaluation: splits, skippedRows: skipped)
  }

  private var columns: [String] {
    [textColumn] + (textPairColumn.map { [$0] } ?? []) + [labelColumn]
  }

  /// Malformed rows are refused before labels are looked at, which may not be labels in such a
  /// file.
  private func rows(of path: String) throws -> [Row] {
    let format = try format ?? TableFormat(path: path)
    let rows = try readRows(path, format: format, columns: .named(columns))
    for row in rows {
      if case .malformed(let problem) = row.content { throw malformed(problem, row, path) }
    }
    return rows
  }

  private func labelRule(_ classes: [String]) -> LabelRule {
    guard labelKind == .classes else { return .score(range: nil) }
    var indices: [String: Int] = [:]
    for (index, name) in classes.enumerated() { indices[name] = index }
    return .classes(names: classes, indices: indices, skipped: Set(skippedLabels))
  }

  private func classNames(in rows: [Row]) throws -> [String] {
    guard labelKind == .classes else {
      guard labelNames == nil, skippedLabels.isEmpty else {
        throw EngineError(.argument, "label names and skipped labels are not for regression")
      }
      return []
    }
    guard let labelNames else {
      let labels = rows.lazy.compactMap { row -> String? in
        guard case .values(let values) = row.content, let label = values.last else { return nil }
        return skippedLabels.contains(label.trimmingCharacters(in: .whitespaces)) ? nil : label
      }
      return try sortedClasses(labels, path: train, column: labelColumn)
    }
    guard labelNames.count >= 2, Set(labelNames).count == labelNames.count else {
      throw EngineError(
        .argument, "label names: expected two or more different names, got [\(listing(labelNames))]"
      )
    }
    return labelNames
  }

  private func validateColumns() throws {
    guard Set(columns).count == columns.count else {
      throw EngineError(
        .argument, "text and label columns: expected different columns, got \(listing(columns))")
    }
  }

  private func validatedMetrics() throws -> [String] {
    let metrics =
      metricNames ?? (labelKind == .scores ? ["pearson", "spearmanr"] : ["accuracy"])
    guard !metrics.isEmpty else { throw EngineError(.argument, "metrics: expected at least one") }
    if let best = metricForBestModel, best != "loss", !metrics.contains(best) {
      throw EngineError(
        .argument, "metric_for_best_model: '\(best)' is not among the task's metrics",
        hint: suggestion(for: best, among: metrics + ["loss"]))
    }
    return metrics
  }
}

/// `name`, with `_2`, `_3` and so on behind it where splits of other folders have it already.
private func uniqueName(_ name: String, among taken: [String]) -> String {
  guard taken.contains(name) else { return name }
  var number = 2
  while taken.contains("\(name)_\(number)") { number += 1 }
  return "\(name)_\(number)"
}
