import Checkpoints
import Diagnostics
import Tasks

extension TrainableModel {
  /// The type of a task for this model, whose labels may be the same in another order. Throws where the model is for something
  /// else, or for labels of other names.
  package func fittedType(of task: TrainingTask) throws -> any TaskType {
    guard case .reordered(let places) = try labelMatch(task) else { return task.type }
    return task.type.reading(outputs: places)
  }

  /// What the user should know of the labels of a task that the model is to be trained or evaluated on, in one line.
  public func labelNote(_ task: TrainingTask) throws -> String? {
    guard task.type.match(type) != nil else { return nil }
    let (own, names) = (network.labels, task.type.head.labels)
    switch try labelMatch(task) {
    case .reordered: return "task '\(task.name)': its labels are taken in the model's order: \(labelList(own))"
    case .unnamed:
      let (without, with) = HuggingFaceConfig.arePlaceholders(own) ? ("model", names) : ("task", own)
      return "task '\(task.name)': the \(without)'s labels have no names: they are taken for \(labelList(with)), in this order"
    default: return nil
    }
  }

  /// Gives the model's labels the names that a task has for them, where they have none: it is trained for these.
  public func adoptLabels(of task: TrainingTask) throws {
    guard case .unnamed? = task.type.match(type), HuggingFaceConfig.arePlaceholders(network.labels) else { return }
    try rename(labels: task.type.head.labels)
  }

  private func labelMatch(_ task: TrainingTask) throws -> LabelMatch {
    guard let match = task.type.match(type) else {
      throw EngineError(
        .argument, "the model is for \(type.summary), the task '\(task.name)' has \(task.type.summary)",
        hint: "give the model a new head for this task")
    }
    guard match == .different else { return match }
    throw EngineError(
      .argument, "the model's labels are \(labelList(network.labels)), those of the task '\(task.name)' are \(labelList(task.type.head.labels))",
      hint: "give the model a new head for the task (new_head, or head = \"new\"); where they mean the same, in this order, call rename_labels")
  }
}
