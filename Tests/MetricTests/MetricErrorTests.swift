import Diagnostics
import Testing

@testable import Metrics

private func message(_ body: () throws -> Void) -> String {
  do {
    try body()
  } catch {
    return "\(error)"
  }
  return "no error"
}

@Test(arguments: MetricCatalogue.metrics.map(\.name))
func badInput(_ name: String) throws {
  let metric = try MetricCatalogue.metric(named: name)
  let table: [(predictions: [Double], references: [Double], expected: String)] = [
    ([], [], "no predictions; expected at least one example"),
    ([1], [1, 0], "1 predictions for 2 references; expected one prediction per reference"),
    ([1, .nan], [1, 0], "prediction 1 (counted from 0) is nan; expected a finite number"),
    ([1, 0], [.infinity, 0], "reference 0 (counted from 0) is inf; expected a finite number"),
  ]
  for row in table {
    let got = message { _ = try metric(predictions: row.predictions, references: row.references) }
    #expect(got == "\(name): \(row.expected)")
  }
}

@Test func f1IsForTwoClasses() {
  let got = message { _ = try Metric.f1(predictions: [0, 2], references: [0, 1]) }
  #expect(got == "f1: class 2.0; f1 is for two classes, 0 and 1; use accuracy")
}

@Test func cataloguedMetricsAreDocumented() {
  let metrics = MetricCatalogue.metrics
  #expect(Set(metrics.map(\.name)).count == metrics.count)
  for metric in metrics {
    #expect(!metric.doc.isEmpty && !metric.reference.isEmpty, "\(metric.name)")
    #expect(metric.greaterIsBetter == !["mse", "perplexity", "ter", "pyter"].contains(metric.name), "\(metric.name)")
  }
}

@Test func unknownMetricNamesTheNearest() {
  #expect(
    message { _ = try MetricCatalogue.metric(named: "acuracy") }
      == "no metric 'acuracy'; did you mean 'accuracy'?")
  #expect(
    message { _ = try MetricCatalogue.metric(named: "spearman") }
      == "no metric 'spearman'; did you mean 'spearmanr'?")
}

@Test func severalMetricsAreFollowedByTheirMean() throws {
  let scores = try MetricCatalogue.scores(
    ["accuracy", "f1"], predictions: [1, 0, 0, 0], references: [1, 1, 0, 0])
  #expect(scores.map(\.name) == ["accuracy", "f1", "combined"])
  #expect(scores[0].value == 0.75)
  #expect(abs(scores[1].value - 2.0 / 3) < 1e-15)
  #expect(scores[2].value == (scores[0].value + scores[1].value) / 2)

  let one = try MetricCatalogue.scores(["accuracy"], predictions: [1], references: [1])
  #expect(one == [MetricScore(name: "accuracy", value: 1)])
  #expect(combined([]) == 0)
  let twice = message {
    _ = try MetricCatalogue.scores(["f1", "f1"], predictions: [1], references: [1])
  }
  #expect(twice == "metric 'f1' is given twice")
}
