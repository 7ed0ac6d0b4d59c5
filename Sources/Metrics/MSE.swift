extension Metric {
  /// The mean of `(prediction − reference)²`, 0 or more, in the square of the scores' unit.
  public static let mse = Metric(
    name: "mse",
    doc: "mean squared error, 0 or more; lower is better",
    reference: "sklearn.metrics.mean_squared_error",
    kind: .regression, greaterIsBetter: false,
    computation: .numbers { predictions, references in
      let sum = zip(predictions, references).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      return min(sum / Double(predictions.count), .greatestFiniteMagnitude)
    })
}
