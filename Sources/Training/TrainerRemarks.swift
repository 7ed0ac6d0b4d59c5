import Metrics
import TensorCore

/// What a run tells beside its numbers, in words.
extension Trainer {
  /// The most memory that tensors held during the run, in bytes; those that were there before and are not the model's are left out.
  public var peakBytes: Int { max(state.peakBytes, Memory.peakBytes - foreignBytes) }

  /// The step whose weights the model has in the end, where that is not the last one.
  public var restoredStep: Int? { arguments.loadBestModelAtEnd ? state.best.map(\.step).flatMap { $0 == state.step ? nil : $0 } : nil }

  /// How the run ended, where that is not at its last step with that step's weights: "stopped at step 120 of 300 after 3
  /// evaluations without improvement", "weights of step 80".
  public var endings: [String] {
    var endings: [String] = []
    if state.step < totalSteps {
      let count = state.evaluationsWithoutImprovement
      let reason =
        arguments.earlyStoppingPatience.map { count >= $0 } == true
        ? " after \(count) evaluation\(count == 1 ? "" : "s") without improvement" : ""
      endings.append("stopped at step \(state.step) of \(totalSteps)\(reason)")
    }
    if let restoredStep { endings.append("weights of step \(restoredStep)") }
    return endings
  }

  /// What makes the result's metrics doubtful.
  public var warnings: [String] {
    state.singleClasses.map { "\($0): the model does not tell the classes apart; another learning_rate or more steps may help" }
  }

  /// Texts that are longer than `max_length`, in words; nil where there are none.
  public func truncation() throws -> String? {
    let train = try task.encoded(task.train, model.tokenizer, arguments)
    let sets = try task.evaluation.map { try task.encoded($0, model.tokenizer, arguments) }
    var parts: [String] = []
    for (word, data) in [("training", [train]), ("evaluation", sets)] {
      let cut = data.reduce(0) { $0 + $1.truncatedCount }
      if cut > 0 { parts.append("\(cut) of \(data.reduce(0) { $0 + $1.count }) \(word) texts") }
    }
    let limits = "max_length = \(arguments.maxLength)" + (arguments.maxTargetLength.map { " or max_target_length = \($0)" } ?? "")
    return parts.isEmpty ? nil : "\(parts.joined(separator: " and ")) are longer than \(limits) tokens and are cut"
  }

  /// What the user should know before the run begins.
  func beginningRemarks() throws -> [String] {
    var remarks = try [truncation()].compactMap { $0 }
    if let options = arguments.generation { remarks += try task.textRemarks(model.network, options) }
    if arguments.evalStrategy != .no, task.evaluation.isEmpty {
      remarks.append("the task has no evaluation set: nothing is evaluated")
    }
    if arguments.evalStrategy == .steps, !task.evaluation.isEmpty, arguments.usedEvalSteps > totalSteps {
      remarks.append("eval_steps = \(arguments.usedEvalSteps) is more than the \(totalSteps) updates: only the end is evaluated")
    }
    if let given = arguments.greaterIsBetter, let known = MetricCatalogue.greaterIsBetter(bestMetricName), given != known {
      remarks.append(
        "greater_is_better = \(given) keeps the worst evaluation: of '\(bestMetricName)' \(known ? "more" : "less") is better")
    }
    return remarks
  }
}
