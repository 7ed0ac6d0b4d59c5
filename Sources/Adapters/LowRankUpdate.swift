import Diagnostics
import NN
import TensorCore

/// A linear adapter whose update is a product of two factors, `scaling * B A`: it can be written as
/// a plain LoRA.
public protocol LowRankUpdate: SummedAdapter {
  /// s.
  var scaling: Double { get }
  /// A: [r, in], and B: [out, r], of the equal plain LoRA.
  func loraFactors() throws -> (a: Tensor, b: Tensor)
  /// The same over the pre-trained weight, where training changed the layer's own. Default: `loraFactors()`.
  func exportFactors() throws -> (a: Tensor, b: Tensor)
}

extension LowRankUpdate {
  public func deltaWeight() throws -> Tensor {
    let (a, b) = try loraFactors()
    return try Tensor.zeros([b.rows, a.columns]).addingProduct(b, a, scale: scaling)
  }

  public func exportFactors() throws -> (a: Tensor, b: Tensor) { try loraFactors() }
}

/// A linear adapter with a rank and a scale that may differ between layers; folders list them as PEFT does.
public protocol RankedAdapter: LinearAdapter {
  /// r.
  var rank: Int { get }
  /// s: `lora_alpha` over r, or over its root.
  var scaling: Double { get }
}

/// Throws where a rank does not fit a layer.
func checkRank(_ r: Int, of linear: Linear, at site: AdapterSite) throws {
  let limit = min(linear.inFeatures, linear.outFeatures)
  guard r >= 1, r <= limit else {
    throw EngineError(
      .argument, "r = \(r) for layer '\(site.path)' of \(linear.outFeatures) x \(linear.inFeatures): expected 1 to \(limit)")
  }
}
