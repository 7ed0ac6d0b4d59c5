import Adapters
import Checkpoints
import Diagnostics
import Tasks
import TransformerModels

/// Which head a model gets: the one that the base model's folder has, or a new one.
public struct HeadChoice: Sendable {
  /// What the model is for, with labels in the order of the head's outputs.
  public let type: any SequenceTaskType
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
  public func headChoice(for wanted: (any SequenceTaskType)?, _ choice: HeadLoading? = nil) throws -> HeadChoice {
    guard choice != .new else {
      guard let wanted else { throw Self.nothingWanted("head = \"new\" has no labels") }
      return HeadChoice(type: wanted, isNew: true, note: nil)
    }
    switch try savedHead() {
    case .none:
      let kind = try config.strings("architectures", default: []).first.map { " (it is a \($0))" } ?? ""
      guard choice == nil else {
        throw EngineError(.argument, "\(name): there is no classification head in it\(kind)", hint: "leave out head = \"saved\"")
      }
      // A configuration with random weights may say what for.
      guard let type = try wanted ?? (folder == nil ? configuredType() : nil) else {
        throw Self.nothingWanted("\(name): there is no classification head in it\(kind)")
      }
      return HeadChoice(type: type, isNew: true, note: nil)
    case .unusable(let reason):
      guard let wanted, choice == nil else {
        throw EngineError(.argument, "\(name): its head \(reason)", hint: "give the task, and head = \"new\"")
      }
      return HeadChoice(type: wanted, isNew: true, note: "\(name): a new head is made, its own \(reason)")
    case .usable(let saved):
      guard let wanted else { return HeadChoice(type: saved, isNew: false, note: nil) }
      if let found = agreement(saved, wanted) { return found }
      let both = "its head is for \(saved.summary), what is wanted is \(wanted.summary)"
      guard choice == nil else { throw EngineError(.argument, "\(name): \(both)", hint: "head = \"new\" makes a new one") }
      return HeadChoice(type: wanted, isNew: true, note: "\(name): a new head is made: \(both)")
    }
  }

  /// The saved head, if it is one for the task.
  private func agreement(_ saved: any SequenceTaskType, _ wanted: any SequenceTaskType) -> HeadChoice? {
    func taken(_ type: any SequenceTaskType, _ note: String) -> HeadChoice {
      HeadChoice(type: type, isNew: false, note: "\(name): its head is taken, " + note)
    }
    let (own, names) = (saved.labels, wanted.labels)
    guard let match = wanted.match(saved) else { return nil }
    if type(of: wanted).labelCounts.upperBound == 1 { return taken(wanted, "which gives a score") }
    if HuggingFaceConfig.arePlaceholders(own) {
      return taken(
        wanted,
        HuggingFaceConfig.arePlaceholders(names)
          ? "whose labels have no names" : "whose labels have no names: they are \(labelList(names)), in this order")
    }
    switch match {
    case .same: return HeadChoice(type: saved, isNew: false, note: nil)
    case .reordered: return taken(saved, "with its order of the labels: \(labelList(own))")
    case .unnamed: return taken(saved, "whose labels are \(labelList(own))")
    case .different: return nil
    }
  }

  private static func nothingWanted(_ reason: String) -> EngineError {
    EngineError(.argument, reason, hint: "give task, num_labels or labels")
  }
}
