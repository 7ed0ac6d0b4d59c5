import Diagnostics
import Testing

@testable import Metrics

struct MetricCase: Sendable, CustomTestStringConvertible {
  let metric: String
  let name: String
  let predictions: [Double]
  let references: [Double]
  let expected: Double

  init(
    _ metric: String, _ name: String, _ predictions: [Double], _ references: [Double],
    _ expected: Double
  ) {
    self.metric = metric
    self.name = name
    self.predictions = predictions
    self.references = references
    self.expected = expected
  }

  var testDescription: String { "\(metric): \(name)" }
}

private let binaryPredictions = [0.0, 1, 1, 0, 1, 1, 0, 1]
private let binaryReferences = [0.0, 1, 0, 0, 1, 1, 1, 1]
private let threeClassPredictions = [0.0, 2, 1, 0, 2, 1, 1]
private let threeClassReferences = [0.0, 1, 1, 0, 2, 2, 1]
private let scorePredictions = [0.5, 2.25, 2.25, 4.75, -1.0, 3.5, 2.25]
private let scoreReferences = [1.0, 2, 3, 5, 0, 3, 3]
private let huge = scorePredictions.map { $0 * 1e300 }
private let tiny = scorePredictions.map { $0 * 1e-300 }

/// "sklearn" values: scikit-learn 1.9.1; "scipy" values: SciPy 1.17.1.
///
/// The others are worked by hand.
private let cases: [MetricCase] = [
  MetricCase("accuracy", "sklearn, two classes", binaryPredictions, binaryReferences, 0.75),
  MetricCase(
    "accuracy", "sklearn, three classes", threeClassPredictions, threeClassReferences, 5.0 / 7),
  MetricCase("accuracy", "none right", [1, 0], [0, 1], 0),
  MetricCase("f1", "sklearn", binaryPredictions, binaryReferences, 0.8),
  MetricCase("f1", "sklearn, no positive on either side", [0, 0], [0, 0], 0),
  MetricCase("f1", "sklearn, only false positives", [1, 1], [0, 0], 0),
  MetricCase(
    "f1", "classes are not interchangeable: 1 TP, 1 FP, 2 FN", [1, 1, 0, 0, 0], [1, 0, 1, 1, 0], 0.4
  ),
  MetricCase(
    "matthews_correlation", "sklearn", binaryPredictions, binaryReferences, 0.4666666666666667),
  MetricCase(
    "matthews_correlation", "sklearn, three classes", threeClassPredictions, threeClassReferences,
    0.5625),
  MetricCase("matthews_correlation", "sklearn, one class predicted", [1, 1], [0, 1], 0),
  MetricCase(
    "matthews_correlation", "a class that is predicted and never true: (2·4 − 6) / √(10·8)", [0, 1, 2, 1], [0, 1, 1, 0],
    0.22360679774997896),
  MetricCase(
    "matthews_correlation", "a class that is true and never predicted: (2·4 − 6) / √(8·10)", [0, 1, 1, 0], [0, 1, 2, 1],
    0.22360679774997896),
  MetricCase("matthews_correlation", "one class in the references", [0, 1], [1, 1], 0),
  MetricCase("matthews_correlation", "all right", [0, 1, 1], [0, 1, 1], 1),
  MetricCase("matthews_correlation", "all wrong", [1, 0, 0], [0, 1, 1], -1),
  MetricCase("pearson", "scipy", scorePredictions, scoreReferences, 0.9604216277716372),
  MetricCase("pearson", "scipy, permutation", [1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
  MetricCase(
    "pearson", "the scale does not matter, even where squares overflow", huge, scoreReferences,
    0.9604216277716372),
  MetricCase("pearson", "nor where squares underflow", tiny, scoreReferences, 0.9604216277716372),
  MetricCase("pearson", "falling line", [1, 2, 4], [-1, -2, -4], -1),
  MetricCase("pearson", "constant predictions whose mean rounds", [0.1, 0.1, 0.1], [1, 2, 4], 0),
  MetricCase("pearson", "constant references", [1, 2, 4], [3, 3, 3], 0),
  MetricCase("pearson", "all zero", [0, 0], [0, 0], 0),
  MetricCase("pearson", "one example", [1], [2], 0),
  MetricCase(
    "spearmanr", "scipy, with ties", scorePredictions, scoreReferences, 0.9230769230769231),
  MetricCase("spearmanr", "scipy, permutation", [1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
  MetricCase("spearmanr", "any monotone map is perfect", [1, 10, 100, 1e9], [0, 1, 2, 3], 1),
  MetricCase("spearmanr", "constant predictions", [0.1, 0.1, 0.1], [1, 2, 4], 0),
  MetricCase("mse", "sklearn", scorePredictions, scoreReferences, 0.39285714285714285),
  MetricCase("mse", "exact", [1, 2], [1, 2], 0),
]

@Test(arguments: cases)
func value(_ item: MetricCase) throws {
  let metric = try MetricCatalogue.metric(named: item.metric)
  let value = try metric(predictions: item.predictions, references: item.references)
  #expect(abs(value - item.expected) <= 1e-14, "\(value) instead of \(item.expected)")
}

@Test func perplexityIsTheLossesExponential() throws {
  let scores = try MetricCatalogue.scores(["perplexity"], predictions: [], references: [], loss: 1.5)
  #expect(scores == [MetricScore(name: "perplexity", value: 4.4816890703380645)])
  #expect(throws: EngineError.self) { try Metric.perplexity(predictions: [1], references: [1]) }
  for classes in [2, nil] { #expect(throws: EngineError.self) { try Metric.perplexity.requireFit(classes: classes) } }
}

@Test func everyMetricHasItsCases() {
  for metric in MetricCatalogue.metrics where !metric.readsLoss && !metric.readsTexts {
    #expect(cases.contains { $0.metric == metric.name }, "no case for \(metric.name)")
  }
}

@Test func overflowStaysFinite() throws {
  let largest = Double.greatestFiniteMagnitude
  for metric in MetricCatalogue.metrics where metric.kind == .regression {
    let value = try metric(
      predictions: [largest, -largest, 0], references: [-largest, largest, 1])
    #expect(value.isFinite, "\(metric.name)")
  }
}

@Test func tiedValuesShareTheMeanOfTheirRanks() {
  #expect(averageRanks([3, 1, 3, 2, 3]) == [4, 1, 4, 2, 4])
  #expect(averageRanks([7, 7]) == [1.5, 1.5])
}

/// WebNLG's scripts lower texts before they count edits.
@Test func pyterCountsCaseUnlessItIsAsked() throws {
  let texts = try ScoredTexts(hypotheses: ["The Cat sat", "A dog"], references: [["the cat sat"], ["A dog"]])
  #expect(try Metric.pyter.score(texts).score.value == 1.0 / 3)
  #expect(try Metric.pyter.score(texts, settings: [("lowercase", "true")]).score.value == 0)
}
