import Foundation

extension Metric {
  /// `exp(loss)`: among how many tokens a language model hesitates, 1 or more.
  public static let perplexity = Metric(
    name: "perplexity",
    doc: "exp of the mean loss of a token, 1 or more; lower is better",
    reference: "math.exp(eval_loss) of Transformers' run_clm.py",
    kind: .language, greaterIsBetter: false,
    computation: .loss { exp($0) })
}
