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

    /// What the parameters' names end in.
    var suffix: String {
      switch self {
      case .all: "bias"
      case .query, .key, .value: "attention.self.\(rawValue).bias"
      case .intermediate: "intermediate.dense.bias"
      case .output: "output.dense.bias"
      case .attentionLayernorm: "attention.output.LayerNorm.bias"
      case .outputLayernorm: "output.LayerNorm.bias"
      }
    }
  }

  /// The chosen ones; with a part of them, BERT's pooler's bias trains too.
  public var biases = [Biases.all.rawValue]

  public init() {}

  public static let fields: [Field<Self>] = [
    .strings(
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

  public func trains(_ parameter: String) -> Bool {
    biases.contains { name in Biases(rawValue: name).map { parameter.hasSuffix($0.suffix) } ?? false }
      || parameter.hasSuffix("pooler.dense.bias")
  }

}
