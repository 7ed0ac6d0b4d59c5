import Diagnostics

/// How a metric compares texts with references: its options, and what it counts.
///
/// A metric is a function of counts that add up over segments, so that a corpus, and any sample of its segments, is scored
/// without reading a text twice.
public protocol TextScorer: Record, Sendable {
  /// What each segment adds to the counts of the corpus, in an order and of a length of the metric's own.
  func statistics(of texts: ScoredTexts) throws -> [[Double]]

  /// The metric of summed counts, and what it is made of.
  ///
  /// - Parameter sums: the element-wise sums of `statistics` over at least one segment.
  func score(_ sums: [Double]) -> TextScore

  /// What a reader has to know about how this was computed, such as which stages ran.
  func remarks() throws -> [String]
}

extension TextScorer {
  /// No remarks.
  public func remarks() throws -> [String] { [] }

  /// The scorer with the options of another one. What makes it the scorer of its metric is no option and stays: the n of coco_bleu_1,
  /// the unit of rougeL.
  public func with(options: Self) throws(EngineError) -> Self {
    var scorer = self
    for field in Self.fields { try field.set(field.read(options), in: &scorer) }
    return scorer
  }
}

/// A metric of texts, with the numbers that it is made of.
public struct TextScore: Sendable, Equatable {
  /// The metric, finite.
  public let value: Double
  /// What reports show beside it, such as precision and recall.
  public let parts: [MetricScore]

  init(_ value: Double, parts: [MetricScore]) {
    self.value = value
    self.parts = parts
  }

  init(_ value: Double, _ parts: KeyValuePairs<String, Double> = [:]) {
    self.init(value, parts: parts.map { MetricScore(name: $0.key, value: $0.value) })
  }
}

/// Texts of a system, and the references that each is compared with.
public struct ScoredTexts: Sendable {
  /// One per segment.
  public let hypotheses: [String]
  /// At least one for each segment.
  public let references: [[String]]

  /// Pairs texts with references.
  ///
  /// Throws `EngineError` if there is no segment, if the counts differ, or if a segment has no reference.
  public init(hypotheses: [String], references: [[String]]) throws {
    guard hypotheses.count == references.count else {
      throw EngineError(
        .argument, "\(hypotheses.count) hypotheses for \(references.count) segments with references",
        hint: "expected one hypothesis per segment")
    }
    guard !hypotheses.isEmpty else { throw EngineError(.argument, "no hypotheses", hint: "expected at least one segment") }
    if let empty = references.firstIndex(where: \.isEmpty) {
      throw EngineError(.argument, "segment \(empty + 1) has no reference", hint: "expected at least one reference for each hypothesis")
    }
    self.hypotheses = hypotheses
    self.references = references
  }

  /// How many references the segments have: "1", "3", "1 to 4".
  public var referenceCounts: String {
    let counts = references.map(\.count)
    let (least, most) = (counts.min() ?? 0, counts.max() ?? 0)
    return least == most ? "\(least)" : "\(least) to \(most)"
  }

  /// The statistics of each segment, computed one by one; an interruption ends it.
  func map(_ body: (_ hypothesis: [Unicode.Scalar], _ references: [[Unicode.Scalar]]) throws -> [Double]) throws -> [[Double]] {
    var rows: [[Double]] = []
    rows.reserveCapacity(hypotheses.count)
    for (segment, (hypothesis, references)) in zip(hypotheses, references).enumerated() {
      try Interrupt.check()
      do {
        rows.append(try body(Array(hypothesis.unicodeScalars), references.map { Array($0.unicodeScalars) }))
      } catch let error as EngineError where error.kind != .interrupted {
        throw error.at("segment \(segment + 1)")
      }
    }
    return rows
  }
}
