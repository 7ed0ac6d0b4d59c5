import Adapters
import Checkpoints
import Diagnostics
import TransformerModels

/// Which head a model gets: the one that the base model's folder has, or a new one.
public struct HeadChoice: Equatable, Sendable {
  /// What the model is for: labels in the order of the head's outputs.
  public let task: ModelTask
  public let isNew: Bool
  /// What the user should know, in one line.
  public let note: String?
}

extension PretrainedModel {
  /// The head of a model for a task; nil: for what the folder's head is for.
  ///
  /// Without a `choice`, the folder's head is taken where its labels are those of the task, in whatever order, or have no names;
  /// else a new one, and the note says why. Throws where there is nothing to go by, and for `.saved` where the folder's head is
  /// not one for the task.
  public func headChoice(for wanted: ModelTask?, _ choice: HeadLoading? = nil) throws -> HeadChoice {
    guard choice != .new else {
      guard let wanted else { throw Self.nothingWanted("head = \"new\" has no labels") }
      return HeadChoice(task: wanted, isNew: true, note: nil)
    }
    switch try savedHead() {
    case .none:
      let kind = try config.strings("architectures", default: []).first.map { " (it is a \($0))" } ?? ""
      guard choice == nil else {
        throw EngineError(.argument, "\(name): there is no classification head in it\(kind)", hint: "leave out head = \"saved\"")
      }
      // A configuration with random weights may say what for.
      guard let task = try wanted ?? (folder == nil ? configuredTask() : nil) else {
        throw Self.nothingWanted("\(name): there is no classification head in it\(kind)")
      }
      return HeadChoice(task: task, isNew: true, note: nil)
    case .unusable(let reason):
      guard let wanted, choice == nil else {
        throw EngineError(.argument, "\(name): its head \(reason)", hint: "give the task, and head = \"new\"")
      }
      return HeadChoice(task: wanted, isNew: true, note: "\(name): a new head is made, its own \(reason)")
    case .usable(let labels, let problem):
      let saved = ModelTask.sequenceClassification(labels: labels, problem)
      guard let wanted else { return HeadChoice(task: saved, isNew: false, note: nil) }
      if let found = agreement(saved, wanted) { return found }
      let both = "its head is for \(saved.summary), what is wanted is \(wanted.summary)"
      guard choice == nil else { throw EngineError(.argument, "\(name): \(both)", hint: "head = \"new\" makes a new one") }
      return HeadChoice(task: wanted, isNew: true, note: "\(name): a new head is made: \(both)")
    }
  }

  /// The saved head, if it is one for the task.
  private func agreement(_ saved: ModelTask, _ wanted: ModelTask) -> HeadChoice? {
    guard case .sequenceClassification(let own, let problem) = saved, case .sequenceClassification(let names, problem) = wanted else {
      return nil
    }
    func taken(_ task: ModelTask, _ note: String) -> HeadChoice {
      HeadChoice(task: task, isNew: false, note: "\(name): its head is taken, " + note)
    }
    if problem == .regression { return taken(wanted, "which gives a score") }
    if HuggingFaceConfig.arePlaceholders(own) {
      guard own.count == names.count else { return nil }
      return taken(wanted, HuggingFaceConfig.arePlaceholders(names) ? "whose labels have no names" : "whose labels have no names: they are \(labelList(names)), in this order")
    }
    switch LabelMatch(task: names, model: own) {
    case .same: return HeadChoice(task: saved, isNew: false, note: nil)
    case .reordered: return taken(saved, "with its order of the labels: \(labelList(own))")
    case .unnamed: return taken(saved, "whose labels are \(labelList(own))")
    case .different: return nil
    }
  }

  private static func nothingWanted(_ reason: String) -> EngineError {
    EngineError(.argument, reason, hint: "give task, num_labels or labels")
  }
}

extension ModelTask {
  /// "2 classes ('no', 'yes')", "a score", "masked tokens": for messages.
  public var summary: String {
    switch self {
    case .maskedLM: "masked tokens"
    case .sequenceClassification(_, .regression): "a score"
    case .sequenceClassification(let labels, .singleLabelClassification): "\(labels.count) classes (\(labelList(labels)))"
    }
  }
}
