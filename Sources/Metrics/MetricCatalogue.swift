import Diagnostics

/// All metrics, by name.
public enum MetricCatalogue {
  /// Every metric.
  ///
  /// A new one is a file of its own and a line here.
  public static let metrics: [Metric] =
    [
      .accuracy,
      .f1,
      .matthewsCorrelation,
      .pearson,
      .spearmanr,
      .mse,
      .perplexity,
      .sacrebleu,
      .multiBLEU,
      .multiBLEUDetok,
      .e2eBLEU,
      .nist,
      .rouge1,
      .rouge2,
      .rougeL,
      .rougeLsum,
      .cocoRougeL,
      .cider,
      .chrf,
      .chrfpp,
      .ter,
      .pyter,
      .meteor,
    ] + Metric.cocoBLEU

  /// Names under which the field means one of several metrics, with what to choose from.
  private static let families = [
    "bleu": "take sacrebleu (WMT), e2e_bleu (E2E), multi_bleu_detok (WebNLG, DART), multi_bleu (tokenised texts) or coco_bleu_4",
    "rouge": "take rouge1, rouge2, rougeL, rougeLsum, or coco_rouge_l for captions",
    "chrf++": "its name here is chrfpp",
  ]

  /// The names of the metrics of texts, for messages.
  static var textMetricNames: String { metrics.filter(\.readsTexts).map(\.name).joined(separator: ", ") }

  /// The metric called `name`.
  ///
  /// - Throws: `EngineError` with the nearest name, if there is no such metric.
  public static func metric(named name: String) throws(EngineError) -> Metric {
    if let metric = metrics.first(where: { $0.name == name }) { return metric }
    let hint = families[name.lowercased()] ?? suggestion(for: name, among: metrics.map(\.name))
    throw EngineError(.argument, "no metric '\(name)'", hint: hint)
  }

  /// Whether more of what an evaluation reports is better; nil for a name that is none of a task's.
  ///
  /// - Parameter name: a metric, `loss`, `combined`, or one of these with the suffix of a further evaluation set, with or
  ///   without "eval_" in front: "eval_accuracy_mm".
  public static func greaterIsBetter(_ name: String) -> Bool? {
    let bare = EvaluationName.bare(name)
    let known = metrics.map { ($0.name, $0.greaterIsBetter) } + [("loss", false), (combinedName, true)]
    return known.first { bare == $0.0 || bare.hasPrefix($0.0 + "_") }?.1
  }

  /// The values of several metrics over the same examples, in the order asked.
  ///
  /// Where there is more than one, their mean follows as `combined`, as GLUE reports MRPC, QQP and
  /// STS-B.
  ///
  /// - Parameters:
  ///   - names: names of metrics, at least one, each once.
  ///   - loss: the mean loss, for metrics of that; nil: unknown.
  ///   - predictions: class indices or scores, one per example.
  ///   - references: the true class indices or scores, in the same order.
  /// - Returns: one score per name, then `combined` if there are several.
  /// - Throws: `EngineError` for an unknown or repeated name, or what the metrics throw.
  public static func scores(
    _ names: [String], predictions: [Double], references: [Double], loss: Double? = nil
  ) throws -> [MetricScore] {
    guard !names.isEmpty else { throw EngineError(.argument, "no metrics given") }
    var scores: [MetricScore] = []
    for name in names {
      guard !scores.contains(where: { $0.name == name }) else {
        throw EngineError(.argument, "metric '\(name)' is given twice")
      }
      let metric = try metric(named: name)
      let value: Double
      if case .loss(let compute) = metric.computation, let loss {
        value = compute(loss)
      } else {
        value = try metric(predictions: predictions, references: references)
      }
      scores.append(MetricScore(name: name, value: value))
    }
    if scores.count > 1 {
      scores.append(MetricScore(name: combinedName, value: combined(scores.map(\.value))))
    }
    return scores
  }
}

/// The value of one metric.
public struct MetricScore: Sendable, Equatable {
  /// The metric's name, or `combined`.
  public let name: String
  /// Its value, finite.
  public let value: Double

  /// A score called `name`.
  public init(name: String, value: Double) {
    self.name = name
    self.value = value
  }
}
