import Checkpoints
import Datasets
import Diagnostics
import Files
import Metrics
import Pipelines
import Tasks
import Training

/// What `perigee evaluate` was asked for.
public struct EvaluateCommand {
  public var question = FileQuestion()
  /// Column with what is right: the name of a class, or its number where the model's classes have no names; or a score.
  public var labelColumn = "label"
  /// Of the metrics' confidence intervals; nil: there are none.
  public var bootstrap: BootstrapOptions?

  public init() {}

  /// Rows that are answered together.
  private static let rowsAtATime = 256

  /// The metrics of the model on the file.
  ///
  /// - Throws: `EngineError` with the place for a label that is none of the model's.
  public func run() throws -> FileEvaluation {
    let trained = try question.trained()
    guard trained.type is any SequenceTaskType else {
      throw EngineError(
        .argument, "evaluate: the model is \(trained.type.name), and gives no labels",
        hint: "write the texts with 'perigee predict', and compare them with 'perigee score'")
    }
    let file = try question.file(question.content(), more: [labelColumn])
    let predictor = try Predictor(trained, maxLength: question.maxLength ?? FileQuestion.classifierMaxLength)
    let labels = trained.type is Regression ? nil : predictor.labels
    let references = try file.records.map { record in
      do { return try Self.reference(record.values.last ?? "", labels) } catch let error as EngineError {
        throw error.at("\(question.name):\(record.line)")
      }
    }
    var predictions: [Double] = []
    for start in stride(from: 0, to: file.records.count, by: Self.rowsAtATime) {
      try Interrupt.check()
      let rows = file.records[start..<min(start + Self.rowsAtATime, file.records.count)]
      predictions += try predictor.predictions(for: rows.map { Predictor.Input($0.values.dropLast()) }).map {
        switch $0 {
        case .label(_, let index, _): Double(index)
        case .score(let score): score
        }
      }
    }
    return try FileEvaluation(labels: labels, predictions: predictions, references: references, bootstrap)
  }

  /// What a metric takes for a label: a class by its place, or a score. `labels`: of the classes; nil: it is a score.
  private static func reference(_ text: String, _ labels: [String]?) throws -> Double {
    guard let labels else {
      guard let score = Double(text), score.isFinite else {
        throw EngineError(.data, "'\(text.prefix(60))' is no number, but the model gives a score")
      }
      return score
    }
    if let place = labels.firstIndex(of: text) { return Double(place) }
    if HuggingFaceConfig.arePlaceholders(labels), let number = Int(text), labels.indices.contains(number) { return Double(number) }
    throw EngineError(
      .data, "'\(text.prefix(60))' is none of the model's labels: \(labelList(labels))", hint: suggestion(for: text, among: labels))
  }
}

/// How what a model says about a file compares with its labels.
public struct FileEvaluation {
  /// A metric's value, and where it lies for 95 of 100 corpora that are drawn from the rows.
  struct Score {
    let name: String
    let value: Double
    let interval: BootstrapInterval?
  }

  let count: Int
  let scores: [Score]
  /// Names of the classes; empty for a regression.
  let labels: [String]
  /// How often a class, by row, was taken for another, by column.
  let confusion: [[Int]]

  init(labels: [String]?, predictions: [Double], references: [Double], _ bootstrap: BootstrapOptions?) throws {
    count = predictions.count
    self.labels = labels ?? []
    let fitting = MetricCatalogue.metrics.filter { (try? $0.requireFit(classes: labels?.count)) != nil }
    scores = try fitting.map { metric in
      let interval = try bootstrap.map { options in
        try BootstrapInterval(rows: predictions.count, options) { rows in
          try metric(predictions: rows.map { predictions[$0] }, references: rows.map { references[$0] })
        }
      }
      return Score(name: metric.name, value: try metric(predictions: predictions, references: references), interval: interval)
    }
    var confusion = [[Int]](repeating: [Int](repeating: 0, count: self.labels.count), count: self.labels.count)
    if labels != nil { for (found, right) in zip(predictions, references) { confusion[Int(right)][Int(found)] += 1 } }
    self.confusion = confusion
  }

  /// Precision, recall and F1 of a class, 0 where they are undefined, and how many rows have it.
  private func facts(of label: Int) -> [(name: String, value: JSONValue)] {
    let (hits, found, support) = (confusion[label][label], confusion.reduce(0) { $0 + $1[label] }, confusion[label].reduce(0, +))
    func share(_ whole: Int) -> Double { whole == 0 ? 0 : Double(hits) / Double(whole) }
    let f1 = found + support == 0 ? 0 : 2 * Double(hits) / Double(found + support)
    return [("precision", .double(share(found))), ("recall", .double(share(support))), ("f1", .double(f1)), ("support", .int(support))]
  }

  /// Tables.
  public var text: String {
    let hasIntervals = scores.contains { $0.interval != nil }
    let metrics = Table(
      columns: [Table.Column("metric"), Table.Column("value", decimals: 4)]
        + (hasIntervals ? [Table.Column("2.5 %", decimals: 4), Table.Column("97.5 %", decimals: 4)] : []),
      rows: scores.map { score in
        [.string(score.name), .double(score.value)] + (score.interval.map { [.double($0.low), .double($0.high)] } ?? [])
      })
    var parts = ["\(count) rows\n", metrics.text()]
    if !labels.isEmpty {
      let classes = Table(
        columns: ["class"] + facts(of: 0).map { Table.Column($0.name, decimals: $0.name == "support" ? nil : 4) },
        rows: labels.indices.map { [.string(labels[$0])] + facts(of: $0).map(\.value) })
      let matrix = Table(
        columns: ["right \\ predicted"] + labels.map { Table.Column($0) },
        rows: labels.indices.map { [.string(labels[$0])] + confusion[$0].map { .int($0) } })
      parts += [classes.text(), matrix.text()]
    }
    return String(parts.joined(separator: "\n").dropLast())
  }

  /// The same as one object.
  public var json: String {
    var object: JSONObject = ["rows": .int(count)]
    object["metrics"] = .object(
      JSONObject(
        scores.map { score in
          var members: [(String, JSONValue)] = [("value", .double(score.value))]
          if let interval = score.interval {
            members += [("low", .double(interval.low)), ("high", .double(interval.high)), ("resamples", .int(interval.resamples))]
          }
          return (score.name, .object(JSONObject(members)))
        }))
    if !labels.isEmpty {
      object["classes"] = .object(JSONObject(labels.indices.map { (labels[$0], .object(JSONObject(facts(of: $0).map { ($0.name, $0.value) }))) }))
      object["confusion"] = .object(
        JSONObject(
          labels.indices.map { right in
            (labels[right], .object(JSONObject(labels.indices.map { (labels[$0], .int(confusion[right][$0])) })))
          }))
    }
    return JSONValue.object(object).encoded(.indented)
  }
}
