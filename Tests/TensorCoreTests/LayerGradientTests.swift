import TensorCore
import TestSupport
import Testing

/// Gradients of the coarse operations that models are made of.
@Suite(.engine) struct LayerGradientTests {
  static let site = Dropout(p: 0.3, source: RandomSource(seed: 5, stream: 3, step: 11))

  static let linears: [GradientCase] = [
    GradientCase("linear", [[5, 4], [3, 4], [3]]) { try $0[0].linear($0[1], $0[2]) },
    GradientCase("linear, no bias, rank 3", [[2, 3, 4], [5, 4]]) { try $0[0].linear($0[1]) },
    GradientCase("linear, rank 1", [[4], [3, 4], [3]]) { try $0[0].linear($0[1], $0[2]) },
    GradientCase("linear, frozen weight", [[5, 4], [3, 4], [3]], frozen: [1]) {
      try $0[0].linear($0[1], $0[2])
    },
    GradientCase("linear, frozen weight and bias", [[5, 4], [3, 4], [3]], frozen: [1, 2]) {
      try $0[0].linear($0[1], $0[2])
    },
    GradientCase("linear, frozen input", [[5, 4], [3, 4], [3]], frozen: [0]) {
      try $0[0].linear($0[1], $0[2])
    },
    GradientCase("linear, only the bias trains", [[5, 4], [3, 4], [3]], frozen: [0, 1]) {
      try $0[0].linear($0[1], $0[2])
    },
    GradientCase("linear, long", [[300, 9], [70, 9], [70]]) { try $0[0].linear($0[1], $0[2]) },
    GradientCase("linear, wide", [[3, 65], [130, 65]]) { try $0[0].linear($0[1]) },
    GradientCase("linear, one weight twice", [[3, 4], [4, 4]]) {
      try $0[0].linear($0[1]).linear($0[1])
    },
    GradientCase("adapter", [[5, 4], [6, 4], [2, 4], [6, 2]]) {
      try $0[0].linear($0[1]).addingLinear($0[0].linear($0[2]), $0[3], scale: 1.7)
    },
    GradientCase("adapter, frozen base", [[5, 4], [6, 4], [2, 4], [6, 2]], frozen: [0, 1]) {
      try $0[0].linear($0[1]).addingLinear($0[0].linear($0[2]), $0[3], scale: -0.4)
    },
    GradientCase(
      "adapter, frozen up-projection", [[2, 3, 4], [6, 4], [2, 4], [6, 2]], frozen: [1, 3]
    ) {
      try $0[0].linear($0[1]).addingLinear($0[0].linear($0[2]), $0[3], scale: 2)
    },
    GradientCase("two adapters", [[5, 4], [6, 4], [2, 4], [6, 2], [3, 4], [6, 3]]) {
      try $0[0].linear($0[1]).addingLinear($0[0].linear($0[2]), $0[3], scale: 0.5)
        .addingLinear($0[0].linear($0[4]), $0[5], scale: 1.5)
    },
  ]

