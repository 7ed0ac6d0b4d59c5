import Diagnostics

/// The score of a corpus under one metric, as it is reported.
public struct TextReport: Sendable {
  /// The metric's name.
  public let metric: String
  /// Its value.
  public let score: TextScore
  /// The options that were in effect, defaults included, by name.
  public let options: [(name: String, value: String)]
  /// What there is to know about how it was computed.
  public let remarks: [String]
  /// Where the value would lie for other segments of the same kind; nil where that was not asked for.
  public let interval: BootstrapInterval?
}

/// How often a corpus is drawn anew for a confidence interval.
public struct BootstrapOptions: Sendable {
  /// How many corpora are drawn, at least 2.
  public let resamples: Int
  /// Where the draws begin. The default is sacreBLEU's.
  public let seed: UInt64

  /// sacreBLEU's default.
  public static let defaultSeed: UInt64 = 12345

  /// So many corpora from a seed.
  public init(resamples: Int, seed: UInt64 = defaultSeed) {
    (self.resamples, self.seed) = (resamples, seed)
  }
}

extension Metric {
  /// The metric of texts against references.
  ///
  /// - Parameters:
  ///   - settings: the metric's options as texts; those not given have their defaults.
  ///   - bootstrap: how a confidence interval is found; nil: none.
  /// - Throws: `EngineError` for an option that the metric does not have, a metric that reads no texts, or an interruption.
  public func score(
    _ texts: ScoredTexts, settings: [(name: String, value: String)] = [], bootstrap: BootstrapOptions? = nil
  ) throws -> TextReport {
    func configured<Scorer: TextScorer>(_ scorer: Scorer) throws -> any TextScorer {
      var scorer = scorer
      try scorer.set(settings)
      return scorer
    }
    return try score(texts, with: configured(requiredScorer()), bootstrap: bootstrap)
  }

  /// How it compares texts. Throws where it reads none.
  func requiredScorer() throws(EngineError) -> any TextScorer {
    if let textScorer { return textScorer }
    throw EngineError(.argument, "metric '\(name)' does not compare texts", hint: "metrics of texts: \(MetricCatalogue.textMetricNames)")
  }

  /// The metric of texts against references by a scorer of this metric with the options that are wanted.
  public func score(_ texts: ScoredTexts, with scorer: some TextScorer, bootstrap: BootstrapOptions? = nil) throws -> TextReport {
    do {
      let rows = try scorer.statistics(of: texts)
      return TextReport(
        metric: name, score: scorer.score(summed(rows)), options: Self.options(of: scorer), remarks: try scorer.remarks(),
        interval: try bootstrap.map { try BootstrapInterval(rows, $0) { scorer.score($0).value } })
    } catch let error as EngineError where error.kind != .interrupted {
      throw error.at(name)
    }
  }

  private static func options<Scorer: TextScorer>(of scorer: Scorer) -> [(name: String, value: String)] {
    Scorer.fields.compactMap { field in
      switch field.read(scorer) {
      case .null: nil
      case .text(let text): (field.name, text)
      case let value: (field.name, value.briefly)
      }
    }
  }
}

/// The element-wise sums of rows of equal length, at least one.
func summed(_ rows: [[Double]]) -> [Double] {
  var sums = rows[0]
  for row in rows.dropFirst() {
    for column in sums.indices { sums[column] += row[column] }
  }
  return sums
}
