import Checkpoints
import Diagnostics
import TransformerModels

extension TrainableModel {
  /// For each of a task's labels, its place among the model's, which have the same names in another order; nil where the order
  /// is the same, or there are no classes. Throws where the names differ.
  func labelPlaces(_ task: TrainingTask) throws -> [Int]? {
    switch try labelMatch(task) {
    case .reordered(let places)?: places
    default: nil
    }
  }

  /// What the user should know of the labels of a task that the model is to be trained or evaluated on, in one line.
  public func labelNote(_ task: TrainingTask) throws -> String? {
    guard case .sequenceClassification(let own, _) = network.task, case .sequenceClassification(let names, _) = task.modelTask else {
      return nil
    }
    switch try labelMatch(task) {
    case .reordered?: return "task '\(task.name)': its labels are taken in the model's order: \(labelList(own))"
    case .unnamed?:
      let (without, with) = HuggingFaceConfig.arePlaceholders(own) ? ("model", names) : ("task", own)
      return "task '\(task.name)': the \(without)'s labels have no names: they are taken for \(labelList(with)), in this order"
    default: return nil
    }
  }

  /// Gives the model's labels the names that a task has for them, where they have none: it is trained for these.
  public func adoptLabels(of task: TrainingTask) throws {
    guard case .sequenceClassification(let own, _) = network.task, case .sequenceClassification(let names, _) = task.modelTask,
      HuggingFaceConfig.arePlaceholders(own), try labelMatch(task) == .unnamed
    else { return }
    try rename(labels: names)
  }

  /// nil where one of both has no classes, or another number of them: such a task does not fit the model.
  private func labelMatch(_ task: TrainingTask) throws -> LabelMatch? {
    guard case .sequenceClassification(let own, .singleLabelClassification) = network.task,
      case .sequenceClassification(let names, .singleLabelClassification) = task.modelTask, own.count == names.count
    else { return nil }
    let match = LabelMatch(task: names, model: own)
    guard match == .different else { return match }
    throw EngineError(
      .argument, "the model's labels are \(labelList(own)), those of the task '\(task.name)' are \(labelList(names))",
      hint: "give the model a new head for the task (new_head, or head = \"new\"); where they mean the same, in this order, call rename_labels")
  }
}

extension Batch {
  /// Puts the task's classes into the model's order: see `TrainableModel.labelPlaces`.
  mutating func reorderClasses(_ places: [Int]?) {
    guard let places, case .classes(let classes) = labels else { return }
    labels = .classes(classes.map { Int32(places[Int($0)]) })
  }
}
