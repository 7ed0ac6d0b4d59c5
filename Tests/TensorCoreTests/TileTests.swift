import CKernels
import TestSupport
import Testing

@testable import TensorCore

private let hasTiles = pg_cpu_has(PG_AMX) && !pg_is_amx_refused()

/// AMX tiles: what the instructions compute, and everything that is made of them. `ProductTests` has their products beside all others.
@Suite(.engine) struct TileTests {
  private static func flushed(_ x: Float) -> Float {
    x.magnitude < .leastNormalMagnitude ? (x.sign == .minus ? -0.0 : 0) : x
  }

  /// A sum as Intel's manual defines it: 32 of k at a time, even and odd ones apart.
  private static func sum(_ a: [Float], _ b: [Float]) -> Float {
    var total: Float = 0
    for start in stride(from: 0, to: a.count, by: 32) {
      var parts: [Float] = [0, 0]
      for k in start..<min(start + 32, a.count) { parts[k % 2] = flushed(parts[k % 2].addingProduct(flushed(a[k]), flushed(b[k]))) }
      total = flushed(total + flushed(parts[0] + parts[1]))
    }
    return total
  }

  /// Normal numbers, and among them infinite, huge, tiny and subnormal ones.
  private static func factors(_ shape: [Int], stream: Int) throws -> Tensor {
    let x = try normal(shape, stream: stream, .float32)
    for (i, value) in [1e38, -3e38, 1e-20, -1e-38, 1e-39, -9e-41, .infinity].enumerated() { x.set(value, at: (37 * i + 5) % x.count) }
    return try x.to(.bfloat16)
  }

  private static func product(_ provider: String, _ a: Tensor, _ b: Tensor, _ alpha: Double = 1, beta: Double = 0, _ type: DType = .float32) throws
    -> [UInt32]
  {
    defer { pg_set_products(nil) }
    try #require(pg_set_products(provider))
    let (m, n, k) = (a.shape[0], b.shape[1], b.shape[0])
    let c = try normal([m, n], stream: 9, .float32).to(type)
    #expect(pg_multiply(PG_BF16, m, n, k, alpha, a.factor, b.factor, beta, type.kernel, c.pointer, n))
    return try c.to(.float32).floats.map { $0.isNaN ? Float.nan.bitPattern : $0.bitPattern }
  }

  private func expectDefinedSums(_ provider: String) throws {
    for (m, n, k) in [(5, 9, 1), (33, 17, 31), (18, 50, 64), (20, 3, 71)] {
      let (a, b) = (try Self.factors([m, k], stream: 1), try Self.factors([k, n], stream: 2))
      let (left, right) = (try a.to(.float32).floats.map { $0 }, try b.to(.float32).floats.map { $0 })
      let expected = (0..<m).flatMap { i in
        (0..<n).map { j in
          let sum = Self.sum(Array(left[i * k..<(i + 1) * k]), (0..<k).map { right[$0 * n + j] })
          return sum.isNaN ? Float.nan.bitPattern : sum.bitPattern
        }
      }
      #expect(try Self.product(provider, a, b) == expected, "\(m) x \(n) x \(k)")
    }
  }

  @Test func emulatedSumsAreTheManuals() throws { try expectDefinedSums("amx-emulated") }
  @Test(.enabled(if: hasTiles, "no AMX")) func sumsAreTheManuals() throws { try expectDefinedSums("amx") }

  @Test(.enabled(if: hasTiles, "no AMX")) func theInstructionsGiveTheBitsOfTheirEmulation() throws {
    for (m, n, k) in [(1, 1, 1), (16, 16, 32), (31, 33, 50), (96, 64, 768), (130, 200, 801)] {
      let (a, b) = (try Self.factors([m, k], stream: 1), try Self.factors([k, n], stream: 2))
      for (alpha, beta) in [(1.0, 0.0), (1.5, 0.5)] {
        for type in [DType.float32, .bfloat16] {
          let results = try ["amx", "amx-emulated"].map { try Self.product($0, a, b, alpha, beta: beta, type) }
          #expect(results[0] == results[1], "\(m) x \(n) x \(k), alpha \(alpha), \(type)")
        }
      }
    }
  }

  /// A layout of 4-bit weights is that of the elements which they stand for.
  @Test func weightsInFourBitsHaveTheSameLayout() throws {
    defer { pg_set_products(nil) }
    let (out, inner, m) = (50, 96, 40)
    let w = try normal([out, inner], stream: 1, .float32)
    var (codes, absmax) = ([UInt8](repeating: 0, count: out * inner / 2), [Float](repeating: 0, count: out * inner / 64))
    pg_quantize_4bit(PG_NF4, out * inner, 64, w.floats.baseAddress, &codes, &absmax)
    try codes.withUnsafeBufferPointer { codes in
      try absmax.withUnsafeBufferPointer { absmax in
        var quantized = pg_quantized(code: PG_NF4, block: 64, codes: codes.baseAddress, absmax: absmax.baseAddress)
        pg_dequantize_4bit(&quantized, out * inner, w.floats.baseAddress)
        for isTransposed in [false, true] {
          let (k, n) = isTransposed ? (out, inner) : (inner, out)
          let x = try normal([m, k], stream: 2, .float32)
          let results = try (["amx-emulated", "openblas"] as [String]).map { name in
            try #require(pg_set_products(name))
            let y = try Tensor(uninitialized: [m, n])
            if name == "openblas" {
              let factor = pg_factor(data: w.pointer, type: PG_F32, transposed: !isTransposed, stride: inner)
              #expect(pg_multiply(PG_BF16, m, n, k, 1, x.factor, factor, 0, PG_F32, y.pointer, n))
            } else {
              let packed = try #require(pg_pack_4bit(&quantized, out, inner, isTransposed, true))
              defer { pg_packed_free(packed) }
              #expect(pg_packed_multiply(packed, m, PG_F32, x.pointer, k, nil, 0, PG_F32, y.pointer))
            }
            return y.values
          }
          expectClose("transposed \(isTransposed)", results[0], results[1], relative: 1e-5, absolute: 1e-4)
        }
      }
    }
  }

  /// Attention's output and gradients in bfloat16: the same bits for any number of threads, and those of other units but for rounding.
  @Test(arguments: [false, true]) func attentionRunsOnTiles(_ causal: Bool) throws {
    let threads = Threads.count
    defer {
      Threads.count = threads
      pg_set_products(nil)
    }
    func results(_ provider: String, _ count: Int) throws -> [[Double]] {
      try #require(pg_set_products(provider))
      Threads.count = count
      let leaves = try (1...3).map { try normal([101, 48], stream: $0, .float32).requiresGrad(true) }
      let x = try leaves.map { try $0.to(.bfloat16) }
      let output = try x[0].attention(
        keys: x[1], values: x[2], heads: 2, offsets: Offsets(lengths: [70, 31]), causal: causal, dropout: LayerGradientTests.site)
      let wide = try output.to(.float32)
      try wide.backward(gradient: normal(wide.shape, stream: 5, .float32))
      return try [wide.values] + leaves.map { try #require($0.grad).values }
    }
    let emulated = try [1, 2, 4].map { try results("amx-emulated", $0) }
    #expect(emulated[0] == emulated[1] && emulated[0] == emulated[2])
    for (name, (tiles, other)) in zip(["output", "dq", "dk", "dv"], zip(emulated[0], try results("openblas", 1))) {
      let scale = other.map(abs).max() ?? 0
      expectClose(name, tiles, other, relative: 0.01, absolute: 0.01 * scale)
    }
  }
}
