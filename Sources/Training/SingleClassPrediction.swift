import Tasks

/// An evaluation set for which a classifier predicts one class throughout, though the set has several: metrics of it say
/// nothing about what the model has learnt.
struct SingleClassPrediction {
  /// "all 277 predictions for 'dev' are 'entailment'".
  let text: String

  /// Sets of fewer examples may have one class by chance.
  private static let fewestExamples = 16

  /// nil where predictions differ, the set has one class itself, or is small.
  init?(_ predictions: [Answer], _ references: [Answer], _ task: TrainingTask, set: String) {
    guard predictions.count >= Self.fewestExamples, let first = predictions.first, case .label(let label) = first,
      predictions.allSatisfy({ $0 == first }), references.contains(where: { $0 != references[0] })
    else { return nil }
    text = "all \(predictions.count) predictions for '\(set)' are '\(task.type.head.labels[label])'"
  }
}
