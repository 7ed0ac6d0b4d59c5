import Foundation
import TensorCore
import TestSupport
import Testing

/// Attention where a mistake in a few columns of a row of scores would be small on ordinary numbers.
@Suite(.engine) struct AttentionScoreTests {
  /// Scores far apart, the highest in any column: around multiples of the sixteen columns that are compared at once, and behind
  /// the last whole sixteen. A maximum that is too low lets the exponential overflow.
  @Test(arguments: [DType.float32, .float64, .bfloat16], [1, 2, 15, 16, 17, 31, 32, 33, 47, 130])
  func theLargestScoreIsFoundInEveryColumn(_ dtype: DType, _ keys: Int) throws {
    let high = dtype == .float64 ? 2_048.0 : 256
    for place in 0..<keys {
      // One key has the score `high`, its neighbour half of it, all others 0.
      var scores = [Double](repeating: 0, count: keys)
      scores[place] = high
      if keys > 1 { scores[(place + 1) % keys] = high / 2 }
      let query = try Tensor.full([1, 1], 1).to(dtype)
      let values = (0..<keys).map { Double($0) }
      let output = try query.attention(
        keys: Tensor(scores, [keys, 1]).to(dtype), values: Tensor(values, [keys, 1]).to(dtype), heads: 1, offsets: Offsets(lengths: [1]),
        keyOffsets: Offsets(lengths: [keys]), scale: 1)
      #expect(output.values == [Double(place)], "\(keys) keys, the highest score in column \(place)")
    }
  }

  /// What each element of the attention's weights is multiplied by: equal scores, and values that name their key.
  private func masks(_ site: Dropout, queries: Int, keys: Int, heads: Int, sequences: Int = 1) throws -> [[Double]] {
    let rows = queries * sequences
    let values = try Tensor(
      (0..<keys * sequences).flatMap { key in (0..<heads * keys).map { $0 % keys == key % keys ? 1.0 : 0 } },
      [keys * sequences, heads * keys])
    let output = try Tensor.zeros([rows, heads * keys], .float64).attention(
      keys: .zeros(values.shape, .float64), values: values.to(.float64), heads: heads,
      offsets: Offsets(lengths: [Int](repeating: queries, count: sequences)),
      keyOffsets: Offsets(lengths: [Int](repeating: keys, count: sequences)), dropout: site)
    let all = output.values
    return (0..<rows * heads).map { Array(all[$0 * keys..<($0 + 1) * keys]) }
  }

  /// No 128 keys of a row are dropped like 128 others of this row, of another query, head, sequence or step.
  @Test func noTwoPiecesOfARowDropTheSame() throws {
    let (p, keys) = (0.5, 400)
    var pieces: [[Bool]] = []
    for step in 1...2 {
      let site = Dropout(p: p, source: RandomSource(seed: 3, stream: 1, step: UInt64(step)))
      for row in try masks(site, queries: 5, keys: keys, heads: 2, sequences: 2) {
        let kept = row.map { $0 != 0 }
        #expect(row.allSatisfy { $0 == 0 || abs($0 - 2 / Double(keys)) < 1e-12 })
        pieces += stride(from: 0, to: keys - 127, by: 128).map { Array(kept[$0..<$0 + 128]) }
      }
    }
    #expect(pieces.count == 2 * 20 * 3)
    // Pieces that have nothing to do with each other agree in 64 places, with a deviation of 5.7.
    for (i, piece) in pieces.enumerated() {
      for other in pieces[..<i] {
        let agreeing = zip(piece, other).count { $0 == $1 }
        #expect((20...108).contains(agreeing), "piece \(i)")
      }
    }
    let kept = pieces.joined().count { $0 }
    #expect(abs(Double(kept) / Double(pieces.count * 128) - 0.5) < 0.02)
  }

  /// Every column is dropped as often as any other, the last ones behind whole pieces too.
  @Test func everyKeyIsDroppedAsOften() throws {
    let (p, keys) = (0.25, 140)
    var dropped = [Int](repeating: 0, count: keys)
    for step in 0..<20 {
      let site = Dropout(p: p, source: RandomSource(seed: 9, stream: 4, step: UInt64(step)))
      for row in try masks(site, queries: 50, keys: keys, heads: 1) {
        for (i, value) in row.enumerated() where value == 0 { dropped[i] += 1 }
      }
    }
    // Binomial with mean 250 and deviation 13.7.
    #expect(dropped.allSatisfy { (180...320).contains($0) }, "\(dropped)")
  }
}

/// Norms and losses where a small mistake in a term shows.
@Suite(.engine) struct NormAndLossTests {
  /// Values so small that `eps` decides: it stands below the root.
  @Test(arguments: [DType.float32, .float64], [1e-12, 1e-5, 0.1]) func epsStandsBelowTheRoot(_ dtype: DType, _ eps: Double) throws {
    let (rows, columns) = (3, 37)
    for scale in [1e-4, 1e-2, 1] {
      let x = try normal([rows, columns], stream: 1, dtype).mul(scale)
      let y = try x.layerNorm(Tensor.full([columns], 1.5, dtype), Tensor.full([columns], -0.25, dtype), eps: eps)
      var expected: [Double] = []
      for row in 0..<rows {
        let values = (0..<columns).map { x.element(row * columns + $0) }
        let mean = values.reduce(0, +) / Double(columns)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
        expected += values.map { ($0 - mean) / (variance + eps).squareRoot() * 1.5 - 0.25 }
      }
      expectClose("scale \(scale)", y.values, expected, relative: 1e-4, absolute: 1e-5)
    }
  }

  /// Rows next to each other, narrower than a mask's block, drop other columns.
  @Test func narrowRowsOfANormDropOnTheirOwn() throws {
    let (rows, columns) = (64, 24)
    let site = Dropout(p: 0.5, source: RandomSource(seed: 3, stream: 1, step: 9))
    let x = try Tensor.ones([rows, columns])
    // The norm of what is left has another value where something was dropped; the plain site says where.
    let plain = try x.dropout(site)
    let normed = try x.layerNorm(Tensor.ones([columns]), Tensor.zeros([columns]), dropout: site)
    expectClose("norm", normed, try plain.layerNorm(Tensor.ones([columns]), Tensor.zeros([columns])), relative: 1e-4, absolute: 1e-4)
    let masks = (0..<rows).map { row in (0..<columns).map { plain.element(row * columns + $0) != 0 } }
    #expect(Set(masks).count == rows)
  }

  /// The largest logit in any column, far above the others.
  @Test(arguments: [DType.float32, .float64], [1, 2, 3, 17, 40]) func largeLogitsInEveryColumn(_ dtype: DType, _ classes: Int) throws {
    let high = dtype == .float64 ? 2_048.0 : 256
    for place in 0..<classes {
      var logits = [Double](repeating: 0, count: classes)
      logits[place] = high
      let x = try Tensor(logits, [1, classes]).to(dtype)
      #expect(try x.softmax(1).values == logits.map { $0 == 0 && classes > 1 ? 0 : 1 })
      #expect(try x.crossEntropy([Int32(place)]).values == [0])
      if classes > 1 { #expect(try x.crossEntropy([Int32((place + 1) % classes)]).values == [high]) }
      #expect(try x.logSumExp().values == [high])
    }
  }
}
