import CKernels
import Diagnostics
import TensorCore
import TestSupport
import Testing

/// What happens where memory runs out: an error, from whichever request failed, and nothing else.
@Suite(.engine, .serialized) struct MemoryTests {
  /// Runs `body` with its first request for memory failing, then its second, and so on, until none does. Returns how many
  /// requests failed.
  private func failEach(_ name: String, _ body: () throws -> Void) throws -> Int {
    defer { pg_fail_allocations_after(-1) }
    for count in 0..<10_000 {
      pg_fail_allocations_after(Int64(count))
      do {
        try body()
        return count
      } catch let error as EngineError {
        #expect(error.message.hasPrefix("out of memory: "), "\(name): \(error)")
      }
    }
    Issue.record("\(name): still fails")
    return 0
  }

  /// Batches of other lengths leave blocks that nobody wants any more: where no more may wait, these go, and not what is wanted again and again.
  @Test func blocksThatNobodyWantsGiveWay() throws {
    pg_trim()
    pg_reset_peak()
    defer { pg_trim() }
    let others = try (0..<4).map { try #require(pg_allocate((40 + 8 * $0) << 20)) }
    for block in others { pg_free(block, 0) }
    // As many bytes wait now as were ever in use.
    let block = try #require(pg_allocate(3 << 20))
    block.storeBytes(of: 42, as: Int.self)
    pg_free(block, 3 << 20)
    let again = try #require(pg_allocate(3 << 20))
    defer { pg_free(again, 3 << 20) }
    #expect(again.load(as: Int.self) == 42, "the system's memory would be cleared")
  }

  private func forwardAndBackward(_ inputs: [Tensor], _ body: ([Tensor]) throws -> Tensor) throws -> [[Double]] {
    for input in inputs { input.grad = nil }
    let y = try body(inputs)
    if y.requiresGrad { try y.backward(gradient: Tensor.ones(y.shape, y.dtype)) }
    return [y.values] + inputs.map { $0.grad?.values ?? [] }
  }

  /// Every request of every operation, forward and backward.
  @Test(arguments: OperationTable.rows) func everyRequestOfAnOperationMayFail(_ row: OperationTable.Row) throws {
    let inputs = try row.leaves()
    let expected = try forwardAndBackward(inputs, row.body)
    var result: [[Double]] = []
    let failures = try failEach(row.name) { result = try forwardAndBackward(inputs, row.body) }
    #expect(failures > 0 || OperationTable.shapes[row.name] != nil)
    #expect(result == expected)
  }

  /// Layers, in the types and layouts that kernels have working memory for: small and large products, packed weights, 4 bits,
  /// attention over several tiles, normalisation.
  @Test(arguments: Precision.allCases, [1, 3]) func everyRequestOfALayerMayFail(_ precision: Precision, _ threads: Int) throws {
    let (before, threadsBefore) = (Precision.current, Threads.count)
    defer { (Precision.current, Threads.count) = (before, threadsBefore) }
    (Precision.current, Threads.count) = (precision, threads)
    let type: DType = precision == .bf16 ? .bfloat16 : .float32
    let x = try normal([200, 64], stream: 9, .float32).requiresGrad(true)
    let trained = try normal([96, 64], stream: 1, .float32).requiresGrad(true)
    let frozen = try normal([64, 64], stream: 2, .float32)
    let quantized = try normal([64, 64], stream: 3, .float32)
    try quantized.quantize(QuantizationConfig(.nf4, useDoubleQuant: true))
    let (gamma, beta) = (try Tensor.ones([64]).requiresGrad(true), try Tensor.zeros([64]).requiresGrad(true))
    let offsets = Offsets(lengths: [150, 50])
    let cases: [(String, ([Tensor]) throws -> Tensor)] = [
      ("linear", { try $0[0].linear(trained) }),
      ("frozen linear", { try $0[0].linear(frozen.copy().sharedParameter()) }),
      ("4-bit linear", { try $0[0].linear(quantized) }),
      ("layer norm", { try $0[0].layerNorm(residual: $0[0], gamma, beta, dropout: Dropout(p: 0.1, source: RandomSource(seed: 1))) }),
      ("rms norm", { try $0[0].rmsNorm(gamma) }),
      ("rotary", { try $0[0].rotary(RotaryTable(base: 100, size: 32), positions: offsets.positions, heads: 2) }),
      ("gated unit", { try $0[0].gating($0[0], by: .silu) }),
      ("attention", { try $0[0].attention(keys: $0[0], values: $0[0], heads: 2, offsets: offsets) }),
      (
        "attention over shared keys",
        {
          let block = KeyBlock(try Columns($0[0], 0..<32), try Columns($0[0], 32..<64), KeyRanges(sharedBy: 2, count: 100))
          return try Tensor.attention(Columns($0[0]), offsets, over: [block, block], heads: 4, keyValueHeads: 2, causal: true)
        }
      ),
    ]
    for (name, body) in cases {
      func run() throws -> [[Double]] { try forwardAndBackward([x]) { try body([$0[0].to(type)]).to(.float32) } }
      let expected = try run()
      var result: [[Double]] = []
      let failures = try failEach(name) { result = try run() }
      #expect(failures > 2, "\(name)")
      #expect(result == expected, "\(name)")
    }
  }

  @Test func tensorsKeepToTheLimit() throws {
    let before = Memory.limitBytes
    defer { Memory.limitBytes = before }
    #expect(before > 0)
    Memory.trim()
    Memory.limitBytes = Memory.liveBytes + 40 << 20
    let first = try Tensor.zeros([5 << 20])
    #expect {
      _ = try Tensor.zeros([6 << 20])
    } throws: { error in
      "\(error)".hasPrefix("out of memory: 24 MB wanted, ") && "\(error)".contains(" allowed (--memory); use smaller batches")
    }
    // Beyond what can be counted.
    #expect(throws: EngineError.self) { try Tensor.zeros([Int.max / 8]) }
    #expect(first.count == 5 << 20)
    // What was freed counts no longer.
    _ = try Tensor.zeros([4 << 20])
    _ = try Tensor.zeros([4 << 20])
  }
}
