import CKernels
import Foundation
import TensorCore
import TestSupport
import Testing

/// Kernels against plain loops in double precision, at sizes around the widths of vectors and
/// chunks.
@Suite(.engine) struct KernelTests {
  static let sizes = [0, 1, 7, 8, 9, 1023, 70_001]

  @Test(arguments: sizes) func elementwise(_ n: Int) throws {
    for dtype in [DType.float32, .float64] {
      let tolerance = dtype == .float32 ? 1e-6 : 1e-14
      let (a, b) = (try normal([n], stream: 1, dtype), try normal([n], stream: 2, dtype))
      let (x, y) = (a.values, b.values)
      let kernel = dtype == .float64 ? PG_F64 : PG_F32
      let out = try Tensor(uninitialized: [n], dtype)
      pg_axpby(kernel, n, 2, a.pointer, -0.5, b.pointer, out.pointer)
      expectClose(
        "axpby", out.values, zip(x, y).map { 2 * $0 - 0.5 * $1 }, relative: tolerance,
        absolute: tolerance)
      pg_scale(kernel, n, 3, a.pointer, 1, out.pointer)
      expectClose(
        "scale", out.values, x.map { 3 * $0 + 1 }, relative: tolerance, absolute: tolerance)
      #expect(
        abs(pg_sum(kernel, n, a.pointer) - x.reduce(0, +)) < tolerance * 100
          * Double(max(n, 1)).squareRoot())
      let squares = x.reduce(0) { $0 + $1 * $1 }
      #expect(abs(pg_sum_squares(kernel, n, a.pointer) - squares) <= 10 * tolerance * squares)
      out.fill(2.5)
      #expect(out.values.allSatisfy { $0 == 2.5 })
      #expect(pg_first_nonfinite(kernel, n, a.pointer) == n)
      for bad in [Double.nan, .infinity, -.infinity] where n > 0 {
        let at = n * 2 / 3
        let copy = try a.copy()
        copy.set(bad, at: at)
        #expect(pg_first_nonfinite(kernel, n, copy.pointer) == at)
      }
    }
  }

  /// Nothing is written beyond the end: the bytes after each result keep their value.
  @Test(arguments: [1, 7, 9, 1023]) func nothingIsWrittenBeyondTheEnd(_ n: Int) throws {
    let x = try normal([n], stream: 1, .float32)
    func guarded(_ name: String, _ body: (UnsafeMutableRawPointer) -> Void) throws {
      let out = try Tensor.full([n + 64], 77)
      body(out.pointer)
      #expect(out.floats.suffix(64).allSatisfy { $0 == 77 }, "\(name)")
    }
    for operation in 0...PG_ROUND.rawValue {
      let operation = pg_unary_op(rawValue: operation)
      try guarded("unary \(operation)") { pg_unary(PG_F32, operation, n, x.pointer, $0) }
      try guarded("unary \(operation) backward") {
        pg_unary_backward(PG_F32, operation, n, x.pointer, x.pointer, x.pointer, $0)
      }
    }
    try guarded("axpby") { pg_axpby(PG_F32, n, 1, x.pointer, 1, x.pointer, $0) }
    try guarded("binary") { pg_binary(PG_F32, PG_MUL, n, x.pointer, 1, x.pointer, 0, $0) }
    try guarded("softmax") { pg_softmax(PG_F32, 1, n, x.pointer, $0) }
    try guarded("dropout") {
      pg_dropout(PG_F32, n, 0.5, pg_random(seed: 1, stream: 1, step: 1), x.pointer, $0)
    }
    try guarded("normal") {
      pg_random_normal(PG_F32, n, pg_random(seed: 1, stream: 1, step: 1), 0, 1, $0)
    }
    try guarded("layer norm") {
      #expect(
        pg_dropout_add_layer_norm(
          PG_F32, 1, n, x.pointer, x.pointer, 0.1, pg_random(seed: 1, stream: 1, step: 1), x.pointer,
          x.pointer, 1e-5, $0,
          nil, nil))
    }
    try guarded("rows") { pg_sum_rows(PG_F32, 1, n, x.pointer, $0) }
  }

  @Test(arguments: [(1, 1), (3, 7), (5, 8), (2, 1023), (40, 600)]) func softmaxAndNorm(
    _ rows: Int, _ cols: Int
  ) throws {
    let x = try normal([rows, cols], stream: 3, .float32)
    let y = try Tensor(uninitialized: [rows, cols])
    var softmax: [Double] = []
    var logSoftmax: [Double] = []
    var norm: [Double] = []
    for r in 0..<rows {
      let row = Array(x.values[r * cols..<(r + 1) * cols])
      let top = row.max() ?? 0
      let sum = row.reduce(0) { $0 + exp($1 - top) }
      softmax += row.map { exp($0 - top) / sum }
      logSoftmax += row.map { $0 - top - log(sum) }
      let mean = row.reduce(0, +) / Double(cols)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(cols)
      norm += row.map { ($0 - mean) / (variance + 1e-5).squareRoot() * 2 + 0.5 }
    }
    pg_softmax(PG_F32, rows, cols, x.pointer, y.pointer)
    expectClose("softmax", y.values, softmax, relative: 1e-5)
    pg_log_softmax(PG_F32, rows, cols, x.pointer, y.pointer)
    expectClose("log_softmax", y.values, logSoftmax, relative: 1e-5, absolute: 1e-6)
    let normed = try x.layerNorm(try Tensor.full([cols], 2), try Tensor.full([cols], 0.5))
    expectClose("layer_norm", normed.values, norm, relative: 1e-5, absolute: 1e-5)
  }

  /// What a search of the next token asks of a row of scores.
  @Test(arguments: [1, 7, 64, 200, 1023]) func sumsAndPlacesOfScores(_ n: Int) throws {
    let x = try normal([3, n], stream: 3, .float32)
    let values = x.values
    let expected = (0..<3).map { row in
      let row = values[row * n..<(row + 1) * n]
      return (row.max() ?? 0) + log(row.reduce(0) { $0 + exp($1 - (row.max() ?? 0)) })
    }
    expectClose("log sums", x.logSumsOfRows().map(Double.init), expected, relative: 1e-5, absolute: 1e-6)
    let row = UnsafeMutableBufferPointer(rebasing: x.floats[..<n])
    let before = Array(x.floats)
    // Many are equal, some are forbidden.
    for i in before.indices { x.floats[i] = i % 11 == 0 ? -.infinity : (before[i] * 4).rounded() }
    let (minus, plus): ([Float], [Float]) = ([0.5, 0, -1], [-2, 0, 1])
    let sums = x.floats.indices.map { (x.floats[$0] - minus[$0 / n]) + plus[$0 / n] }
    let order = x.floats.indices.filter { sums[$0] > -.infinity }.sorted { sums[$0] > sums[$1] || (sums[$0] == sums[$1] && $0 < $1) }
    for count in [1, 5, 20, 2000] {
      let best = x.floats.best(count, rows: 3, minus: minus, plus: plus)
      #expect(best.map(\.index) == Array(order.prefix(count)) && best.map(\.score) == order.prefix(count).map { sums[$0] })
    }
    x.floats.subtract(fromRows: minus)
    #expect(Array(x.floats) == x.floats.indices.map { i in i % 11 == 0 ? -.infinity : (before[i] * 4).rounded() - minus[i / n] })
    row[n / 2] = .nan
    #expect(row.logSums(rows: 1)[0].isNaN)
    row[n / 2] = .infinity
    #expect(!row.logSums(rows: 1)[0].isFinite)
  }

  @Test func softmaxGivesMaskedScoresNoWeight() throws {
    for dtype in [DType.float32, .float64] {
      let x = try Tensor([1.0, -.infinity, 1, 300, -.infinity, 300], [2, 3]).to(dtype)
      let y = try Tensor(uninitialized: [2, 3], dtype)
      pg_softmax(dtype == .float64 ? PG_F64 : PG_F32, 2, 3, x.pointer, y.pointer)
      expectClose("softmax", y.values, [0.5, 0, 0.5, 0.5, 0, 0.5], absolute: 0)
    }
  }

  /// Attention against loops over sequences, heads, queries and keys.
  @Test(arguments: [false, true]) func attention(causal: Bool) throws {
    let (lengths, keyLengths, heads, size) = ([3, 1, 70, 2], [4, 2, 65, 1], 2, 5)
    let (q, k) = (try normal([76, 10], stream: 1), try normal([72, 10], stream: 2))
    let v = try normal([72, 10], stream: 3)
    let actual = try q.attention(
      keys: k, values: v, heads: heads, offsets: Offsets(lengths: lengths),
      keyOffsets: Offsets(lengths: keyLengths),
      causal: causal)
    var expected = [Double](repeating: 0, count: 760)
    var (q0, k0) = (0, 0)
    for (queries, keys) in zip(lengths, keyLengths) {
      for head in 0..<heads {
        for i in 0..<queries {
          let visible = causal ? max(0, min(keys, keys - queries + i + 1)) : keys
          let row = (q0 + i) * 10 + head * size
          var scores = [Double](repeating: 0, count: visible)
          for j in 0..<visible {
            for d in 0..<size {
              scores[j] += q.element(row + d) * k.element((k0 + j) * 10 + head * size + d)
            }
            scores[j] /= Double(size).squareRoot()
          }
          let total = scores.reduce(0) { $0 + exp($1) }
          for (j, score) in scores.enumerated() {
            for d in 0..<size {
              expected[row + d] += exp(score) / total * v.element((k0 + j) * 10 + head * size + d)
            }
          }
        }
      }
      q0 += queries
      k0 += keys
    }
    expectClose("attention", actual.values, expected, relative: 1e-12, absolute: 1e-12)
  }

  /// Dropout of attention, layer norm and the plain site: the right share of elements is dropped,
  /// and the rest scaled.
  @Test func dropoutKeepsTheMean() throws {
    let site = Dropout(p: 0.25, source: RandomSource(seed: 3, stream: 1, step: 9))
    let x = try Tensor.ones([400, 256])
    let y = try x.dropout(site)
    let kept = y.values.filter { $0 != 0 }
    #expect(abs(Double(kept.count) / Double(y.count) - 0.75) < 0.01)
    #expect(kept.allSatisfy { abs($0 - 4 / 3.0) < 1e-6 })
    // The fused norm draws the same mask.
    let (weight, bias) = (try Tensor.ones([256]), try Tensor.zeros([256]))
    expectClose(
      "mask", try x.layerNorm(weight, bias, dropout: site), try y.layerNorm(weight, bias),
      relative: 1e-5, absolute: 1e-5)
    let other = try x.dropout(Dropout(p: 0.25, source: RandomSource(seed: 3, stream: 1, step: 10)))
    #expect(zip(y.values, other.values).filter { $0 == $1 }.count < 80_000)
    for p in [-0.1, 1.5, .nan] {
      let bad = Dropout(p: p, source: site.source)
      expectError("expected 0 to 1") { try x.dropout(bad) }
      expectError("expected 0 to 1") { try x.layerNorm(weight, bias, dropout: bad) }
    }
  }

  /// Every number comes to every place about equally often, and each seed, stream and step has its own order.
  @Test func permutationsAreUniform() {
    let (size, repeats) = (6, 6_000)
    var counts = [[Int]](repeating: [Int](repeating: 0, count: size), count: size)
    for step in 0..<repeats {
      let order = RandomSource(seed: 5, stream: 2, step: UInt64(step)).permutation(size)
      #expect(order.sorted() == Array(0..<size))
      for (place, number) in order.enumerated() { counts[place][number] += 1 }
    }
    // Binomial with mean 1000 and deviation 29.
    #expect(counts.joined().allSatisfy { (870...1130).contains($0) }, "\(counts)")
    let long = RandomSource(seed: 1).permutation(1_000)
    #expect(long != RandomSource(seed: 2).permutation(1_000))
    #expect(zip(long, long.dropFirst()).count { $0 < $1 } < 600)
  }

  @Test func crossEntropyIgnoresWhatIgnoredRowsHold() throws {
    for dtype in [DType.float32, .float64] {
      let x = try Tensor([1.0, 2, .infinity, 1000, 0, 0], [3, 2]).to(dtype).requiresGrad(true)
      let loss = try x.crossEntropy([1, -100, 0])
      expectClose("loss", loss.values, [(log(1 + exp(-1)) + log(2)) / 2], relative: 1e-6)
      try loss.backward()
      let p = 1 / (1 + exp(1.0))
      expectClose(
        "gradient", try #require(x.grad).values, [p / 2, -p / 2, 0, 0, -0.25, 0.25], relative: 1e-6)
    }
  }

  @Test func adamW() throws {
    let n = 1023
    let (p, m, v) = (
      try normal([n], stream: 1, .float32), try Tensor.zeros([n]), try Tensor.zeros([n])
    )
    var (x, a, b) = (p.values, [Double](repeating: 0, count: n), [Double](repeating: 0, count: n))
    for step in 1...10 {
      let g = try normal([n], stream: step + 1, .float32)
      let (lr, wd, scale) = (0.01 / Double(step), 0.1, 0.7)
      let options = pg_adamw_options(
        learning_rate: lr, beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: wd,
        gradient_scale: scale,
        step: Int64(step))
      pg_adamw(
        n, options, p.floats.baseAddress, g.floats.baseAddress, m.floats.baseAddress,
        v.floats.baseAddress)
      let (c1, c2) = (1 - pow(0.9, Double(step)), 1 - pow(0.98, Double(step)))
      for i in 0..<n {
        let d = g.element(i) * scale
        x[i] *= 1 - lr * wd
        a[i] = 0.9 * a[i] + 0.1 * d
        b[i] = 0.98 * b[i] + 0.02 * d * d
        x[i] -= lr * (a[i] / c1) / ((b[i] / c2).squareRoot() + 1e-8)
      }
      expectClose("step \(step)", p.values, x, relative: 1e-5, absolute: 1e-6)
    }
    expectClose("m", m.values, a, relative: 1e-4, absolute: 1e-6)
    expectClose("v", v.values, b, relative: 1e-4, absolute: 1e-6)
  }

  @Test func bfloat16RoundsToEven() throws {
    let values: [Float] = [
      0, -0.0, 1, 1.00390625, 1.01171875, 3.4e38, .leastNonzeroMagnitude, .infinity, -.infinity,
      .nan, 255.7,
    ]
    let narrow = try Tensor(values, [values.count]).to(.bfloat16)
    for (i, value) in values.enumerated() {
      let back = Float(narrow.element(i))
      // Reference: round the bits in integer arithmetic, ties to even.
      let bits = value.bitPattern
      let lower = bits & 0xFFFF_0000
      let rest = bits & 0xFFFF
      let up = rest > 0x8000 || (rest == 0x8000 && bits & 0x10000 != 0)
      let expected = value.isNaN ? Float.nan : Float(bitPattern: up ? lower + 0x10000 : lower)
      #expect(back == expected || (back.isNaN && expected.isNaN), "\(value)")
    }
  }

  @Test func everyHalfConverts() throws {
    let halves = (0..<65536).map { UInt16($0) }
    var floats = [Float](repeating: 0, count: 65536)
    pg_f16_to_f32(65536, halves, &floats)
    for (bits, value) in zip(halves, floats) {
      let (exponent, fraction) = (Int(bits >> 10 & 31), Float(bits & 1023))
      let sign: Float = bits & 0x8000 != 0 ? -1 : 1
      let expected: Float =
        switch exponent {
        case 0: sign * fraction * 0x1p-24
        case 31: fraction == 0 ? sign * .infinity : .nan
        default: sign * (1 + fraction / 1024) * Float(pow(2.0, Double(exponent - 15)))
        }
      if value.isNaN && expected.isNaN { continue }
      #expect(value == expected && value.sign == expected.sign)
    }
  }

  @Test(arguments: [
    (0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 1, 1), (33, 7, 65), (300, 40, 9), (9, 700, 31),
  ])
  func gemm(_ m: Int, _ n: Int, _ k: Int) throws {
    for dtype in [DType.float32, .float64] {
      for (ta, tb, beta) in [
        (false, false, 0.0), (true, false, 0), (false, true, 1), (true, true, -0.5),
      ] {
        let a = try normal(ta ? [k, m] : [m, k], stream: 1, dtype)
        let b = try normal(tb ? [n, k] : [k, n], stream: 2, dtype)
        // With beta 0, what the result held before must not matter.
        let c =
          beta == 0 ? try Tensor.full([m, n], .nan, dtype) : try normal([m, n], stream: 3, dtype)
        var expected = beta == 0 ? [Double](repeating: 0, count: m * n) : c.values.map { $0 * beta }
        for i in 0..<m {
          for j in 0..<n {
            for l in 0..<k {
              expected[i * n + j] +=
                1.5 * a.element(ta ? l * m + i : i * k + l) * b.element(tb ? j * k + l : l * n + j)
            }
          }
        }
        #expect(
          pg_gemm(
            dtype == .float64 ? PG_F64 : PG_F32, ta, tb, m, n, k, 1.5, a.pointer, ta ? m : k,
            b.pointer, tb ? k : n, beta,
            c.pointer, n))
        let tolerance = dtype == .float32 ? 1e-5 : 1e-13
        expectClose(
          "\(dtype) \(ta) \(tb)", c.values, expected, relative: tolerance, absolute: 10 * tolerance)
      }
    }
  }

  @Test func emptyLinearLayers() throws {
    let x = try Tensor.zeros([3, 0], .float64).requiresGrad(true)
    let w = try Tensor.zeros([2, 0], .float64).requiresGrad(true)
    let y = try x.linear(w, try Tensor([5.0, 6], [2]))
    #expect(y.values == [5, 6, 5, 6, 5, 6])
    try y.backward(gradient: y.detach())
    let narrow = try Tensor.ones([3, 2], .float64).requiresGrad(true)
    let none = try narrow.linear(try Tensor.zeros([0, 2], .float64))
    #expect(none.shape == [3, 0])
    try none.backward(gradient: none.detach())
    #expect(narrow.grad?.values == [0, 0, 0, 0, 0, 0])
    let empty = try Tensor.zeros([0, 2], .float64)
    let weight = try normal([4, 2]).requiresGrad(true)
    let result = try empty.linear(weight)
    try result.backward(gradient: result.detach())
    #expect(weight.grad?.values == [Double](repeating: 0, count: 8))
  }

  /// Sizes of many chunks, whose order differs from run to run on several threads.
  @Test func largeResultsDoNotDependOnThreads() throws {
    let threads = Threads.count
    defer { Threads.count = threads }
    let x = try normal([350, 300], stream: 1, .float32).requiresGrad(true)
    let w = try normal([300, 300], stream: 2, .float32).requiresGrad(true)
    let (gamma, beta) = (
      try normal([300], stream: 3, .float32), try normal([300], stream: 4, .float32)
    )
    try gamma.requiresGrad(true)
    let site = Dropout(p: 0.1, source: RandomSource(seed: 1))
    let offsets = Offsets(lengths: [150, 1, 100, 99])
    var results: [[[Double]]] = []
    for count in [1, 2, 3] {
      Threads.count = count
      for leaf in [x, w, gamma] { leaf.grad = nil }
      let a = try x.linear(w, beta).gelu().dropout(site)
      let b = try a.attention(keys: x, values: a, heads: 12, offsets: offsets, dropout: site)
      let c = try b.layerNorm(residual: x, gamma, beta, dropout: site).add(beta).softmax(0)
      let d = try Tensor.cat([c.transpose(0, 1).matmul(x), c.slice(0, 0, 300).cumsum(1)], 1)
      let e = try d.gatherRows((0..<300).map { $0 * 7 % 300 })
      let loss = try e.std([1]).add(e.norm(2, [1])).logSumExp().add(
        e.crossEntropy((0..<300).map { $0 }))
      try loss.backward()
      results.append(
        try [loss, e, #require(x.grad), #require(w.grad), #require(gamma.grad)].map(\.values))
    }
    #expect(results[0] == results[1])
    #expect(results[0] == results[2])
  }
}
