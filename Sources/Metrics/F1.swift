import Diagnostics

extension Metric {
  /// `2·TP / (2·TP + FP + FN)` of class 1, 0 to 1; 0 where no example is of class 1 and none is
  /// predicted as class 1.
  ///
  /// Only for classes 0 and 1: with more there is no one positive class.
  public static let f1 = Metric(
    name: "f1",
    doc: "2TP / (2TP + FP + FN) of class 1 against class 0, 0 to 1; 0 where undefined",
    reference: "sklearn.metrics.f1_score(average='binary', pos_label=1, zero_division=0)",
    kind: .classification, isBinary: true, greaterIsBetter: true,
    computation: .numbers { predictions, references in
      var truePositives = 0
      var errors = 0
      for (prediction, reference) in zip(predictions, references) {
        for label in [prediction, reference] where label != 0 && label != 1 {
          throw EngineError(
            .argument, "f1: class \(label)", hint: "f1 is for two classes, 0 and 1; use accuracy")
        }
        if prediction != reference {
          errors += 1
        } else if prediction == 1 {
          truePositives += 1
        }
      }
      let denominator = 2 * truePositives + errors
      return denominator == 0 ? 0 : Double(2 * truePositives) / Double(denominator)
    })
}
