import Diagnostics
import Foundation
import TensorCore
import TestSupport
import Testing

/// Attention over grouped heads, several blocks of keys, shared ranges and gaps, given positions and a bias.
@Suite(.engine) struct AttentionBlockTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var queries: [Int]
    /// For each block: its rows, and for each sequence the start and number of those that it sees.
    var blocks: [(rows: Int, ranges: [(Int32, Int32)])]
    var heads = 2, keyValueHeads = 2, size = 3
    var positions: [Int32]?
    var causal = false
    /// Columns of the bias, and the one for the query's own position.
    var bias: (columns: Int, zero: Int)?
    var dropout: Dropout?
    /// Queries, keys and values are columns of one tensor.
    var isFused = false
    var isCached = false
    /// Rows are given one by one.
    var isListed = false

    var total: Int { queries.reduce(0, +) }
    var shapes: [[Int]] {
      let (wide, narrow) = (heads * size, keyValueHeads * size)
      let operands = isFused ? [[total, wide + 2 * narrow]] : [[total, wide]] + blocks.flatMap { [[$0.rows, narrow], [$0.rows, narrow]] }
      return operands + (bias.map { [[heads, $0.columns]] } ?? [])
    }
    var ranges: [KeyRanges] {
      get throws {
        try blocks.map {
          isListed
            ? try KeyRanges(lists: $0.ranges.map { Array($0..<$0 + $1) })
            : try KeyRanges(starts: $0.ranges.map(\.0), counts: $0.ranges.map(\.1))
        }
      }
    }

    /// Inputs as `shapes` lists them.
    func body(_ x: [Tensor]) throws -> Tensor {
      let (wide, narrow) = (heads * size, keyValueHeads * size)
      let keys = try ranges.enumerated().map { i, ranges in
        isFused
          ? KeyBlock(try Columns(x[0], wide..<wide + narrow), try Columns(x[0], wide + narrow..<wide + 2 * narrow), ranges, isCached: isCached)
          : KeyBlock(try Columns(x[2 * i + 1]), try Columns(x[2 * i + 2]), ranges, isCached: isCached)
      }
      return try Tensor.attention(
        Columns(x[0], 0..<wide), Offsets(lengths: queries), over: keys, heads: heads, keyValueHeads: keyValueHeads,
        positions: positions, causal: causal, bias: bias.map { RelativeBias(x[x.count - 1], zero: $0.zero) }, dropout: dropout)
    }

    /// The same by loops over sequences, heads, queries and keys.
    func expected(_ x: [Tensor]) throws -> [Double] {
      let (wide, narrow) = (heads * size, keyValueHeads * size)
      var result = [Double](repeating: 0, count: total * wide)
      var row = 0
      for (sequence, count) in queries.enumerated() {
        let seen = blocks.enumerated().flatMap { b, block in (0..<Int(block.ranges[sequence].1)).map { (b, Int(block.ranges[sequence].0) + $0) } }
        func element(_ isValue: Bool, _ key: (block: Int, row: Int), _ column: Int) -> Double {
          isFused
            ? x[0].element(key.row * (wide + 2 * narrow) + wide + (isValue ? narrow : 0) + column)
            : x[2 * key.block + (isValue ? 2 : 1)].element(key.row * narrow + column)
        }
        for i in 0..<count {
          let position = positions.map { Int($0[row]) } ?? seen.count - count + i
          for head in 0..<heads {
            let kvHead = head / (heads / keyValueHeads)
            let visible = causal ? seen.prefix(max(0, position + 1)) : seen[...]
            let scores = visible.enumerated().map { j, key in
              let product = (0..<size).reduce(0.0) {
                $0 + x[0].element(row * x[0].columns + head * size + $1) * element(false, key, kvHead * size + $1)
              }
              let offset = bias.map { x[x.count - 1].element(head * $0.columns + $0.zero + j - position) } ?? 0
              return product / Double(size).squareRoot() + offset
            }
            let sum = scores.reduce(0) { $0 + exp($1) }
            for (score, key) in zip(scores, visible) {
              for d in 0..<size { result[row * wide + head * size + d] += exp(score) / sum * element(true, key, kvHead * size + d) }
            }
          }
          row += 1
        }
      }
      return result
    }
  }

  static let cases = [
    Case(testDescription: "grouped heads", queries: [4, 1, 3], blocks: [(8, [(0, 4), (4, 1), (5, 3)])], heads: 4),
    Case(testDescription: "one head of keys, causal", queries: [5, 3], blocks: [(8, [(0, 5), (5, 3)])], heads: 3, keyValueHeads: 1, causal: true),
    Case(
      testDescription: "grouped, several causal tiles", queries: [300, 2], blocks: [(302, [(0, 300), (300, 2)])], heads: 2,
      keyValueHeads: 1, size: 2, causal: true),
    Case(testDescription: "more keys than queries, causal tiles", queries: [140], blocks: [(150, [(3, 146)])], size: 2, causal: true),
    Case(testDescription: "fewer keys than queries, causal", queries: [140], blocks: [(6, [(1, 5)])], size: 2, causal: true),
    Case(testDescription: "gaps", queries: [1, 2], blocks: [(12, [(1, 3), (7, 4)])]),
    Case(testDescription: "a growing cache", queries: [1, 1, 1], blocks: [(30, [(0, 7), (10, 1), (20, 9)])], heads: 4, causal: true),
    Case(
      testDescription: "a growing cache, wide heads", queries: [1, 2, 1], blocks: [(30, [(0, 7), (0, 7), (9, 0)]), (9, [(0, 2), (2, 3), (8, 1)])],
      heads: 4, size: 70, causal: true),
    Case(testDescription: "one range shared by all", queries: [2, 3, 1], blocks: [(5, [(0, 5), (0, 5), (0, 5)])]),
    Case(testDescription: "ranges that overlap", queries: [2, 3], blocks: [(9, [(4, 5), (2, 5)])], heads: 4),
    Case(
      testDescription: "a shared prefix", queries: [3, 2], blocks: [(4, [(0, 4), (0, 4)]), (5, [(0, 3), (3, 2)])], causal: true),
    Case(
      testDescription: "a prefix of each sequence's own", queries: [3, 2],
      blocks: [(8, [(0, 4), (4, 4)]), (5, [(0, 3), (3, 2)])], heads: 4),
    Case(
      testDescription: "three blocks, some empty", queries: [2, 2, 1],
      blocks: [(3, [(0, 3), (0, 0), (1, 2)]), (4, [(0, 0), (0, 4), (0, 0)]), (5, [(0, 2), (2, 2), (4, 1)])], causal: true),
    Case(
      testDescription: "chosen queries, causal", queries: [2, 1, 2], blocks: [(9, [(0, 4), (4, 2), (6, 3)])], positions: [0, 2, 1, 1, 2],
      causal: true),
    Case(testDescription: "queries without keys", queries: [2, 1], blocks: [(3, [(0, 0), (0, 3)])], causal: true),
    Case(testDescription: "bias", queries: [4, 2], blocks: [(6, [(0, 4), (4, 2)])], bias: (7, 3)),
    Case(testDescription: "bias, causal, grouped", queries: [4, 2], blocks: [(6, [(0, 4), (4, 2)])], heads: 4, causal: true, bias: (6, 4)),
    Case(
      testDescription: "bias, chosen queries, two blocks", queries: [1, 2], blocks: [(2, [(0, 2), (0, 2)]), (5, [(0, 2), (2, 3)])],
      positions: [1, 4, 0], bias: (10, 5)),
    Case(
      testDescription: "bias, several tiles, dropout", queries: [150], blocks: [(150, [(0, 150)])], size: 2, bias: (301, 150),
      dropout: LayerGradientTests.site),
    Case(
      testDescription: "grouped, dropout", queries: [70, 3], blocks: [(73, [(0, 70), (70, 3)])], heads: 4, size: 2, causal: true,
      dropout: LayerGradientTests.site),
    Case(testDescription: "fused", queries: [4, 1], blocks: [(5, [(0, 4), (4, 1)])], causal: true, isFused: true),
    Case(testDescription: "fused, grouped, a gap", queries: [4, 1], blocks: [(5, [(0, 3), (4, 1)])], heads: 4, isFused: true),
    Case(testDescription: "fused, shared", queries: [3, 2], blocks: [(5, [(0, 5), (0, 5)])], isFused: true),
  ]

  /// The same with heads that are computed in tiles where the CPU has units for bfloat16, of one panel of columns and of two.
  static let inTiles = cases.enumerated().map { i, row in
    var row = row
    row.size = i % 4 == 0 ? 96 : 32
    row.testDescription += ", \(row.size) wide"
    return row
  }

  @Test(arguments: cases) func agreesWithLoops(_ row: Case) throws {
    var plain = row
    plain.dropout = nil
    let inputs = try row.shapes.enumerated().map { try normal($1, stream: $0) }
    expectClose(row.testDescription, try plain.body(inputs).values, try plain.expected(inputs), relative: 1e-12, absolute: 1e-12)
  }

  /// Sequences of one query over a cache have a kernel of their own.
  @Test(arguments: cases + inTiles) func cachedKeysAgreeWithLoops(_ row: Case) throws {
    var plain = row
    (plain.dropout, plain.isCached) = (nil, true)
    var listed = plain
    listed.isListed = true
    for type in [DType.float32, .bfloat16] {
      let inputs = try row.shapes.enumerated().map { i, shape in
        try normal(shape, stream: i, .float32).to(row.bias != nil && i == row.shapes.count - 1 ? .float32 : type)
      }
      let tolerance = type == .float32 ? 1e-5 : 2e-2
      let expected = try plain.expected(inputs.map { try $0.to(.float32) })
      let values = try plain.body(inputs).to(.float32).values
      expectClose("\(row.testDescription), \(type)", values, expected, relative: tolerance, absolute: tolerance)
      #expect(try listed.body(inputs).to(.float32).values == values)
    }
  }

  @Test(arguments: cases) func gradientMatchesDifferences(_ row: Case) throws {
    let inputs = try row.shapes.enumerated().map { try normal($1, stream: $0).requiresGrad(true) }
    try expectGradient(row.testDescription, inputs, row.body)
  }

  /// Outputs and gradients: float32 against float64, bfloat16 against float32, and the same bits for every number of threads.
  @Test(arguments: cases + inTiles) func otherTypesAgree(_ row: Case) throws {
    func run(_ type: DType) throws -> [Tensor] {
      let beside: DType = type == .float64 ? .float64 : .float32
      let leaves = try row.shapes.enumerated().map { i, shape in
        let isBias = row.bias != nil && i == row.shapes.count - 1
        let x = try normal(shape, stream: i, .float32)
        return try (isBias ? x : x.to(.bfloat16).to(.float32)).to(beside).detach().requiresGrad(true)
      }
      let operands = try leaves.enumerated().map { i, x in row.bias != nil && i == leaves.count - 1 ? x : try x.to(type) }
      let output = try row.body(operands).to(beside)
      try output.backward(gradient: normal(output.shape, stream: 30, .float32).to(beside))
      return [output] + (try leaves.map { try #require($0.grad) })
    }
    let threads = Threads.count
    defer { Threads.count = threads }
    let (double, single, narrow) = (try run(.float64), try run(.float32), try run(.bfloat16))
    for (i, expected) in double.enumerated() {
      let scale = expected.values.map(abs).max() ?? 0
      expectClose("float32, \(i)", single[i].values, expected.values, relative: 1e-4, absolute: 1e-5 * scale)
      expectClose("bfloat16, \(i)", narrow[i].values, expected.values, relative: 0.02, absolute: 0.02 * scale)
    }
    for count in [1, 3] {
      Threads.count = count
      for (type, before) in [(DType.float32, single), (.bfloat16, narrow)] {
        #expect(try run(type).map { $0.values.map(\.bitPattern) } == before.map { $0.values.map(\.bitPattern) })
      }
    }
  }

  @Test func blocksGiveTheBitsOfOneBlock() throws {
    let offsets = Offsets(lengths: [3, 2])
    let (q, k, v) = (try normal([5, 6], stream: 1, .float32), try normal([5, 6], stream: 2, .float32), try normal([5, 6], stream: 3, .float32))
    let (pk, pv) = (try normal([2, 6], stream: 4, .float32), try normal([2, 6], stream: 5, .float32))
    let order: [Int32] = [0, 1, 2, 3, 4, 0, 1, 5, 6]
    let copied = try q.attention(
      keys: .cat([pk, k]).gatherRows(order), values: .cat([pv, v]).gatherRows(order), heads: 2, offsets: offsets,
      keyOffsets: Offsets(lengths: [5, 4]))
    let inPlace = try Tensor.attention(
      Columns(q), offsets,
      over: [
        KeyBlock(Columns(pk), Columns(pv), KeyRanges(sharedBy: 2, count: 2)), KeyBlock(Columns(k), Columns(v), KeyRanges(offsets)),
      ], heads: 2)
    #expect(copied.values == inPlace.values)
  }

  @Test func mistakesAreRefused() throws {
    let x = try Tensor.ones([4, 6])
    let offsets = Offsets(lengths: [3, 1])
    let whole = try Columns(x)
    func attention(
      _ queries: Columns, _ ranges: KeyRanges, heads: Int = 2, keyValueHeads: Int? = nil, positions: [Int32]? = nil, causal: Bool = false,
      bias: RelativeBias? = nil
    ) throws -> Tensor {
      try Tensor.attention(
        queries, offsets, over: [KeyBlock(whole, whole, ranges)], heads: heads, keyValueHeads: keyValueHeads, positions: positions,
        causal: causal, bias: bias)
    }
    let own = KeyRanges(offsets)
    _ = try attention(whole, own)
    _ = try attention(whole, own, causal: true, bias: RelativeBias(.ones([2, 3]), zero: 2))
    #expect(throws: EngineError.self) { try Columns(x, 2..<7) }
    #expect(throws: EngineError.self) { try Columns(.ones([6]), 0..<1) }
    #expect(throws: EngineError.self) { try KeyRanges(starts: [0], counts: [-1]) }
    #expect(throws: EngineError.self) { try KeyRanges(starts: [0, 1], counts: [1]) }
    #expect(throws: EngineError.self) { try KeyRanges(starts: [.max], counts: [1]) }
    #expect(throws: EngineError.self) { try KeyRanges(lists: [[0, -1]]) }
    #expect(throws: EngineError.self) { try attention(whole, own, heads: 0) }
    #expect(throws: EngineError.self) { try attention(whole, own, heads: 6, keyValueHeads: 4) }
    #expect(throws: EngineError.self) { try attention(whole, own, heads: 6, keyValueHeads: 0) }
    #expect(throws: EngineError.self) { try attention(whole, own, heads: 2, keyValueHeads: 1) }
    #expect(throws: EngineError.self) { try attention(Columns(x, 0..<4), own) }
    #expect(throws: EngineError.self) { try attention(whole, KeyRanges(starts: [0, 4], counts: [3, 1])) }
    #expect(throws: EngineError.self) { try attention(whole, KeyRanges(starts: [0], counts: [3])) }
    #expect(throws: EngineError.self) { try attention(whole, KeyRanges(lists: [[0, 4], [1]])) }
    #expect(throws: EngineError.self) { try attention(whole, own, positions: [0, 1, 2]) }
    #expect(throws: EngineError.self) { try attention(whole, own, positions: [0, 1, 3, 0]) }
    #expect(throws: EngineError.self) { try attention(whole, own, positions: [0, 1, 2, -1]) }
    for bias in [RelativeBias(try .ones([2, 4]), zero: 2), RelativeBias(try .ones([2, 5]), zero: 1), RelativeBias(try .ones([1, 9]), zero: 4)] {
      #expect(throws: EngineError.self) { try attention(whole, own, bias: bias) }
    }
    #expect(throws: EngineError.self) {
      try Tensor.attention(whole, offsets, over: [], heads: 2)
    }
  }
}
