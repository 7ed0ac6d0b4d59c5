import CKernels
import Diagnostics

/// Some columns of a matrix, where they lie: the queries in the result of a fused projection.
public struct Columns {
  public let matrix: Tensor
  public let range: Range<Int>

  /// All columns where no range is given. Throws where the tensor is no matrix, or has other columns.
  public init(_ matrix: Tensor, _ range: Range<Int>? = nil) throws {
    let range = range ?? 0..<matrix.columns
    guard matrix.rank == 2, range.lowerBound >= 0, range.upperBound <= matrix.columns else {
      throw EngineError(.shape, "columns \(range) of \(matrix.shape): expected a matrix that has them")
    }
    (self.matrix, self.range) = (matrix, range)
  }

  var pointer: UnsafeMutableRawPointer { address(in: matrix) }
  /// The place of the same columns in a matrix of the same shape.
  func address(in other: Tensor) -> UnsafeMutableRawPointer { other.pointer + range.lowerBound * other.dtype.size }
}

/// Keys and values of one tensor each, and the rows of them that each sequence of queries sees.
public struct KeyBlock {
  /// [rows, key-value heads * head size] both.
  public let keys, values: Columns
  public let ranges: KeyRanges
  /// Whether they are kept from step to step of a text that grows: then sequences of one query are computed in a way of their own,
  /// which is fast for them, with sums in fp32.
  public let isCached: Bool

  public init(_ keys: Columns, _ values: Columns, _ ranges: KeyRanges, isCached: Bool = false) {
    (self.keys, self.values, self.ranges, self.isCached) = (keys, values, ranges, isCached)
  }
}

/// What is added to the scaled scores, by how far a key is behind its query: relative positions and linear slopes.
public struct RelativeBias {
  /// [heads, distances], float32 beside bfloat16 activations.
  public let table: Tensor
  /// The table's column for a key at the query's own position; the column before it is for the key before.
  public let zero: Int

  public init(_ table: Tensor, zero: Int) { (self.table, self.zero) = (table, zero) }
}

extension Tensor {
  /// Scaled dot-product attention over packed sequences: `softmax(Q K^T * scale) V` for each sequence and head.
  ///
  /// - `self` (queries): [queries, C]; `keys`, `values`: [keys, C]; C = heads * head size, heads side by side.
  /// - `causal`: query i sees the keys up to its own position, counted from the end of both.
  public func attention(
    keys: Tensor, values: Tensor, heads: Int, offsets: Offsets, keyOffsets: Offsets? = nil, scale: Double? = nil,
    causal: Bool = false, dropout: Dropout? = nil
  ) throws -> Tensor {
    let keyOffsets = keyOffsets ?? offsets
    guard rank == 2, keys.shape == values.shape, keyOffsets.total == keys.rows else {
      throw EngineError(
        .shape,
        "attention: queries \(shape), keys \(keys.shape), values \(values.shape), \(keyOffsets.total) keys in all sequences: "
          + "expected [tokens, C] with as many keys and values")
    }
    let block = KeyBlock(try Columns(keys), try Columns(values), KeyRanges(keyOffsets))
    return try Tensor.attention(
      Columns(self), offsets, over: [block], heads: heads, scale: scale, causal: causal, dropout: dropout)
  }

