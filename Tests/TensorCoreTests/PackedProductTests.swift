import CKernels
import TensorCore
import TestSupport
import Testing

/// Products with packed frozen weights against `pg_gemm`.
@Suite(.engine, .enabled(if: Precision.hasOneDNN, "needs oneDNN")) struct PackedProductTests {
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
    let packed = try #require(
      pg_pack(w.floats.baseAddress, out, inner, row.isTransposed, row.precision == .bf16))
    defer { pg_packed_free(packed) }
    for withBias in [false, true] {
      let y = try Tensor.full([m + 1, n], 77)
      let expected = try Tensor.zeros([m, n])
      pg_packed_multiply(
        packed, m, x.floats.baseAddress, withBias ? bias.floats.baseAddress : nil,
        y.floats.baseAddress)
      // bfloat16 rounds the factors, not the sums: compare with the product of rounded factors.
      let rounded = { (t: Tensor) in row.precision == .bf16 ? try t.to(.bfloat16).to(.float32) : t }
      let (a, b) = (try rounded(x), try rounded(w))
      pg_gemm(
        PG_F32, false, !row.isTransposed, m, n, k, 1, a.pointer, k, b.pointer, inner, 0,
        expected.pointer, n)
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
      #expect(w.packed?.matrices.count == 1)
      try y.backward(gradient: seed)
      #expect(w.packed?.matrices.count == 2)
      let tolerance = precision == .bf16 ? 0.2 : 1e-4
      expectClose("output", y, plain, relative: 0, absolute: tolerance)
      expectClose("gradient", try #require(x.grad), expected, relative: 0, absolute: tolerance)
      // A write through another tensor with the same memory renews the layout.
      w.detach().fill(0)
      #expect(try x.linear(w).values.allSatisfy { $0 == 0 })
    }
    #expect(Memory.liveBytes == start)
  }

  @Test(arguments: Precision.allCases) func resultsDoNotDependOnThreads(_ precision: Precision)
    throws
  {
    let threads = Threads.count
    defer { Threads.count = threads }
    let w = try normal([96, 64], stream: 1, .float32)
    let x = try normal([777, 64], stream: 2, .float32)
    let packed = try #require(pg_pack(w.floats.baseAddress, 96, 64, false, precision == .bf16))
    defer { pg_packed_free(packed) }
    let results = try [1, 2].map { count in
      Threads.count = count
      let y = try Tensor(uninitialized: [777, 96])
      pg_packed_multiply(packed, 777, x.floats.baseAddress, nil, y.floats.baseAddress)
      return y.values
    }
    #expect(results[0] == results[1])
  }
}