  static let norms: [GradientCase] = [
    GradientCase("layer_norm", [[5, 7], [7], [7]]) { try $0[0].layerNorm($0[1], $0[2]) },
    GradientCase("layer_norm, wide, rank 3", [[2, 2, 300], [300], [300]]) {
      try $0[0].layerNorm($0[1], $0[2], eps: 1e-12)
    },
    GradientCase("layer_norm, residual", [[5, 7], [7], [7], [5, 7]]) {
      try $0[0].layerNorm(residual: $0[3], $0[1], $0[2])
    },
    GradientCase("layer_norm, dropout", [[5, 7], [7], [7]]) {
      try $0[0].layerNorm($0[1], $0[2], dropout: site)
    },
    GradientCase("layer_norm, residual and dropout", [[5, 130], [130], [130], [5, 130]]) {
      try $0[0].layerNorm(residual: $0[3], $0[1], $0[2], dropout: site)
    },
    GradientCase("layer_norm, frozen weight", [[5, 7], [7], [7], [5, 7]], frozen: [1, 2]) {
      try $0[0].layerNorm(residual: $0[3], $0[1], $0[2], dropout: site)
    },
    GradientCase("layer_norm, frozen input", [[5, 7], [7], [7], [5, 7]], frozen: [0, 3]) {
      try $0[0].layerNorm(residual: $0[3], $0[1], $0[2])
    },
    GradientCase("layer_norm, frozen residual", [[5, 7], [7], [7], [5, 7]], frozen: [3]) {
      try $0[0].layerNorm(residual: $0[3], $0[1], $0[2], dropout: site)
    },
    GradientCase("layer_norm, input is its residual", [[5, 7], [7], [7]]) {
      try $0[0].layerNorm(residual: $0[0], $0[1], $0[2], dropout: site)
    },
    GradientCase("dropout", [[7, 300]]) { try $0[0].dropout(site) },
    GradientCase("dropout p = 1", [[7, 3]]) {
      try $0[0].dropout(Dropout(p: 1, source: site.source))
    },
    GradientCase("no dropout", [[4]]) { try $0[0].unary(.square).dropout(nil) },
  ]

