import CKernels
import Foundation
import TestSupport
import Testing

@testable import TensorCore

/// Runs `body` with every provider that this CPU and this build have, for a precision.
private func withEachProvider(_ precision: Precision, _ body: (_ name: String) throws -> Void) rethrows {
  defer { pg_set_products(nil) }
  for name in String(cString: pg_products_names()).split(separator: ", ").map(String.init) where pg_set_products(name) {
    // These leave fp32 to others.
    if precision == .bf16 || !name.hasPrefix("amx") { try body(name) }
  }
}

/// Products of mixed types against float64, and products with packed frozen weights against `pg_gemm`.
@Suite(.engine) struct ProductTests {
  struct Mixed: CustomTestStringConvertible, Sendable {
    let shape: (m: Int, n: Int, k: Int)
    let precision: Precision
    let types: (a: DType, b: DType, c: DType)
    let flips: (a: Bool, b: Bool)
    let beta: Double
    var testDescription: String { "\(shape) \(precision) \(types) \(flips) \(beta)" }
  }
  /// Shapes at and around the sizes of tiles, panels, chunks and blocks, and long and narrow ones.
  static let mixed = [
    (1, 1, 1), (6, 64, 8), (7, 65, 33), (96, 64, 768), (97, 130, 769), (200, 8, 65), (8, 200, 1601), (5, 800, 64),
    (193, 1600, 7), (64, 128, 64),
  ].enumerated().flatMap { i, shape in
    Precision.allCases.flatMap { precision in
      (0..<8).map { bits in
        let type = { (bit: Int) -> DType in (bits + i) >> bit & 1 == 0 ? .float32 : .bfloat16 }
        return Mixed(
          shape: shape, precision: precision, types: (type(0), type(1), type(2)), flips: (bits & 1 == 0, bits & 2 == 0),
          beta: bits & 4 == 0 ? 0 : 0.5)
      }
    }
  }

