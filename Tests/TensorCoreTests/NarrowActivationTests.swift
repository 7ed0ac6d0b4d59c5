import CKernels
import Foundation
import TensorCore
import TestSupport
import Testing

/// Operations of layers on bfloat16 activations: values and gradients are those of float32, to bfloat16's eight digits.
@Suite(.engine) struct NarrowActivationTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    /// Shapes of the activations, and of the float32 weights beside them.
    let activations: [[Int]], weights: [[Int]]
    let body: @Sendable (_ x: [Tensor], _ w: [Tensor]) throws -> Tensor
    var testDescription: String { name }
  }

  private static let site = Dropout(p: 0.3, source: RandomSource(seed: 5, stream: 3, step: 11))
  private static let offsets = Offsets(lengths: [130, 1, 40])

  static let cases = [
    Case(name: "linear", activations: [[70, 40]], weights: [[65, 40], [65]]) { try $0[0].linear($1[0], $1[1]) },
    Case(name: "adapter", activations: [[70, 40]], weights: [[65, 40], [8, 40], [65, 8]]) { x, w in
      try x[0].linear(w[0]).addingLinear(x[0].linear(w[1], output: .float32), w[2], scale: 1.5)
    },
    Case(name: "attention", activations: [[171, 32], [171, 32], [171, 32]], weights: []) { x, _ in
      try x[0].attention(keys: x[1], values: x[2], heads: 2, offsets: offsets)
    },
    Case(name: "causal attention, dropout", activations: [[171, 32], [171, 32], [171, 32]], weights: []) { x, _ in
      try x[0].attention(keys: x[1], values: x[2], heads: 2, offsets: offsets, causal: true, dropout: site)
    },
    Case(name: "layer_norm, residual, dropout", activations: [[9, 130], [9, 130]], weights: [[130], [130]]) { x, w in
      try x[0].layerNorm(residual: x[1], w[0], w[1], dropout: site)
    },
    Case(name: "layer_norm, residual, dropout, draws of several blocks", activations: [[5, 390], [5, 390]], weights: [[390], [390]]) { x, w in
      try x[0].layerNorm(residual: x[1], w[0], w[1], dropout: site)
    },
    Case(name: "layer_norm, dropout, odd", activations: [[9, 35]], weights: [[35], [35]]) { x, w in
      try x[0].layerNorm(w[0], w[1], dropout: site)
    },
    Case(name: "layer_norm", activations: [[9, 48]], weights: [[48], [48]]) { x, w in try x[0].layerNorm(w[0], w[1]) },
    Case(name: "rms_norm", activations: [[9, 130]], weights: [[130]]) { x, w in try x[0].rmsNorm(w[0]) },
    Case(name: "rotary", activations: [[9, 40]], weights: []) { x, _ in
      try x[0].rotary(RotaryTable(base: 10_000, size: 16), positions: Offsets(lengths: [5, 4]).positions, heads: 2)
    },
    Case(name: "gated unit", activations: [[3, 1100], [3, 1100]], weights: []) { x, _ in try x[0].gating(x[1], by: .silu) },
    Case(name: "gated unit, an odd number", activations: [[7, 157], [7, 157]], weights: []) { x, _ in try x[0].gating(x[1], by: .silu) },
    Case(name: "residual, an odd number", activations: [[7, 157], [7, 157]], weights: []) { x, _ in try x[0].adding(residual: x[1]) },
    Case(name: "gelu", activations: [[3, 1100]], weights: []) { x, _ in try x[0].activation(.gelu) },
    Case(name: "dropout", activations: [[3, 130]], weights: []) { x, _ in try x[0].dropout(site) },
    Case(name: "rows", activations: [[9, 7]], weights: []) { x, _ in try x[0].gatherRows([0, 4, 8]) },
    Case(name: "rows, some of them twice", activations: [[9, 7]], weights: []) { x, _ in try x[0].gatherRows([4, 0, 4, 8, 4, 0]) },
    Case(name: "gradients of two types, float32 first", activations: [[7, 40]], weights: [[40, 40], [40, 40]]) { x, w in
      try x[0].to(.float32).linear(w[0]).add(x[0].linear(w[1]).to(.float32)).to(x[0].dtype)
    },
    Case(name: "gradients of two types, bfloat16 first", activations: [[7, 40]], weights: [[40, 40], [40, 40]]) { x, w in
      try x[0].linear(w[1]).to(.float32).add(x[0].to(.float32).linear(w[0])).to(x[0].dtype)
    },
    Case(name: "linear, odd sizes", activations: [[71, 39]], weights: [[33, 39], [33]]) { try $0[0].linear($1[0], $1[1]) },
    Case(name: "gradients added to those of a residual", activations: [[70, 40]], weights: [[40, 40], [40, 40], [40, 40]]) { x, w in
      let inner = try x[0].linear(w[0]).add(x[0].linear(w[1])).to(x[0].dtype).add(x[0].linear(w[2])).to(x[0].dtype)
      return try inner.layerNorm(residual: x[0], Tensor.ones([40]), Tensor.zeros([40]), dropout: site)
    },
    Case(name: "gradients of frozen layers added to those of a residual", activations: [[70, 40]], weights: []) { x, _ in
      let frozen = try (20..<22).map { try normal([40, 40], stream: $0, .float32).sharedParameter() }
      let inner = try x[0].linear(frozen[0]).add(x[0].linear(frozen[1])).to(x[0].dtype)
      return try inner.layerNorm(residual: x[0], Tensor.ones([40]), Tensor.zeros([40]), dropout: site)
    },
    Case(name: "one activation used twice", activations: [[70, 40]], weights: [[40, 40]]) { x, w in
      try x[0].linear(w[0]).layerNorm(residual: x[0], Tensor.ones([40]), Tensor.zeros([40]))
    },
  ]

  @Test(arguments: cases) func followsFloat32(_ row: Case) throws {
    let weights = try row.weights.enumerated().map { try normal($1, stream: 10 + $0, .float32) }
    var results: [(output: Tensor, gradients: [Tensor])] = []
    for isNarrow in [false, true] {
      let leaves = try row.activations.enumerated().map { i, shape in
        try normal(shape, stream: i, .float32).to(.bfloat16).to(.float32).detach().requiresGrad(true)
      }
      let own = try weights.map { try $0.copy().requiresGrad(true) }
      let output = try row.body(isNarrow ? leaves.map { try $0.to(.bfloat16) } : leaves, own)
      #expect(output.dtype == (isNarrow ? .bfloat16 : .float32))
      let wide = try output.to(.float32)
      let seed = try normal(wide.shape, stream: 30, .float32)
      try wide.backward(gradient: seed)
      results.append((wide, try (leaves + own).map { try #require($0.grad) }))
    }
    let (wide, narrow) = (results[0], results[1])
    func expectNear(_ name: String, _ actual: Tensor, _ expected: Tensor) {
      let scale = expected.values.map(abs).max() ?? 0
      #expect(actual.dtype == .float32)
      expectClose(name, actual.values, expected.values, relative: 0.02, absolute: 0.012 * scale)
    }
    expectNear("output", narrow.output, wide.output)
    for (i, (actual, expected)) in zip(narrow.gradients, wide.gradients).enumerated() {
      expectNear("gradient \(i)", actual.dtype == .bfloat16 ? try actual.to(.float32) : actual, expected)
    }
  }

  /// A bias is added, and its gradient summed, as in float32 with one rounding: bit for bit what a copy in float32 would give.
  @Test func biasesBesideNarrowRows() throws {
    let x = try normal([300, 40], .float32).to(.bfloat16)
    let weight = try normal([65, 40], stream: 1, .float32).requiresGrad(true)
    let bias = try normal([65], stream: 2, .float32).requiresGrad(true)
    let y = try x.linear(weight, bias)
    let copied = try x.linear(weight).to(.float32).add(bias).to(.bfloat16)
    #expect(y.values == copied.values)
    let seed = try normal([300, 65], stream: 3, .float32).to(.bfloat16).to(.float32)
    try y.to(.float32).backward(gradient: seed)
    var sums = [Float](repeating: 0, count: 65)
    for row in 0..<300 { for i in 0..<65 { sums[i] += seed.floats[row * 65 + i] } }
    #expect(Array(try #require(bias.grad).floats) == sums)
  }

  /// Inner sizes that are no multiples of what is multiplied at once: what memory held before must not count.
  @Test(arguments: [1, 2, 31, 33, 65, 130]) func whatMemoryHeldDoesNotCount(_ inner: Int) throws {
    let (rows, columns) = (35, 37)
    for (isLeftFlipped, isRightFlipped) in [(false, false), (true, false), (false, true), (true, true)] {
      let a = try normal(isLeftFlipped ? [inner, rows] : [rows, inner], stream: 1, .float32).to(.bfloat16)
      let b = try normal(isRightFlipped ? [columns, inner] : [inner, columns], stream: 2, .float32).to(.bfloat16)
      // Blocks that are freed again, full of what is not a number.
      _ = try (8...16).map { try Tensor.full([1 << $0], .nan) }
      let c = try Tensor.full([rows, columns], .nan)
      func factor(_ tensor: Tensor, _ isFlipped: Bool) -> pg_factor {
        pg_factor(data: UnsafeRawPointer(tensor.pointer), type: PG_BF16, transposed: isFlipped, stride: tensor.columns)
      }
      #expect(
        pg_multiply(
          PG_BF16, rows, columns, inner, 1, factor(a, isLeftFlipped), factor(b, isRightFlipped), 0, PG_F32, c.pointer, columns))
      let expected = (0..<rows).flatMap { i in
        (0..<columns).map { j in
          (0..<inner).reduce(0.0) { sum, l in
            sum + a.element(isLeftFlipped ? l * rows + i : i * inner + l) * b.element(isRightFlipped ? j * inner + l : l * columns + j)
          }
        }
      }
      expectClose("flipped \(isLeftFlipped) \(isRightFlipped)", c.values, expected, relative: 1e-3, absolute: 1e-3)
    }
  }

  /// Both GELUs and their slopes of every finite number, against float64: bfloat16's rounding, and what their polynomials may add.
  @Test(arguments: [UnaryOperation.gelu, .geluTanh]) func geluOfEveryNumber(_ operation: UnaryOperation) throws {
    let numbers = (0...UInt32(UInt16.max)).map { Float(bitPattern: $0 << 16) }.filter(\.isFinite)
    let x = try Tensor(numbers, [numbers.count]).requiresGrad(true)
    let y = try x.to(.bfloat16).activation(operation)
    try y.to(.float32).backward(gradient: .ones([numbers.count]))
    let (values, slopes) = (try y.to(.float32).values, try #require(x.grad).values)
    for (i, number) in numbers.enumerated() {
      let x = Double(number)
      var cdf = 0.5 * erfc(-x / 2.0.squareRoot()), density = exp(-x * x / 2) / (2 * .pi).squareRoot()
      if operation == .geluTanh {
        let scale = (2 / Double.pi).squareRoot(), t = tanh(scale * (x + 0.044715 * x * x * x))
        (cdf, density) = (0.5 + 0.5 * t, abs(x) > 50 ? 0 : 0.5 * (1 - t * t) * scale * (1 + 3 * 0.044715 * x * x))
      }
      let slope = cdf + x * density
      let worst = max(abs(values[i] - x * cdf) - abs(x * cdf) / 256, abs(slopes[i] - slope) - abs(slope) / 256)
      if !(worst < 5e-6) { Issue.record("\(operation) of \(number): \(values[i]), \(slopes[i])") }
    }
    for bad in [Float.nan, .infinity] {
      let y = try Tensor([bad], [1]).to(.bfloat16).activation(operation).to(.float32).values[0]
      #expect(bad.isNaN ? y.isNaN : y == .infinity)
    }
  }

  @Test func otherTypesBesideActivationsAreRefused() throws {
    let x = try Tensor.ones([2, 4]).to(.bfloat16)
    #expect(throws: (any Error).self) { try x.linear(Tensor.ones([3, 4]).to(.float64)) }
    #expect(throws: (any Error).self) { try x.attention(keys: Tensor.ones([2, 4]), values: x, heads: 1, offsets: Offsets(lengths: [2])) }
  }
}
