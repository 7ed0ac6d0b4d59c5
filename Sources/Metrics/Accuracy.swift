extension Metric {
  /// The share of predictions that equal their references, 0 to 1.
  public static let accuracy = Metric(
    name: "accuracy",
    doc: "share of predictions equal to their references, 0 to 1",
    reference: "sklearn.metrics.accuracy_score",
    kind: .classification, greaterIsBetter: true,
    computation: .numbers { predictions, references in
      let correct = zip(predictions, references).reduce(0) { $0 + ($1.0 == $1.1 ? 1 : 0) }
      return Double(correct) / Double(predictions.count)
    })
}
