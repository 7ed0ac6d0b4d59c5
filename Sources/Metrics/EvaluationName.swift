/// The names under which an evaluation reports metrics: "eval_accuracy", "eval_loss_mm".
public enum EvaluationName {
  private static let prefix = "eval_"

  public static let loss = prefix + "loss"

  /// A metric's name with "eval_" in front, which it may have already.
  public static func of(_ metric: String) -> String { metric.hasPrefix(prefix) ? metric : prefix + metric }

  /// A name without "eval_" in front.
  public static func bare(_ name: String) -> String { name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name }
}