  /// Attention of packed queries over keys and values wherever they lie: `softmax(Q K^T * scale + bias) V`.
  ///
  /// A sequence sees its range of each block, side by side in the blocks' order, so that a prefix, the keys of a prompt that
  /// several continuations share, and a cache that grows are read in place. Where ranges overlap, gradients add up.
  ///
  /// - Parameters:
  ///   - queries: [rows, heads * head size], and `offsets`, where each sequence's lie.
  ///   - heads: of the queries; `keyValueHeads` (default: as many) divide them, and each serves a group of neighbours.
  ///   - positions: for each query, the number of the key at which it stands, from 0, among all that its sequence sees.
  ///     By default the last query stands at the last key.
  ///   - scale: `1 / sqrt(head size)` by default.
  ///   - causal: a query sees the keys up to its position.
  /// - Returns: [rows, heads * head size].
  ///
  /// Scores exist one tile of 128 queries at a time; the backward pass computes them again.
  ///
  /// Paper: Vaswani et al. 2017, arXiv 1706.03762, equation 1; tiling as in Dao et al. 2022, arXiv 2205.14135; shared keys and
  /// values: Ainslie et al. 2023, arXiv 2305.13245.
  public static func attention(
    _ queries: Columns, _ offsets: Offsets, over blocks: [KeyBlock], heads: Int, keyValueHeads: Int? = nil,
    positions: [Int32]? = nil, scale: Double? = nil, causal: Bool = false, bias: RelativeBias? = nil, dropout: Dropout? = nil
  ) throws -> Tensor {
    let call = try AttentionCall(
      queries, offsets, over: blocks, heads: heads, keyValueHeads: keyValueHeads ?? heads, positions: positions, scale: scale,
      causal: causal, bias: bias, dropout: dropout)
    let dtype = queries.matrix.dtype
    let output = try Tensor(uninitialized: [queries.matrix.rows, queries.range.count], dtype)
    let inputs = call.operands.map(\.matrix) + (bias.map { [$0.table] } ?? [])
    let logSum = Autograd.records(inputs) ? try Tensor(uninitialized: [output.rows, heads], dtype.besideActivations) : nil
    try call.withKernel { options in
      try Memory.require(pg_attention_forward(dtype.kernel, options, queries.pointer, output.pointer, logSum?.pointer))
    }
    call.countOperations(products: 2)
    Autograd.attach("attention", to: output, inputs: inputs, saving: inputs) { gradient in
      guard let logSum else { preconditionFailure("attention recorded without its sums") }
      return try call.backward(gradient.converted(to: dtype), logSum)
    }
    return output
  }
}

/// One call of attention, checked.
private struct AttentionCall {
  /// An operand, and what its gradient needs.
  struct Part {
    let columns: Columns
    /// Whether several sequences add to the gradient of a row, and whether some see every row.
    let isShared, isSeen: Bool
    /// The first part whose gradient lies in the same tensor as this one's.
    var home = 0

    /// Whether both gradients can lie in one tensor.
    func fitsBeside(_ other: Part) -> Bool {
      columns.matrix === other.columns.matrix && !isShared && !other.isShared && !columns.range.overlaps(other.columns.range)
    }
  }

  let queries: Columns
  let offsets: Offsets
  let blocks: [KeyBlock]
  let heads, keyValueHeads: Int
  let positions: [Int32]?
  let scale: Double
  let causal: Bool
  let bias: RelativeBias?
  let dropout: Dropout?
  /// The queries, and then each block's keys and values.
  var operands: [Columns] { [queries] + blocks.flatMap { [$0.keys, $0.values] } }

  init(
    _ queries: Columns, _ offsets: Offsets, over blocks: [KeyBlock], heads: Int, keyValueHeads: Int, positions: [Int32]?,
    scale: Double?, causal: Bool, bias: RelativeBias?, dropout: Dropout?
  ) throws {
    (self.queries, self.offsets, self.blocks, self.heads) = (queries, offsets, blocks, heads)
    (self.keyValueHeads, self.positions, self.causal, self.bias, self.dropout) = (keyValueHeads, positions, causal, bias, dropout)
    self.scale = scale ?? 1 / Double(heads > 0 ? queries.range.count / heads : 1).squareRoot()
    try check()
  }

  /// What the gradients of `operands` need.
  private func makeParts() -> [Part] {
    var parts = [Part(columns: queries, isShared: false, isSeen: true)]
    for block in blocks {
      precondition(block.ranges.places == nil, "rows in places of their own have no gradient")
      let isShared = !block.ranges.areApart
      for columns in [block.keys, block.values] {
        var part = Part(columns: columns, isShared: isShared, isSeen: block.ranges.partition(columns.matrix.rows))
        part.home =
          parts.indices.first { home in
            parts[home].home == home && parts.filter { $0.home == home }.allSatisfy(part.fitsBeside)
          } ?? parts.count
        parts.append(part)
      }
    }
    return parts
  }

