import Diagnostics
import NN
import TensorCore

/// Weight-decomposed LoRA, the option `use_dora` of `LoRA`: `y = b + (m / n) (W x + s B A x)`, with `n_i` the norm of row i of
/// `W + s B A`, without gradient.
///
/// m: [out], trains beside A and B, and starts at the norms of W's rows. With dropout, where `x' = dropout(x)`:
/// `y = W x + b + (m / n - 1) W x' + (m / n) s B A x'`. Trainable: `r (in + out) + out` for each layer. Merge:
/// `diag(m / n) (W + s B A)`.
///
/// W is the layer's own weight: on a layer with other adapters the update is what it would be without them, added to theirs, so
/// that a merged model computes the same. The update `diag(m / n) (W + s B A) - W` has any rank: no LoRA equals it.
///
/// Paper: Liu et al. 2024, arXiv 2402.09353. One magnitude for each output, as its code has it; the paper says columns.
public final class DoRAAdapter: Adapter, RankedAdapter {
  public let lora: LoRAAdapter
  /// m, [out].
  public let magnitude: Tensor
  public override var dropout: Double { lora.dropout }

  init(_ lora: LoRAAdapter, of linear: Linear, at site: AdapterSite) throws {
    self.lora = lora
    magnitude = try site.parameter("lora_magnitude_vector", [linear.outFeatures]) { try Self.direction(linear, lora).norm(2, [1]) }
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    lora.ownParameters + [("lora_magnitude_vector", magnitude)]
  }

  public var rank: Int { lora.rank }
  public var scaling: Double { lora.scaling }

  /// `W + s B A`, [out, in].
  private static func direction(_ layer: Linear, _ lora: LoRAAdapter) throws -> Tensor {
    try lora.deltaWeight().add(layer.base.weight.dequantized())
  }

  /// `m / n`, [out].
  private func ratio(_ direction: Tensor) throws -> Tensor {
    let norm = try Autograd.noGrad { try direction.norm(2, [1]) }
    // A row of zeros has no direction, and stays as it is.
    return try magnitude.div(norm.maskedFill(norm.binary(.eq, 0), 1))
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    let ratio = try ratio(Autograd.noGrad { try Self.direction(call.layer, lora) })
    let mask = call.context.dropout(dropout)
    if mask == nil, call.isPlain {
      let a = lora.a
      let sum = try call.y.addingLinear(call.input.linear(a, output: a.dtype), lora.b, scale: scaling).mul(ratio)
      guard let bias = call.layer.base.bias else { return try sum.to(call.y.dtype) }
      return try sum.add(bias.mul(ratio.mul(-1).add(1))).to(call.y.dtype)
    }
    let x = try call.input.dropout(mask)
    let plain = try x.linear(call.layer.base.weight).mul(ratio.sub(1))
    let update = try x.linear(lora.a, output: lora.a.dtype).linear(lora.b).mul(ratio.mul(scaling))
    return try call.y.add(plain).add(update).to(call.y.dtype)
  }

  public func merged(_ weight: Tensor, _ bias: Tensor?, of layer: Linear) throws -> (weight: Tensor, bias: Tensor?) {
    let direction = try Self.direction(layer, lora)
    try weight.addInPlace(direction.mul(ratio(direction).unsqueeze(1)))
    try weight.addInPlace(layer.base.weight.dequantized(), alpha: -1)
    return (weight, bias)
  }
}
