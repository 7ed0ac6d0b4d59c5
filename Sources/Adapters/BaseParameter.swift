import NN
import TensorCore

/// A parameter of the base model, and what it is for: methods choose by that, and not by the names of one family.
public struct BaseParameter {
  /// Which norm a parameter belongs to.
  public enum NormPlace: Sendable {
    /// The norm of a layer's attention.
    case attention
    /// That of its feed-forward block.
    case feedForward
    /// One outside the layers.
    case other
  }

  /// State-dict name.
  public let name: String
  public let tensor: Tensor
  /// What the owner calls it: "weight", "bias".
  public let key: String
  /// The owner, if it is a linear layer.
  public let linear: Linear?
  /// nil: it is no norm's.
  public let norm: NormPlace?
  /// Whether it is the table of word embeddings.
  public let isWordEmbedding: Bool

  /// The parameters of a model that no adapter brought, in model order, each once.
  static func all(of root: Module) -> [BaseParameter] {
    let modules = root.namedModules()
    var norms: [ObjectIdentifier: NormPlace] = [:]
    for case let layer as TransformerLayer in modules.map(\.module) {
      for (norm, isAttention) in layer.norms { norms[ObjectIdentifier(norm)] = isAttention ? .attention : .feedForward }
    }
    let words = Set(modules.compactMap { ($0.module as? InputEmbeddings).map { ObjectIdentifier($0.words.weight) } })
    var seen: Set<ObjectIdentifier> = []
    return modules.flatMap { path, module -> [BaseParameter] in
      guard !(module is Adapter) else { return [] }
      return module.ownParameters.compactMap { key, tensor in
        guard seen.insert(ObjectIdentifier(tensor)).inserted else { return nil }
        return BaseParameter(
          name: path.isEmpty ? key : path + "." + key, tensor: tensor, key: key, linear: module as? Linear,
          norm: module is any Norm ? norms[ObjectIdentifier(module)] ?? .other : nil, isWordEmbedding: words.contains(ObjectIdentifier(tensor)))
      }
    }
  }
}
