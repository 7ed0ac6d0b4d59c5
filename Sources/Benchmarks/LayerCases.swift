import CBenchmarks
import TensorCore

extension KernelCase {
  /// Attention over the packed batch, without and with dropout.
  static func attention(_ shape: LayerShape) -> [KernelCase] {
    let (tokens, width, length) = (shape.tokens, shape.hidden, shape.length)
    let size = "\(shape.batch) x \(length), \(shape.heads) heads x \(shape.headSize)"
    // Scores and their product with the values; the backward pass makes the scores again and has four products more.
    let product = 2 * Double(tokens) * Double(length) * Double(width)
    let tensor = 4 * Double(tokens * width)
    func operands() throws -> (q: Tensor, k: Tensor, v: Tensor) {
      (try random([tokens, width], "q"), try random([tokens, width], "k"), try random([tokens, width], "v"))
    }
    return [0, 0.1].flatMap { p in
      let site = p > 0 ? site(p) : nil
      let words = p > 0 ? ", dropout \(p)" : ""
      return [
        KernelCase(
          name: "attention forward" + words, shape: size, kind: .attention, precision: .fp32, operations: 2 * product,
          bytes: 4 * tensor
        ) {
          let (q, k, v) = try operands()
          let output = try Tensor(uninitialized: [length, width])
          let reference = Reference(share: 1 / Double(shape.batch), output: output) {
            bm_attention(
              length, shape.heads, shape.headSize, q.floats.baseAddress, k.floats.baseAddress, v.floats.baseAddress,
              output.floats.baseAddress)
          }
          return Work(
            body: { try q.attention(keys: k, values: v, heads: shape.heads, offsets: shape.offsets, dropout: site) },
            reference: p > 0 ? nil : reference)
        },
        KernelCase(
          name: "attention backward" + words, shape: size, kind: .attention, precision: .fp32, operations: 5 * product,
          bytes: 8 * tensor
        ) {
          let (q, k, v) = try operands()
          let y = try q.requiresGrad(true).attention(
            keys: k, values: v, heads: shape.heads, offsets: shape.offsets, dropout: site)
          return Work(body: backward(q, through: y, try random([tokens, width], "dy")))
        },
      ]
    }
  }

  /// Residual, dropout and layer norm in one kernel.
  static func normalisation(_ shape: LayerShape) -> [KernelCase] {
    let (rows, cols) = (shape.tokens, shape.hidden)
    let (size, tensor) = ("\(rows) x \(cols)", 4 * Double(rows * cols))
    func operands() throws -> (x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) {
      (
        try random([rows, cols], "x"), try random([rows, cols], "residual"), try random([cols], "weight"),
        try random([cols], "bias")
      )
    }
    return [
      KernelCase(name: "residual + layer norm forward", shape: size, kind: .normalisation, bytes: 3 * tensor) {
        let (x, residual, weight, bias) = try operands()
        let output = try Tensor(uninitialized: [rows, cols])
        return Work(
          body: { try x.layerNorm(residual: residual, weight, bias) },
          reference: Reference(share: 1, output: output) {
            bm_add_layer_norm(
              rows, cols, x.floats.baseAddress, residual.floats.baseAddress, weight.floats.baseAddress,
              bias.floats.baseAddress, 1e-5, output.floats.baseAddress)
          })
      },
      KernelCase(name: "dropout + residual + layer norm forward", shape: size, kind: .normalisation, bytes: 4 * tensor) {
        let (x, residual, weight, bias) = try operands()
        try x.requiresGrad(true)
        return Work(body: { try x.layerNorm(residual: residual, weight, bias, dropout: site(0.1)) })
      },
      KernelCase(name: "dropout + residual + layer norm backward", shape: size, kind: .normalisation, bytes: 4 * tensor) {
        let (x, residual, weight, bias) = try operands()
        let y = try x.requiresGrad(true).layerNorm(residual: residual, weight, bias, dropout: site(0.1))
        return Work(body: backward(x, through: y, try random([rows, cols], "dy")))
      },
    ]
  }

  /// What works on one element, or one row, at a time.
  static func elementwise(_ shape: LayerShape) -> [KernelCase] {
    let (wide, narrow) = ([shape.tokens, shape.intermediate], [shape.tokens, shape.hidden])
    func bytes(_ shape: [Int], _ tensors: Double) -> Double { 4 * tensors * Double(shape.reduce(1, *)) }
    func words(_ shape: [Int]) -> String { shape.map(String.init).joined(separator: " x ") }
    return [
      KernelCase(name: "gelu forward", shape: words(wide), kind: .elementwise, bytes: bytes(wide, 2)) {
        let (x, output) = (try random(wide, "x"), try Tensor(uninitialized: wide))
        return Work(
          body: { try x.unary(.gelu) },
          reference: Reference(share: 1, output: output) {
            bm_gelu(x.count, x.floats.baseAddress, output.floats.baseAddress)
          })
      },
      KernelCase(name: "gelu backward", shape: words(wide), kind: .elementwise, bytes: bytes(wide, 3)) {
        let (x, dy, output) = (try random(wide, "x").requiresGrad(true), try random(wide, "dy"), try Tensor(uninitialized: wide))
        return Work(
          body: backward(x, through: try x.unary(.gelu), dy),
          reference: Reference(share: 1, output: output) {
            bm_gelu_backward(x.count, x.floats.baseAddress, dy.floats.baseAddress, output.floats.baseAddress)
          })
      },
      KernelCase(name: "softmax", shape: words(narrow), kind: .other, bytes: bytes(narrow, 2)) {
        let (x, output) = (try random(narrow, "x"), try Tensor(uninitialized: narrow))
        return Work(
          body: { try x.softmax() },
          reference: Reference(share: 1, output: output) {
            bm_softmax(narrow[0], narrow[1], x.floats.baseAddress, output.floats.baseAddress)
          })
      },
      KernelCase(name: "dropout", shape: words(narrow), kind: .random, bytes: bytes(narrow, 2)) {
        let (x, output) = (try random(narrow, "x"), try Tensor(uninitialized: narrow))
        // Both draw from Philox, but number their draws differently: the masks are not the same.
        return Work(
          body: { try x.dropout(site(0.1)) },
          reference: Reference(share: 1, output: nil) {
            bm_dropout(x.count, 0.1, 1, x.floats.baseAddress, output.floats.baseAddress)
          })
      },
    ]
  }

  /// One update of as many parameters as a layer's feed-forward has.
  static func optimizer(_ shape: LayerShape) -> [KernelCase] {
    let sizes = [2, shape.hidden, shape.intermediate]
    let bytes = 7 * 4 * Double(sizes.reduce(1, *))  // four tensors are read, three written
    return [
      KernelCase(name: "adamw", shape: sizes.map(String.init).joined(separator: " x "), kind: .optimizer, bytes: bytes) {
        let (p, g) = (try random(sizes, "p"), try random(sizes, "g"))
        let (m, v) = (try Tensor.zeros(sizes), try Tensor.zeros(sizes))
        let own = (p: try p.copy(), m: try m.copy(), v: try v.copy())
        var step = 0
        return Work(
          body: {
            step += 1
            try p.adamWInPlace(
              gradient: g, m: m, v: v, learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01,
              gradientScale: 1, step: step)
            return p
          },
          // After as many updates both would agree, but they are not run equally often.
          reference: Reference(share: 1, output: nil) {
            bm_adamw(
              own.p.count, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1, own.p.floats.baseAddress, g.floats.baseAddress,
              own.m.floats.baseAddress, own.v.floats.baseAddress)
          })
      }
    ]
  }
}