  @Test(arguments: mixed) func mixedTypes(_ row: Mixed) throws {
    let (m, n, k) = row.shape
    let a = try normal(row.flips.a ? [k, m] : [m, k], stream: 1, .float32).to(row.types.a)
    let b = try normal(row.flips.b ? [n, k] : [k, n], stream: 2, .float32).to(row.types.b)
    let start = try normal([m, n], stream: 3, .float32).to(row.types.c)
    // In bf16 precision, factors are rounded; the sums are not, but for the result's own type.
    let rounded = { (t: Tensor) in try (row.precision == .bf16 ? t.to(.bfloat16) : t).to(.float64) }
    let expected = try start.to(.float64)
    let (a64, b64) = (try rounded(a), try rounded(b))
    #expect(
      pg_gemm(
        PG_F64, row.flips.a, row.flips.b, m, n, k, 1.5, a64.pointer, a.columns, b64.pointer, b.columns, row.beta,
        expected.pointer, n))
    try withEachProvider(row.precision) { provider in
      let c = try start.copy()
      #expect(
        pg_multiply(
          row.precision == .bf16 ? PG_BF16 : PG_F32, m, n, k, 1.5,
          pg_factor(data: a.pointer, type: a.dtype.kernel, transposed: row.flips.a, stride: a.columns),
          pg_factor(data: b.pointer, type: b.dtype.kernel, transposed: row.flips.b, stride: b.columns), row.beta, c.dtype.kernel,
          c.pointer, n))
      let excess = try Self.excess(c, over: expected, relative: row.types.c == .bfloat16 ? 1.0 / 256 : 1e-5)
      #expect(excess <= 8e-6 * Double(k).squareRoot(), "\(provider)")
    }
  }

  /// The largest |c - expected| - relative * |expected|, computed by kernels: results have hundreds of thousands of elements. Infinite
  /// where a number is not finite.
  private static func excess(_ c: Tensor, over expected: Tensor, relative: Double) throws -> Double {
    let (d, size, n) = (try c.to(.float64), try expected.to(.float64).copy(), c.count)
    pg_axpby(PG_F64, n, 1, d.pointer, -1, size.pointer, d.pointer)
    guard pg_first_nonfinite(PG_F64, n, d.pointer) == n else { return .infinity }
    for tensor in [d, size] { pg_unary(PG_F64, PG_ABS, n, tensor.pointer, tensor.pointer) }
    pg_axpby(PG_F64, n, 1, d.pointer, -relative, size.pointer, d.pointer)
    var (largest, place) = (0.0, Int32(0))
    pg_extremum(PG_F64, true, 1, n, d.pointer, &largest, &place)
    return largest
  }

  /// Sums leave a tile in two ways, by the width of the panel: both scale, add and round alike, extreme values too.
  @Test(arguments: Precision.allCases, [DType.float32, .bfloat16]) func edgesRoundAsWholePanelsDo(_ precision: Precision, _ type: DType)
    throws
  {
    let (m, k) = (9, 34)
    let a = try normal([m, k], stream: 1, .float32)
    for (row, value) in [1e38, 1e-39, 3e-42, Double.nan, .infinity].enumerated() { a.set(value, at: row * k) }
    let b = try normal([k, 64], stream: 2, .float32)
    // OpenBLAS may order the sums of another width in another way.
    try withEachProvider(precision) { provider in
      guard provider != "openblas" else { return }
      for beta in [0.0, 0.5] {
        let results = try [64, 60].map { n in
          let c = try normal([m, 64], stream: 3, .float32).to(type)
          #expect(
            pg_multiply(
              precision == .bf16 ? PG_BF16 : PG_F32, m, n, k, 1e-2, a.factor, b.factor, beta, type.kernel, c.pointer, 64))
          return try c.slice(1, 0, 60).values.map(\.bitPattern)
        }
        #expect(results[0] == results[1], "\(provider), beta \(beta)")
      }
    }
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let m: Int, precision: Precision, isTransposed: Bool
    var testDescription: String {
      "\(m) rows, \(precision.rawValue)\(isTransposed ? ", transposed" : "")"
    }
  }
  static let cases = [1, 31, 32, 33, 255, 256, 257, 600].flatMap { m in
    Precision.allCases.flatMap { p in
      [false, true].map { Case(m: m, precision: p, isTransposed: $0) }
    }
  }

  @Test(arguments: cases) func matchesGemm(_ row: Case) throws {
    let (out, inner, m) = (72, 100, row.m)
    let (k, n) = row.isTransposed ? (out, inner) : (inner, out)
    let w = try normal([out, inner], stream: 1, .float32)
    let x = try normal([m, k], stream: 2, .float32)
    let bias = try normal([n], stream: 3, .float32)
    // Null where OpenBLAS alone multiplies: then nothing is packed.
    guard let packed = pg_pack(w.factor, out, inner, row.isTransposed, row.precision == .bf16) else { return }
    defer { pg_packed_free(packed) }
    for withBias in [false, true] {
      let y = try Tensor.full([m + 1, n], 77)
      let expected = try Tensor.zeros([m, n])
      #expect(
        pg_packed_multiply(
          packed, m, PG_F32, x.pointer, k, withBias ? bias.floats.baseAddress : nil, 0, PG_F32, y.pointer))
      // bfloat16 rounds the factors, not the sums: compare with the product of rounded factors.
      let rounded = { (t: Tensor) in row.precision == .bf16 ? try t.to(.bfloat16).to(.float32) : t }
      let (a, b) = (try rounded(x), try rounded(w))
      #expect(
        pg_gemm(
          PG_F32, false, !row.isTransposed, m, n, k, 1, a.pointer, k, b.pointer, inner, 0,
          expected.pointer, n))
      if withBias { pg_add_rows(PG_F32, m, n, expected.pointer, bias.pointer, expected.pointer) }
      expectClose(
        "bias \(withBias)", Array(y.values.prefix(m * n)), expected.values, relative: 1e-5,
        absolute: 3e-5)
      #expect(y.floats.suffix(n).allSatisfy { $0 == 77 })
    }
  }

  @Test(arguments: Precision.allCases) func linearUsesAndRenewsTheLayout(_ precision: Precision)
    throws
  {
    let before = Precision.current
    Precision.current = precision
    defer { Precision.current = before }
    let start = Memory.liveBytes
    do {
      let w = try normal([64, 96], stream: 1, .float32)
      let x = try normal([300, 96], stream: 2, .float32).requiresGrad(true)
      let plain = try x.linear(w)
      let seed = try normal([300, 64], stream: 4, .float32)
      try plain.backward(gradient: seed)
      let expected = try #require(x.grad)
      x.grad = nil
      _ = w.sharedParameter()  // as a model does: only then is a weight worth packing
      let y = try x.linear(w)
      let isPacked = w.packed?.matrices.isEmpty == false
      #expect(isPacked || precision.provider == "OpenBLAS")
      try y.backward(gradient: seed)
      #expect(!isPacked || w.packed?.matrices.count == 2)
      let tolerance = precision == .bf16 ? 0.2 : 1e-4
      expectClose("output", y, plain, relative: 0, absolute: tolerance)
      expectClose("gradient", try #require(x.grad), expected, relative: 0, absolute: tolerance)
      // A write through another tensor with the same memory renews the layout.
      w.detach().fill(0)
      #expect(try x.linear(w).values.allSatisfy { $0 == 0 })
    }
    #expect(Memory.liveBytes == start)
  }

  /// Products with packed and with other operands, by rows and by columns.
  private func products(_ precision: Precision) throws -> [[Float]] {
    let type = precision == .bf16 ? PG_BF16 : PG_F32
    return try [(777, 96, 64), (40, 1000, 130), (1030, 20, 65)].flatMap { m, n, k in
      let (w, x) = (try normal([n, k], stream: 1, .float32), try normal([m, k], stream: 2, .float32))
      let y = try Tensor(uninitialized: [m, n])
      let factor = pg_factor(data: w.pointer, type: PG_F32, transposed: true, stride: k)
      #expect(pg_multiply(type, m, n, k, 1, x.factor, factor, 0, PG_F32, y.pointer, n))
      let plain = Array(y.floats)
      // Null where OpenBLAS multiplies: then nothing is packed.
      guard let packed = pg_pack(w.factor, n, k, false, precision == .bf16) else { return [plain] }
      defer { pg_packed_free(packed) }
      #expect(pg_packed_multiply(packed, m, PG_F32, x.pointer, k, nil, 0, PG_F32, y.pointer))
      return [plain, Array(y.floats)]
    }
  }

  @Test(arguments: Precision.allCases) func resultsDoNotDependOnThreads(_ precision: Precision) throws {
    let threads = Threads.count
    defer { Threads.count = threads }
    try withEachProvider(precision) { provider in
      let results = try [1, 2, 4].map { count in
        Threads.count = count
        return try products(precision)
      }
      #expect(results[0] == results[1] && results[0] == results[2], "\(provider)")
    }
  }

  /// Tiles of any width add in the same order, so that a result does not depend on the CPU.
  @Test func tilesOfAVX2GiveTheBitsOfAVX512() throws {
    defer { pg_set_products(nil) }
    let results = try ["avx2", "avx512"].compactMap { (name: String) in pg_set_products(name) ? try products(.fp32) : nil }
    #expect(results.allSatisfy { $0 == results[0] })
  }

  /// OpenBLAS can start once more with another kind of CPU, and computes the same but for rounding.
  @Test func openBLASTakesTheCPUForAnother() throws {
    let (before, wish) = (OpenBLAS.core.used, ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"])
    #expect(OpenBLAS.betterCore(than: "Prescott") == (pg_cpu_has(PG_AVX512) ? "SkylakeX" : pg_cpu_has(PG_AVX2) ? "Haswell" : nil))
    #expect(OpenBLAS.betterCore(than: "Zen") == nil && OpenBLAS.betterCore(than: before) == nil)
    let (x, w) = (try normal([70, 300], stream: 1, .float32), try normal([90, 300], stream: 2, .float32))
    let results = try ["Prescott", before].compactMap { (name: String) -> [Double]? in
      guard pg_set_blas_core(name) else { return nil }
      let y = try Tensor(uninitialized: [70, 90])
      #expect(x.multipliedByOpenBLAS(w, into: y))
      return y.values
    }
    if results.count == 2 { expectClose("Prescott", results[0], results[1], relative: 1e-5, absolute: 1e-4) }
    #expect(ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"] == wish)
  }

  /// Pieces of a product by OpenBLAS lie where they belong, along both sides.
  @Test(arguments: [(1000, 130), (130, 1000), (700, 700)]) func piecesOfOpenBLASFitTogether(m: Int, n: Int) throws {
    defer { pg_set_products(nil) }
    #expect(pg_set_products("openblas"))
    let k = 130
    for flips in [(false, false), (true, true)] {
      let x = try normal(flips.0 ? [k, m] : [m, k], stream: 1, .float32), w = try normal(flips.1 ? [n, k] : [k, n], stream: 2, .float32)
      let (y, expected) = (try Tensor(uninitialized: [m, n]), try Tensor(uninitialized: [m, n]))
      for (provider, result) in [("openblas", y), (nil, expected)] as [(String?, Tensor)] {
        #expect(pg_set_products(provider))
        #expect(
          pg_gemm(
            PG_F32, flips.0, flips.1, m, n, k, 1, x.pointer, x.columns, w.pointer, w.columns, 0, result.pointer, n))
      }
      #expect(try Self.excess(y, over: expected, relative: 1e-5) <= 1e-4, "\(flips)")
    }
  }
}
