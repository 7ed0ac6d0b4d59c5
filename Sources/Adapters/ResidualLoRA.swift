import Diagnostics
import NN
import TensorCore

/// A LoRA that starts as a part of the weight, beside the frozen rest of it (PiSSA, OLoRA):
/// `y = (W - s B0 A0) x + b + s B A dropout(x)`, where A and B start at A0 and B0.
///
/// PiSSA: with `W = U S Vh`, `B0 = U[:, :r] sqrt(S[:r] / s)` and `A0 = sqrt(S[:r] / s) Vh[:r]`. OLoRA: with `W = Q R`,
/// `B0 = Q[:, :r]` and `A0 = R[:r]`. The layer keeps its weight: `- s B0 A0 x` is a branch of its own, so that taking the adapter
/// off, merging, and other adapters on the same layer work as for any LoRA. Folders are PEFT's, with A and B alone: the
/// decomposition is computed again from the weight. That of `pissa_niter_N` is random: A0 and B0 are in the folder too; PEFT,
/// whose own folders lack them, draws others. A plain LoRA of the whole weight has rank 2 r: `A' = [A; A0]`, `B' = [B, -B0]`.
///
/// Papers: Meng et al. 2024, arXiv 2404.02948; Büyükakyüz 2024, arXiv 2406.01775.
public final class ResidualLoRAAdapter: Adapter, LowRankUpdate, RankedAdapter {
  /// What the names of A0 and B0 end in.
  static let startSuffix = ".start"

  public let lora: LoRAAdapter
  /// A0: [r, in], and B0: [out, r].
  private let start: (a: Tensor, b: Tensor)
  public override var dropout: Double { lora.dropout }

  /// `lora`: gets its starting values.
  init(_ lora: LoRAAdapter, _ kind: LoRAStart, of linear: Linear, at site: AdapterSite) throws {
    self.lora = lora
    var parts: (a: Tensor, b: Tensor)?
    func decomposed() throws -> (a: Tensor, b: Tensor) {
      if let parts { return parts }
      let weight = try linear.base.weight.dequantized().to(.float32)
      let made = try Self.decompose(weight, rank: lora.rank, scaling: lora.scaling, kind, at: site)
      parts = made
      return made
    }
    start = (
      try site.parameter("lora_A" + Self.startSuffix, lora.a.shape) { try decomposed().a },
      try site.parameter("lora_B" + Self.startSuffix, lora.b.shape) { try decomposed().b }
    )
    try lora.a.assign(start.a)
    try lora.b.assign(start.b)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    lora.ownParameters + [("lora_A" + Self.startSuffix, start.a), ("lora_B" + Self.startSuffix, start.b)]
  }
  public override var frozenParameters: [String] { ["lora_A" + Self.startSuffix, "lora_B" + Self.startSuffix] }

  public var rank: Int { lora.rank }
  public var scaling: Double { lora.scaling }

  public func loraFactors() throws -> (a: Tensor, b: Tensor) {
    try Autograd.noGrad { (try Tensor.cat([lora.a, start.a], 0), try Tensor.cat([lora.b, start.b.mul(-1)], 1)) }
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    // The rest of the weight gets the input without dropout.
    let y = try lora.output(call)
    return try y.addingLinear(call.input.linear(start.a, output: start.a.dtype), start.b, scale: -scaling)
  }

  public func deltaWeight() throws -> Tensor {
    try lora.deltaWeight().addingProduct(start.b, start.a, scale: -scaling)
  }

  private static func decompose(
    _ weight: Tensor, rank: Int, scaling: Double, _ kind: LoRAStart, at site: AdapterSite
  ) throws -> (a: Tensor, b: Tensor) {
    switch kind {
    case .olora:
      let (q, r) = try weight.qr()
      return (try r.slice(0, 0, rank), try q.slice(1, 0, rank))
    case .pissaIterations(let count):
      return try roots(try truncated(weight, rank: rank, iterations: count, at: site), rank, scaling)
    default:
      return try roots(try weight.svd(), rank, scaling)
    }
  }

  /// The first singular vectors, each times the root of its share of the singular value.
  private static func roots(_ svd: (u: Tensor, s: Tensor, vh: Tensor), _ rank: Int, _ scaling: Double) throws -> (a: Tensor, b: Tensor) {
    let root = try svd.s.slice(0, 0, rank).mul(1 / scaling).unary(.sqrt)
    return (try svd.vh.slice(0, 0, rank).mul(root.unsqueeze(1)), try svd.u.slice(1, 0, rank).mul(root))
  }

  /// A randomised singular value decomposition of rank `rank`. Paper: Halko et al. 2011, arXiv 0909.4061, algorithm 5.1 over 4.4.
  private static func truncated(
    _ weight: Tensor, rank: Int, iterations: Int, at site: AdapterSite
  ) throws -> (u: Tensor, s: Tensor, vh: Tensor) {
    let transposed = try weight.permute([1, 0])
    let sketch = try site.parameter("lora_sketch", [weight.shape[1], rank], .normal(std: 1))
    var q = try weight.matmul(sketch).qr().q
    for _ in 0..<iterations {
      q = try transposed.matmul(q).qr().q
      q = try weight.matmul(q).qr().q
    }
    let (u, s, vh) = try q.permute([1, 0]).matmul(weight).svd()
    return (try q.matmul(u), s, vh)
  }
}
