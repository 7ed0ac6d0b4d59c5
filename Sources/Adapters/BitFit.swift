import Diagnostics
import NN

/// Bias-term fine-tuning: trains the biases of the base model, those of norms included, or some of them; and the head.
///
/// RoBERTa-base: 102,144 numbers. The output needs no other layer and nothing is to be merged. The folder has the biases and
/// a `peft_type` of our own.
///
/// Paper: Ben Zaken, Ravfogel and Goldberg 2022, arXiv 2106.10199.
public struct BitFit: ChoosesParameters {
  public static let name = "bitfit"
  public static let summary = "Trains the biases of the base model, or some of them."

  /// Which biases train, in the words of the authors' code.
  public enum Biases: String, CaseIterable, Sendable {
    case all
    case query, key, value
    /// Of the feed-forward block's first layer.
    case intermediate
    /// Of the feed-forward block's second layer and, as in the authors' code, of the layer behind attention.
    case output
    /// Of the norm behind attention.
    case attentionLayernorm = "attention_layernorm"
    /// Of both norms of a layer, as in the authors' code.
    case outputLayernorm = "output_layernorm"

    /// Whether a bias is one of these.
    func contains(_ bias: BaseParameter) -> Bool {
      switch self {
      case .all: true
      case .query: bias.linear?.role == .query
      case .key: bias.linear?.role == .key
      case .value: bias.linear?.role == .value
      case .intermediate: bias.linear?.role == .up || bias.linear?.role == .gate
      case .output: bias.linear?.role == .down || bias.linear?.role == .attentionOutput
      case .attentionLayernorm: bias.norm == .attention
      case .outputLayernorm: bias.norm == .attention || bias.norm == .feedForward
      }
    }
  }

  /// The chosen ones; with a part of them, BERT's pooler's bias trains too.
  public var biases = [Biases.all.rawValue]

  public init() {}

  public static let fields: [Field<Self>] = [
    .value(
      "biases", \.biases,
      "which biases train: all, or some of query, key, value, intermediate, output, attention_layernorm, output_layernorm")
  ]

  public func validate() throws(EngineError) {
    let names = Biases.allCases.map(\.rawValue)
    guard !biases.isEmpty else { throw EngineError(.argument, "biases is empty: expected some of \(names.joined(separator: ", "))") }
    for bias in biases where !names.contains(bias) {
      throw EngineError(
        .argument, "biases: '\(bias)' is unknown, expected some of \(names.joined(separator: ", "))",
        hint: nearestName(to: bias, among: names).map { "did you mean '\($0)'?" })
    }
  }

  private var chosen: [Biases] { biases.compactMap { Biases(rawValue: $0) } }

  public func trains(_ parameter: BaseParameter) -> Bool {
    // A linear layer of the body without a role is the pooler.
    parameter.key == "bias" && (chosen.contains { $0.contains(parameter) } || parameter.linear.map { $0.role == nil } == true)
  }

  public func check(parameters: [BaseParameter]) throws {
    let found = parameters.filter { $0.key == "bias" }
    for kind in chosen where !found.contains(where: kind.contains) {
      throw EngineError(
        .argument, "biases: the model has no bias of the kind '\(kind.rawValue)' outside its head",
        hint: found.isEmpty ? "none of its layers has a bias: take another method" : "its layers have other biases: take \"all\"")
    }
  }

}