  private func check() throws {
    let width = queries.range.count
    guard heads > 0, width % heads == 0, keyValueHeads > 0, heads % keyValueHeads == 0, !blocks.isEmpty else {
      throw EngineError(
        .shape,
        "attention: queries of \(width) columns, \(heads) heads, \(keyValueHeads) of keys and values: expected columns "
          + "divisible by the heads, and heads by those of keys and values")
    }
    let expected = width / heads * keyValueHeads
    for block in blocks {
      guard block.keys.range.count == expected, block.values.range.count == expected,
        block.keys.matrix.rows == block.values.matrix.rows
      else {
        throw EngineError(
          .shape,
          "attention: keys \(block.keys.matrix.shape) and values \(block.values.matrix.shape): expected \(expected) columns "
            + "of as many rows, for \(keyValueHeads) heads of \(width / heads)")
      }
      guard block.ranges.starts.count == offsets.count, block.ranges.end <= block.keys.matrix.rows else {
        throw EngineError(
          .shape,
          "attention: \(block.ranges.starts.count) key ranges that end at \(block.ranges.end), for \(offsets.count) sequences "
            + "and \(block.keys.matrix.rows) keys")
      }
    }
    guard offsets.total == queries.matrix.rows else {
      throw EngineError(.shape, "attention: offsets end at \(offsets.total), queries have \(queries.matrix.rows) rows")
    }
    try dropout?.check()
    try requireActivations("attention", operands.map(\.matrix), weights: bias.map { [$0.table] } ?? [])
    try checkPositions()
  }

  /// Positions are those of keys, and the bias has a column for every distance.
  private func checkPositions() throws {
    guard positions.map({ $0.count == offsets.total }) ?? true, bias.map({ $0.table.rank == 2 && $0.table.rows == heads }) ?? true
    else {
      throw EngineError(
        .shape,
        "attention: \(positions?.count ?? offsets.total) positions of \(offsets.total) queries, "
          + "bias \(bias?.table.shape ?? []) for \(heads) heads")
    }
    guard positions != nil || bias != nil else { return }
    for sequence in 0..<offsets.count {
      let (first, end) = (Int(offsets.values[sequence]), Int(offsets.values[sequence + 1]))
      let keys = blocks.reduce(0) { $0 + Int($1.ranges.counts[sequence]) }
      guard first < end, keys > 0 else { continue }
      let own = positions?[first..<end].map(Int.init) ?? [keys - end + first, keys - 1]
      let (lowest, highest) = (own.min() ?? 0, own.max() ?? 0)
      guard positions == nil || (lowest >= 0 && highest < keys) else {
        throw EngineError(.shape, "attention: a query at position \(lowest < 0 ? lowest : highest), of \(keys) keys")
      }
      guard let bias else { continue }
      let nearest = causal ? min(0, keys - 1 - lowest) : keys - 1 - lowest
      guard bias.zero - highest >= 0, bias.zero + nearest < bias.table.columns else {
        throw EngineError(
          .shape,
          "attention: a bias for keys \(-bias.zero) to \(bias.table.columns - 1 - bias.zero) after the query, "
            + "wanted \(-highest) to \(nearest)")
      }
    }
  }

  /// Notes the arithmetic of so many products of each query's elements with those of every key that it sees.
  func countOperations(products: Double) {
    guard Profile.isRunning else { return }
    var pairs = 0
    for sequence in 0..<offsets.count {
      let (first, end) = (Int(offsets.values[sequence]), Int(offsets.values[sequence + 1]))
      let keys = blocks.reduce(0) { $0 + Int($1.ranges.counts[sequence]) }
      let places = positions?[first..<end].map(Int.init) ?? Array(keys - end + first..<keys)
      pairs += causal ? places.reduce(0) { $0 + max(0, min(keys, $1 + 1)) } : (end - first) * keys
    }
    Profile.count(.attention, operations: 2 * products * Double(pairs) * Double(queries.range.count))
  }

