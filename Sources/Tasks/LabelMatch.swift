import Checkpoints
import Diagnostics

/// How the labels of a task are found among those of a model's head.
///
/// Names count, whatever their order and their case, as in Transformers' examples: checkpoints of one task list its labels in
/// different orders, and as `ENTAILMENT` or `entailment`. The names LABEL_0, LABEL_1, ..., which Transformers gives where
/// nobody has, say nothing: the order stands.
public enum LabelMatch: Equatable, Sendable {
  /// The same names in the same order.
  case same
  /// The same names in another order; for each of the task's labels, its place among the model's.
  case reordered([Int])
  /// As many labels, of which one side has no names.
  case unnamed
  /// Another number, or other names.
  case different

  public init(task: [String], model: [String]) {
    guard task != model else {
      self = .same
      return
    }
    guard task.count == model.count else {
      self = .different
      return
    }
    if let places = Self.places(of: task, in: model) ?? Self.places(of: task.map { $0.lowercased() }, in: model.map { $0.lowercased() }) {
      self = places == Array(task.indices) ? .same : .reordered(places)
    } else {
      self = [task, model].contains(where: HuggingFaceConfig.arePlaceholders) ? .unnamed : .different
    }
  }

  /// For each name, its place in the other list; nil unless both have the same, each once.
  private static func places(of names: [String], in others: [String]) -> [Int]? {
    let places = Dictionary(zip(others, others.indices), uniquingKeysWith: { first, _ in first })
    let found = names.compactMap { places[$0] }
    return found.count == names.count && Set(found).count == others.count ? found : nil
  }
}

/// Labels as messages show them: "'no', 'yes'", of bounded length.
public func labelList(_ labels: [String]) -> String {
  listed(labels.map { "'" + ($0.count > 40 ? $0.prefix(37) + "..." : $0) + "'" }, limit: 8)
}