  static let attentions: [GradientCase] = [
    GradientCase("attention", [[9, 6], [9, 6], [9, 6]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [4, 1, 3, 1]))
    },
    GradientCase("attention, an empty sequence", [[5, 4], [5, 4], [5, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [0, 3, 0, 2]))
    },
    GradientCase("attention, longer than a tile", [[135, 4], [135, 4], [135, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [70, 65]))
    },
    GradientCase("attention, causal", [[140, 4], [140, 4], [140, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 1, offsets: Offsets(lengths: [7, 1, 132]), scale: 0.9,
        causal: true)
    },
    GradientCase("attention, crossed", [[7, 6], [12, 6], [12, 6]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 3, offsets: Offsets(lengths: [2, 5]),
        keyOffsets: Offsets(lengths: [11, 1]))
    },
    GradientCase("attention, crossed and causal", [[7, 4], [12, 4], [12, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [2, 5]),
        keyOffsets: Offsets(lengths: [9, 3]),
        causal: true)
    },
    GradientCase("attention, queries without keys", [[4, 4], [3, 4], [3, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [2, 2, 0]),
        keyOffsets: Offsets(lengths: [0, 2, 1]))
    },
    GradientCase("attention, dropout", [[75, 4], [75, 4], [75, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [5, 70]), dropout: site)
    },
    GradientCase("attention, dropout and causal", [[75, 4], [75, 4], [75, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [5, 70]), causal: true,
        dropout: site)
    },
    GradientCase("attention, dropout, more keys than a mask's block", [[3, 4], [150, 4], [150, 4]]) {
      try $0[0].attention(
        keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [1, 2]), keyOffsets: Offsets(lengths: [9, 141]),
        dropout: site)
    },
    GradientCase("attention, of one tensor", [[6, 4]]) {
      try $0[0].attention(keys: $0[0], values: $0[0], heads: 2, offsets: Offsets(lengths: [4, 2]))
    },
    GradientCase("attention, frozen keys", [[6, 4], [6, 4], [6, 4]], frozen: [1]) {
      try $0[0].attention(keys: $0[1], values: $0[2], heads: 2, offsets: Offsets(lengths: [4, 2]))
    },
  ]

  static let decoders: [GradientCase] = [
    GradientCase("rms_norm", [[5, 7], [7]]) { try $0[0].rmsNorm($0[1]) },
    GradientCase("rms_norm, wide, rank 3", [[2, 2, 300], [300]]) { try $0[0].rmsNorm($0[1], eps: 1e-5) },
    GradientCase("rms_norm, narrow", [[400, 4], [4]]) { try $0[0].rmsNorm($0[1]) },
    GradientCase("rms_norm, frozen weight", [[5, 7], [7]], frozen: [1]) { try $0[0].rmsNorm($0[1]) },
    GradientCase("rms_norm, frozen input", [[5, 7], [7]], frozen: [0]) { try $0[0].rmsNorm($0[1]) },
    GradientCase("rotary", [[6, 8]]) {
      try $0[0].rotary(RotaryTable(base: 100, size: 4), positions: Offsets(lengths: [4, 2]).positions, heads: 2)
    },
    GradientCase("rotary, part of a head, far positions", [[3, 14]]) {
      try $0[0].rotary(RotaryTable(frequencies: [1, 0.3], scale: 1.4), positions: [0, 900, 7], heads: 2)
    },
    GradientCase("gated silu", [[5, 7], [5, 7]]) { try $0[0].gating($0[1], by: .silu) },
    GradientCase("gated gelu", [[3, 1500], [3, 1500]]) { try $0[0].gating($0[1], by: .gelu) },
    GradientCase("gated gelu_tanh", [[4], [4]]) { try $0[0].gating($0[1], by: .geluTanh) },
    GradientCase("gated relu", values: { [try spread([40]), try normal([40])] }) { try $0[0].gating($0[1], by: .relu) },
    GradientCase("gated, of one tensor", [[5, 7]]) { try $0[0].gating($0[0], by: .silu) },
  ]

  static let others: [GradientCase] = [
    GradientCase("embedding", [[5, 3]]) { try $0[0].gatherRows([4, 0, 4, 2]) },
    GradientCase("embedding, three tables", [[5, 3], [4, 3], [2, 3]]) {
      try $0[0].gatherRows([4, 0, 4], adding: [($0[1], [0, 1, 2]), ($0[2], [1, 1, 0])])
    },
    GradientCase("embedding, frozen first table", [[5, 3], [4, 3]], frozen: [0]) {
      try $0[0].gatherRows([4, 0, 4], adding: [($0[1], [0, 0, 3])])
    },
    GradientCase("embedding, one table twice", [[5, 130]]) {
      try $0[0].gatherRows([4, 0, 4], adding: [($0[0], [1, 0, 3])])
    },
    GradientCase("cross_entropy", [[6, 5]]) { try $0[0].crossEntropy([0, 4, 2, 2, 1, 3]) },
    GradientCase("cross_entropy, ignored rows", [[6, 5]]) {
      try $0[0].crossEntropy([0, -100, 2, -100, 1, 3])
    },
    GradientCase("cross_entropy of a frozen head", [[5, 4], [7, 4], [7]], frozen: [1, 2]) {
      try $0[0].linearCrossEntropy($0[1], $0[2], [0, -100, 6, 2, 1], labelSmoothing: 0.2, divisor: 7)
    },
    GradientCase("cross_entropy of a frozen head, scaled, 400 rows", [[400, 3], [5, 3]], frozen: [1]) {
      try $0[0].linearCrossEntropy($0[1], nil, (0..<400).map { (i: Int32) in i % 5 }).mul(1.7)
    },
    GradientCase("cross_entropy, all ignored", [[2, 5]]) { try $0[0].crossEntropy([-100, -100]) },
    GradientCase("cross_entropy, smoothing and divisor", [[4, 5]]) {
      try $0[0].crossEntropy([0, -100, 2, 1], labelSmoothing: 0.2, divisor: 7)
    },
    GradientCase("mse_loss", [[6, 2], [6, 2]], frozen: [1]) { try $0[0].mseLoss($0[1]) },
    GradientCase("mse_loss, divisor", [[6, 1], [6]], frozen: [1]) {
      try $0[0].mseLoss($0[1], divisor: 4)
    },
  ]

  static let unaries: [GradientCase] = UnaryOperation.allCases.map { operation in
    let isPositive = [.log, .sqrt, .rsqrt, .reciprocal].contains(operation)
    return GradientCase(
      operation.rawValue,
      values: {
        switch operation {
        case .floor, .ceil, .round: [try uniform([40], 0.6, 0.9)]
        case .abs, .sign, .relu: [try spread([40])]
        default: [isPositive ? try uniform([40], 0.3, 3) : try normal([40])]
        }
      }
    ) { try $0[0].unary(operation) }
  }

  @Test(arguments: linears + norms + attentions + decoders + others + unaries)
  func gradientMatchesDifferences(_ row: GradientCase) throws {
    try expectGradient(row.name, try row.inputs(), row.body)
  }

  @Test(arguments: linears + norms + attentions + decoders + others + unaries)
  func resultsDoNotDependOnThreads(_ row: GradientCase) throws {
    let threads = Threads.count
    defer { Threads.count = threads }
    var bits: [[[UInt64]]] = []
    for count in [1, 2, 3] {
      Threads.count = count
      let inputs = try row.inputs()
      let output = try row.body(inputs)
      try output.backward(gradient: try normal(output.shape, stream: 9))
      bits.append(([output] + inputs.compactMap(\.grad)).map { $0.values.map(\.bitPattern) })
    }
    #expect(bits[0] == bits[1])
    #expect(bits[0] == bits[2])
  }

  /// The float32 kernels against the float64 ones: outputs and gradients.
  @Test(arguments: linears + norms + attentions + decoders + others + unaries)
  func singleAgreesWithDouble(_ row: GradientCase) throws {
    let doubles = try row.inputs()
    let singles = try row.inputs().map {
      try $0.detach().to(.float32).requiresGrad($0.requiresGrad)
    }
    let (expected, actual) = (try row.body(doubles), try row.body(singles))
    #expect(actual.dtype == .float32)
    let seed = try normal(expected.shape, stream: 9)
    try expected.backward(gradient: seed)
    try actual.backward(gradient: try seed.to(.float32))
    let scale = 1 + expected.values.reduce(0) { max($0, abs($1)) }
    expectClose(row.name, actual, expected, relative: 1e-5, absolute: 1e-6 * scale)
    for (single, double) in zip(singles, doubles) {
      guard let a = single.grad, let b = double.grad else { continue }
      let scale = 1 + b.values.reduce(0) { max($0, abs($1)) }
      expectClose(row.name + " gradient", a, b, relative: 1e-4, absolute: 3e-6 * scale)
    }
  }

  @Test func wrongGradientsFail() throws {
    let x = try normal([5]).requiresGrad(true)
    // The derivative of tanh with the formula of the sigmoid; a gradient that is a tenth of a
    // percent too long.
    for wrong: @Sendable (Tensor, Tensor) -> Double in [
      { y, _ in y.element(0) * (1 - y.element(0)) },
      { y, _ in 1.001 * (1 - y.element(0) * y.element(0)) },
    ] {
      let worst = try worstGradientMismatch([try normal([1]).requiresGrad(true)]) { inputs in
        let y = try inputs[0].detach().tanh()
        Autograd.attach("wrong", to: y, inputs: inputs) { [saved = y.detach()] dy in
          [try Tensor([wrong(saved, dy) * dy.element(0)], [1])]
        }
        return y
      }
      #expect(try #require(worst).error > 1e-4)
    }
    // A gradient that is missing, and one that is not a number.
    let missing = try worstGradientMismatch([x]) {
      try $0[0].detach().tanh().mseLoss($0[0].detach()).withGradient(of: $0[0], 0)
    }
    #expect(try #require(missing).error > 0.5)
    let nan = try worstGradientMismatch([x]) {
      try $0[0].tanh().mseLoss(try Tensor.zeros([5], .float64)).withGradient(of: $0[0], .nan)
    }
    #expect(!(try #require(nan).error < 1e-6))
  }
}

extension Tensor {
  /// This value, whose gradient for `input` is claimed to be `value` everywhere.
  fileprivate func withGradient(of input: Tensor, _ value: Double) throws -> Tensor {
    let result = detach()
    let (shape, dtype) = (input.shape, input.dtype)
    Autograd.attach("wrong", to: result, inputs: [input]) { _ in
      [try Tensor.full(shape, value, dtype)]
    }
    return result
  }
}