  /// The call as the kernel takes it. `gradients`: where those of keys and values go.
  func withKernel(gradients: [Tensor] = [], _ body: (UnsafePointer<pg_attention>) throws -> Void) throws {
    let ranges = blocks.flatMap { $0.ranges.starts + $0.ranges.counts + ($0.ranges.places ?? []) }
    try ranges.withUnsafeBufferPointer { ranges in
      var next = ranges.baseAddress
      let keys = blocks.enumerated().map { i, block in
        let starts = next
        let places = starts.map { $0 + 2 * offsets.count }
        next = places.map { $0 + (block.ranges.places?.count ?? 0) }
        return pg_keys(
          k: block.keys.pointer, v: block.values.pointer, k_stride: block.keys.matrix.columns, v_stride: block.values.matrix.columns,
          start: starts, count: starts.map { $0 + offsets.count }, places: block.ranges.places == nil ? nil : places,
          dk: gradients.isEmpty ? nil : block.keys.address(in: gradients[2 * i + 1]),
          dv: gradients.isEmpty ? nil : block.values.address(in: gradients[2 * i + 2]), adds: !gradients.isEmpty && !block.ranges.areApart)
      }
      try keys.withUnsafeBufferPointer { keys in
        try offsets.values.withUnsafeBufferPointer { q in
          try (positions ?? []).withUnsafeBufferPointer { places in
            var options = pg_attention(
              sequences: offsets.count, heads: heads, kv_heads: keyValueHeads, head_size: queries.range.count / heads,
              q_offsets: q.baseAddress, q_positions: positions == nil ? nil : places.baseAddress,
              q_stride: queries.matrix.columns, o_stride: queries.range.count, keys: keys.baseAddress, blocks: blocks.count,
              scale: scale, bias: bias?.table.pointer, bias_columns: bias?.table.columns ?? 0, bias_zero: bias?.zero ?? 0,
              causal: causal, decodes: blocks.contains(where: \.isCached), dropout: dropout?.p ?? 0,
              random: (dropout?.source ?? RandomSource(seed: 0)).kernel)
            try body(&options)
          }
        }
      }
    }
  }

  /// The gradients of `operands`, and of the bias's table: that of an operand which lies in another's tensor is nil.
  func backward(_ gradient: Tensor, _ logSum: Tensor) throws -> [Tensor?] {
    let (dtype, parts) = (queries.matrix.dtype, makeParts())
    var tensors: [Tensor] = []
    for (i, part) in parts.enumerated() {
      guard part.home == i else {
        tensors.append(tensors[part.home])
        continue
      }
      let together = parts.filter { $0.home == i }
      let isWritten = together.allSatisfy(\.isSeen) && together.reduce(0) { $0 + $1.columns.range.count } == part.columns.matrix.columns
      let (shape, type) = (part.columns.matrix.shape, part.isShared ? dtype.besideActivations : dtype)
      tensors.append(isWritten ? try Tensor(uninitialized: shape, type) : try Tensor.zeros(shape, type))
    }
    let dBias = try bias.flatMap { $0.table.requiresGrad ? try Tensor.zeros($0.table.shape, $0.table.dtype) : nil }
    try withKernel(gradients: tensors) { options in
      try Memory.require(
        pg_attention_backward(
          dtype.kernel, options, queries.pointer, gradient.pointer, logSum.pointer, queries.address(in: tensors[0]), dBias?.pointer))
    }
    countOperations(products: 5)
    return tensors.enumerated().map { parts[$0].home == $0 ? $1 : nil } + (bias == nil ? [] : [dBias])
  }
}
