import Checkpoints
import Diagnostics
import Files
import NN
import Patterns
import TensorCore

/// (IA)³, "infused adapter by inhibiting and amplifying inner activations": a learned vector scales what a layer computes.
///
/// Keys and values: `y = l ⊙ (W x + b)`, l: [out]. Feed-forward: `y = W (l ⊙ x) + b`, l: [in], on the second matrix of the
/// block. l starts at 1, so a fresh adapter changes nothing. Trainable: out, or in, for each layer; RoBERTa-base 55,296.
/// Merge: `W' = diag(l) W`, `b' = l ⊙ b`; feed-forward: `W' = W diag(l)`.
///
/// PEFT's default for BERT and RoBERTa, `target_modules = { "key", "value", "output.dense" }`, scales the input of
/// `attention.output.dense` too, which the paper does not (64,512). PEFT's default for BART scales queries in place of keys; folders
/// name their layers, so that they go both ways.
///
/// Paper: Liu et al. 2022, arXiv 2205.05638.
public struct IA3: LinearAdapterMethod, ChoosesTargets {
  public static let name = "ia3"
  public static let summary = "Trains vectors that scale keys, values and the feed-forward block's inner activations."
  public static let peftType: String? = "IA3"
  public static let keysUnknownToPEFT = ["bias"]

  /// Suffixes of the target layers whose input is scaled; the output of all others is.
  public var feedforwardModules: [String]?
  /// The same as a regular expression for the whole path, which PEFT's folders may have.
  private var feedforwardPattern: RegularExpression?

  public init() {}

  public static let fields: [Field<Self>] = [
    .value(
      "feedforward_modules", \.feedforwardModules,
      "suffixes of the target layers whose input is scaled instead of their output; default: those that lead back to the hidden size"
    )
    .saved(.nowhere)
  ]

  public var defaultTargets: AdapterTargets.Selection? { .roles([.key, .value, .fused, .down]) }

  public func check(sites: [String]) throws {
    for name in feedforwardModules ?? [] where !sites.contains(where: { AttachedAdapter.isSuffix(name, of: $0) }) {
      throw EngineError(
        .argument, "feedforward_modules: '\(name)' is none of the target layers",
        hint: nearestName(to: name, among: sites.compactMap { $0.split(separator: ".").last.map(String.init) }).map { "did you mean '\($0)'?" }
          ?? "name layers of target_modules")
    }
  }

  private func isFeedforward(_ path: String, _ linear: Linear) -> Bool {
    if let feedforwardPattern { return feedforwardPattern.matchesWhole(path) }
    guard let feedforwardModules else { return linear.role == .down || linear.role == .attentionOutput }
    return feedforwardModules.contains { AttachedAdapter.isSuffix($0, of: path) }
  }

  public static let otherKeys = ["feedforward_modules", "init_ia3_weights"]

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    // Full paths: a suffix may name layers of both kinds, and PEFT wants the same words in both lists.
    func list(_ paths: [String]) -> JSONValue { .array(paths.sorted().map { .string($0) }) }
    configuration["target_modules"] = list(attached.sites)
    configuration["feedforward_modules"] = list(attached.linearAdapters.filter { ($0.adapter as? IA3Adapter)?.scalesInput == true }.map(\.path))
    configuration["init_ia3_weights"] = true
  }

  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    if case .string(let pattern)? = config["feedforward_modules"] {
      do {
        feedforwardPattern = try RegularExpression(pattern, kind: .data)
      } catch {
        throw error.at("\(config.path): feedforward_modules")
      }
    } else {
      feedforwardModules = try config.strings("feedforward_modules", default: [])
    }
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    let isFeedforward = isFeedforward(site.path, linear)
    let shape = isFeedforward ? [1, linear.inFeatures] : [linear.outFeatures, 1]
    return IA3Adapter(try site.parameter("ia3_l", shape, .ones), scalesInput: isFeedforward)
  }
}

/// The vector of one layer.
public final class IA3Adapter: Adapter, LinearAdapter {
  /// l: [out, 1], or [1, in] where it scales the input.
  public let scale: Tensor
  public let scalesInput: Bool

  init(_ scale: Tensor, scalesInput: Bool) {
    self.scale = scale
    self.scalesInput = scalesInput
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("ia3_l", scale)] }

  /// The rows of `x`, each times l.
  private func scaled(_ x: Tensor) throws -> Tensor { try x.mul(scale.reshape([scale.count])).to(x.dtype) }

  public func input(_ x: Tensor, _ context: ForwardContext) throws -> Tensor { scalesInput ? try scaled(x) : x }

  public func output(_ call: LinearCall) throws -> Tensor { scalesInput ? call.y : try scaled(call.y) }

  public func merged(_ weight: Tensor, _ bias: Tensor?, of layer: Linear) throws -> (weight: Tensor, bias: Tensor?) {
    scalesInput ? (weight, bias) : (try weight.mul(scale), try bias.map { try scaled($0) })
  }

  public func mergedInput(_ weight: Tensor) throws -> Tensor { scalesInput ? try weight.mul(scale) : weight }
}
