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
