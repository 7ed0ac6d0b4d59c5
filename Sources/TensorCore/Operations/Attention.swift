import CKernels
import Diagnostics

/// Where each sequence of a packed batch lies: row ranges of a `[tokens, C]` tensor.
public struct Offsets: Sendable, Equatable {
  /// `count + 1` ascending numbers from 0: sequence i has the rows `values[i]..<values[i + 1]`.
  public let values: [Int32]

  public init(lengths: [Int]) {
    var total: Int32 = 0
    values = [0] + lengths.map { length in
      total += Int32(length)
      return total
    }
  }

  /// Throws where the numbers do not ascend from 0.
  public init(values: [Int32]) throws {
    guard values.first == 0, zip(values, values.dropFirst()).allSatisfy(<=) else {
      throw EngineError(.shape, "offsets: expected ascending numbers from 0, got \(values.prefix(8))")
    }
    self.values = values
  }

  /// Number of sequences.
  public var count: Int { values.count - 1 }
  /// Number of rows of all sequences together.
  public var total: Int { Int(values.last ?? 0) }
  public var lengths: [Int] { zip(values, values.dropFirst()).map { Int($1 - $0) } }
  /// How some rows, in ascending order, divide among the sequences.
  public func counting(_ rows: [Int32]) -> Offsets {
    var counts = [Int](repeating: 0, count: count)
    var sequence = 0
    for row in rows {
      while sequence < count - 1, row >= values[sequence + 1] { sequence += 1 }
      counts[sequence] += 1
    }
    return Offsets(lengths: counts)
  }
  /// The first row of each sequence.
  public var starts: [Int32] { Array(values.dropLast()) }
}

extension Tensor {
  /// Scaled dot-product attention over packed sequences: `softmax(Q K^T * scale) V` for each sequence and head.
  ///
  /// - `self` (queries): [queries, C]; `keys`, `values`: [keys, C]; C = heads * head size, heads side by side.
  /// - `causal`: query i sees the keys up to its own position, counted from the end of both.
  /// - Scores exist one tile of 128 queries at a time; the backward pass computes them again.
  ///
  /// Paper: Vaswani et al. 2017, arXiv 1706.03762, equation 1; tiling as in Dao et al. 2022, arXiv 2205.14135.
  public func attention(
    keys: Tensor, values: Tensor, heads: Int, offsets: Offsets, keyOffsets: Offsets? = nil, scale: Double? = nil,
    causal: Bool = false, dropout: Dropout? = nil
  ) throws -> Tensor {
    let queries = self
    let keyOffsets = keyOffsets ?? offsets
    guard rank == 2, keys.rank == 2, keys.shape == values.shape, keys.columns == columns, heads > 0, columns % heads == 0
    else {
      throw EngineError(
        .shape, "attention: queries \(shape), keys \(keys.shape), values \(values.shape), \(heads) heads: "
          + "expected [tokens, C] with C divisible by the heads")
    }
    guard offsets.total == rows, keyOffsets.total == keys.rows, offsets.count == keyOffsets.count else {
      throw EngineError(
        .shape, "attention: offsets end at \(offsets.total) and \(keyOffsets.total), rows are \(rows) and \(keys.rows)")
    }
    try dropout?.check()
    try requireActivations("attention", [queries, keys, values])
    let headSize = columns / heads
    let scale = scale ?? 1 / Double(headSize).squareRoot()
    let output = try Tensor(uninitialized: shape, dtype)
    let inputs = [queries, keys, values]
    let logSum = Autograd.records(inputs) ? try Tensor(uninitialized: [rows, heads], dtype.besideActivations) : nil
    let width = columns
    @Sendable func withOptions(_ body: (UnsafePointer<pg_attention>) throws -> Void) throws {
      try offsets.values.withUnsafeBufferPointer { q in
        try keyOffsets.values.withUnsafeBufferPointer { k in
          var options = pg_attention(
            sequences: offsets.count, heads: heads, head_size: headSize, q_offsets: q.baseAddress,
            k_offsets: k.baseAddress, q_stride: width, k_stride: width, v_stride: width, o_stride: width,
            scale: scale, causal: causal, dropout: dropout?.p ?? 0,
            random: (dropout?.source ?? RandomSource(seed: 0)).kernel)
          try body(&options)
        }
      }
    }
    try withOptions {
      try Memory.require(pg_attention_forward(
        dtype.kernel, $0, queries.pointer, keys.pointer, values.pointer, output.pointer, logSum?.pointer))
    }
    Autograd.attach("attention", to: output, inputs: inputs, saving: inputs) { [dtype] gradient in
      guard let logSum else { preconditionFailure("attention recorded without its sums") }
      let gradient = try gradient.converted(to: dtype)
      let results = try inputs.map { try Tensor(uninitialized: $0.shape, dtype) }
      try withOptions {
        try Memory.require(pg_attention_backward(
          dtype.kernel, $0, queries.pointer, keys.pointer, values.pointer, gradient.pointer, logSum.pointer,
          results[0].pointer, results[1].pointer, results[2].pointer))
      }
      return results
    }
    return output
  }
}
