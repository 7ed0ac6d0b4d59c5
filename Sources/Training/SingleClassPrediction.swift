import TransformerModels

/// An evaluation set for which a classifier predicts one class throughout, though the set has several: metrics of it say
/// nothing about what the model has learnt.
struct SingleClassPrediction {
  /// "all 277 predictions for 'dev' are 'entailment'".
  let text: String

  /// Sets of fewer examples may have one class by chance.
  private static let fewestExamples = 16

  /// nil where predictions differ, the set has one class itself, or is small.
  init?(_ predictions: [Double], _ labels: [Double], _ task: TrainingTask, set: String) {
    guard case .sequenceClassification(let names, .singleLabelClassification) = task.modelTask, predictions.count >= Self.fewestExamples,
      let first = predictions.first, predictions.allSatisfy({ $0 == first }), labels.contains(where: { $0 != labels[0] })
    else { return nil }
    let name = Int(exactly: first).flatMap { names.indices.contains($0) ? names[$0] : nil } ?? "\(first)"
    text = "all \(predictions.count) predictions for '\(set)' are '\(name)'"
  }
}
