import CBenchmarks
import TensorCore

extension KernelCase {
  /// Multiplications that a reference does at most: a plain loop does about a thousand million in a second.
  private static let referenceWork = 50_000_000

  /// The linear layers of a transformer's layer, and a LoRA's two products.
  static func products(_ shape: LayerShape) -> [KernelCase] {
    let layers = [
      ("query", shape.hidden, shape.hidden), ("intermediate", shape.hidden, shape.intermediate),
      ("output", shape.intermediate, shape.hidden),
    ]
    let frozen = layers.flatMap { name, k, n in
      variants.flatMap { variant in
        [forward(name, variant, shape.tokens, k, n), inputGradient(name, variant, shape.tokens, k, n)]
      }
    }
    let whole = Precision.fp32.provider == "OpenBLAS" ? layers.map { wholeProduct($0, shape.tokens, $1, $2) } : []
    return frozen + whole + [
      forward("lora_A", .plain, shape.tokens, shape.hidden, 8), forward("lora_B", .plain, shape.tokens, 8, shape.hidden),
    ]
  }

  /// How a product's weight is laid out.
  private enum Variant {
    /// As it is: what trainable weights have.
    case plain
    /// Packed once: what frozen weights have.
    case packed(Precision)
    /// Not the engine's: OpenBLAS multiplies at once, with threads of its own.
    case whole

    var name: String {
      switch self {
      case .plain: "plain"
      case .packed: "packed"
      case .whole: "cblas_sgemm"
      }
    }
    var precision: Precision {
      switch self {
      case .plain, .whole: .fp32
      case .packed(let precision): precision
      }
    }
  }

  /// bfloat16 is worth measuring where the CPU multiplies it.
  private static var variants: [Variant] {
    let precisions: [Precision] = Precision.hasBFloat16Units ? [.fp32, .bf16] : [.fp32]
    return [.plain] + precisions.filter(\.packsFrozenWeights).map { .packed($0) }
  }

  private static func product(
    _ name: String, _ variant: Variant, _ m: Int, _ k: Int, _ n: Int, prepare: @escaping () throws -> Work
  ) -> KernelCase {
    let weightBytes = variant.precision == .bf16 ? 2 : 4
    return KernelCase(
      name: "\(name), \(variant.name)", shape: "\(m) x \(k) x \(n)", kind: .products, precision: variant.precision,
      operations: 2 * Double(m) * Double(n) * Double(k), bytes: Double(4 * m * (k + n) + weightBytes * n * k), prepare: prepare)
  }

  private static func weight(_ n: Int, _ k: Int, _ variant: Variant) throws -> Tensor {
    let weight = try random([n, k], "weight", std: 0.02)
    if case .packed = variant { return weight.sharedParameter() }
    return weight
  }

  /// Rows that a reference computes.
  private static func referenceRows(_ m: Int, _ n: Int, _ k: Int) -> Int { min(m, max(1, referenceWork / max(1, n * k))) }

  private static func forward(_ name: String, _ variant: Variant, _ m: Int, _ k: Int, _ n: Int) -> KernelCase {
    product(name + " forward", variant, m, k, n) {
      let (x, w, bias) = (try random([m, k], "x"), try weight(n, k, variant), try random([n], "bias"))
      let rows = referenceRows(m, n, k)
      let output = try Tensor(uninitialized: [rows, n])
      return Work(
        body: { try x.linear(w, bias) },
        reference: Reference(share: Double(rows) / Double(m), output: output) {
          bm_linear(
            rows, n, k, x.floats.baseAddress, w.floats.baseAddress, bias.floats.baseAddress, output.floats.baseAddress)
        })
    }
  }

  /// What the engine's products by OpenBLAS are to be compared with.
  private static func wholeProduct(_ name: String, _ m: Int, _ k: Int, _ n: Int) -> KernelCase {
    product(name + " forward", .whole, m, k, n) {
      let (x, w) = (try random([m, k], "x"), try random([n, k], "weight", std: 0.02))
      let y = try Tensor(uninitialized: [m, n])
      return Work(body: {
        try Memory.require(x.multipliedByOpenBLAS(w, into: y))
        return y
      })
    }
  }

  private static func inputGradient(_ name: String, _ variant: Variant, _ m: Int, _ k: Int, _ n: Int) -> KernelCase {
    product(name + " input gradient", variant, m, n, k) {
      let (x, w, dy) = (try random([m, k], "x").requiresGrad(true), try weight(n, k, variant), try random([m, n], "dy"))
      let rows = referenceRows(m, n, k)
      let output = try Tensor(uninitialized: [rows, k])
      return Work(
        body: backward(x, through: try x.linear(w), dy),
        reference: Reference(share: Double(rows) / Double(m), output: output) {
          bm_linear_input_gradient(
            rows, n, k, dy.floats.baseAddress, w.floats.baseAddress, output.floats.baseAddress)
        })
    }
  }
}
