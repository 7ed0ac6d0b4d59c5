extension Metric {
  /// Matthews' correlation coefficient, −1 to 1; 0 where its denominator is 0 (all predictions, or
  /// all references, of one class).
  ///
  /// For two classes `(TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN))`; computed in Gorodkin's
  /// form for any number of classes, of which that is the special case: with `c` correct of `s`
  /// examples, `p_k` predictions and `t_k` references of class k, `(c·s − Σ p_k·t_k) / √((s² − Σ
  /// p_k²)·(s² − Σ t_k²))`.
  public static let matthewsCorrelation = Metric(
    name: "matthews_correlation",
    doc: "correlation of predicted with true classes, -1 to 1; 0 where either has one class only",
    reference: "sklearn.metrics.matthews_corrcoef",
    kind: .classification, greaterIsBetter: true,
    computation: .numbers { predictions, references in
      var predicted: [Double: Double] = [:]
      var actual: [Double: Double] = [:]
      var correct = 0.0
      for (prediction, reference) in zip(predictions, references) {
        predicted[prediction, default: 0] += 1
        actual[reference, default: 0] += 1
        if prediction == reference { correct += 1 }
      }
      // Sums of integers, below 2^53 for up to 9e7 examples: exact in any order of the keys.
      let total = Double(predictions.count)
      let joint = predicted.reduce(0) { $0 + $1.value * (actual[$1.key] ?? 0) }
      let predictedSpread = total * total - predicted.values.reduce(0) { $0 + $1 * $1 }
      let actualSpread = total * total - actual.values.reduce(0) { $0 + $1 * $1 }
      guard predictedSpread > 0, actualSpread > 0 else { return 0 }
      let denominator = predictedSpread.squareRoot() * actualSpread.squareRoot()
      return min(1, max(-1, (correct * total - joint) / denominator))
    })
}
