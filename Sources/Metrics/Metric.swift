import Diagnostics

/// A score of predictions against references, such as accuracy.
///
/// Each metric is one file (`extension Metric { static let ... }`) and one line in
/// `MetricCatalogue`.
public struct Metric: Sendable {
  /// The problem type that a metric is for.
  public enum Kind: String, Sendable {
    /// Predictions and references are class indices: 0, 1, ...
    case classification
    /// Predictions and references are real-valued scores, in any unit.
    case regression
    /// What counts is the mean loss of a token.
    case language
    /// Predictions and references are texts.
    case generation
  }

  /// What a metric reads.
  enum Computation: Sendable {
    /// Predictions and references of equal count, at least one, all finite.
    case numbers(@Sendable (_ predictions: [Double], _ references: [Double]) throws -> Double)
    /// The mean loss.
    case loss(@Sendable (Double) -> Double)
    /// Texts, each with its references; the value has the options' defaults.
    case texts(any TextScorer)
  }

  /// Its name in scripts, tables and `metrics.jsonl`; the name that Hugging Face `evaluate` gives
  /// it.
  public let name: String
  /// One line: formula, range, and value where the formula is undefined.
  public let doc: String
  /// The implementation or text whose numbers it reproduces.
  public let reference: String
  /// The problem type that it is for.
  public let kind: Kind
  /// Whether it is defined for two classes alone.
  public let isBinary: Bool
  /// False for errors, where the best model has the lowest value.
  public let greaterIsBetter: Bool
  let computation: Computation

  /// Whether it is computed from the mean loss, without predictions.
  public var readsLoss: Bool { if case .loss = computation { true } else { false } }

  /// How it compares texts with references, by its options' defaults; nil for a metric that reads no texts.
  public var textScorer: (any TextScorer)? { if case .texts(let scorer) = computation { scorer } else { nil } }

  /// Whether it compares texts with references.
  public var readsTexts: Bool { kind == .generation }

  init(
    name: String, doc: String, reference: String, kind: Kind, isBinary: Bool = false, greaterIsBetter: Bool,
    computation: Computation
  ) {
    self.name = name
    self.doc = doc
    self.reference = reference
    self.kind = kind
    self.isBinary = isBinary
    self.greaterIsBetter = greaterIsBetter
    self.computation = computation
  }

  /// A metric of texts.
  init(name: String, doc: String, reference: String, greaterIsBetter: Bool = true, scorer: some TextScorer) {
    self.init(
      name: name, doc: doc, reference: reference, kind: .generation, greaterIsBetter: greaterIsBetter, computation: .texts(scorer))
  }

  /// Throws `EngineError` where the metric says nothing about a task with so many classes; nil: with scores.
  public func requireFit(classes: Int?) throws {
    guard kind == (classes == nil ? .regression : .classification) else {
      throw EngineError(.argument, "metric '\(name)' is for \(kind.rawValue), the task is \(classes == nil ? "a regression" : "a classification")")
    }
    guard !isBinary || classes == 2 else {
      throw EngineError(.argument, "metric '\(name)' is for two classes, the task has \(classes ?? 0)")
    }
  }

  /// The metric's value; never NaN.
  ///
  /// - Parameters:
  ///   - predictions: class indices or scores, one per example.
  ///   - references: the true class indices or scores, in the same order.
  /// - Returns: a finite number in the range that `doc` states.
  /// - Throws: `EngineError` if there is no example, if the counts differ, if a value is NaN or
  ///   infinite, or if a class is not one that the metric is defined for.
  public func callAsFunction(predictions: [Double], references: [Double]) throws -> Double {
    guard predictions.count == references.count else {
      throw EngineError(
        .argument,
        "\(name): \(predictions.count) predictions for \(references.count) references",
        hint: "expected one prediction per reference")
    }
    guard !predictions.isEmpty else {
      throw EngineError(.argument, "\(name): no predictions", hint: "expected at least one example")
    }
    try requireFinite(predictions, "prediction")
    try requireFinite(references, "reference")
    guard case .numbers(let compute) = computation else {
      throw EngineError(.argument, "\(name): computed from \(readsTexts ? "texts" : "the loss"), not from numbers that a model predicts")
    }
    return try compute(predictions, references)
  }

  /// A diverged model's NaN would otherwise vanish in a comparison (accuracy) or poison a table.
  private func requireFinite(_ values: [Double], _ what: String) throws {
    guard let index = values.firstIndex(where: { !$0.isFinite }) else { return }
    throw EngineError(
      .notFinite, "\(name): \(what) \(index) (counted from 0) is \(values[index])",
      hint: "expected a finite number")
  }
}
