import TensorCore

/// The order of examples: a function of seed and epoch alone, so that a resumed run needs no state for it.
struct BatchSampler {
  let lengths: [Int]
  let batchSize: Int
  let sampling: TrainingArguments.Sampling
  let seed: UInt64

  /// Batches are sorted by length within groups of this many.
  private static let groupedBatches = 50

  /// The batches of an epoch, each a list of example indices.
  func batches(epoch: Int) -> [[Int]] {
    func cut(_ order: [Int]) -> [[Int]] {
      stride(from: 0, to: order.count, by: batchSize).map { Array(order[$0..<min($0 + batchSize, order.count)]) }
    }
    let source = RandomSource(seed: seed, stream: RandomSource.stream(named: "sampler"), step: UInt64(epoch))
    switch sampling {
    case .sequential: return cut(Array(lengths.indices))
    case .random: return cut(source.permutation(lengths.count))
    case .groupByLength:
      let order = source.permutation(lengths.count)
      let size = Self.groupedBatches * batchSize
      let sorted = stride(from: 0, to: order.count, by: size).flatMap { start in
        // A stable order: equal lengths keep their shuffled places.
        order[start..<min(start + size, order.count)].enumerated()
          .sorted { (lengths[$0.element], $1.offset) > (lengths[$1.element], $0.offset) }.map(\.element)
      }
      let groups = cut(sorted)
      let shuffle = RandomSource(seed: seed, stream: RandomSource.stream(named: "batches"), step: UInt64(epoch))
      return shuffle.permutation(groups.count).map { groups[$0] }
    }
  }

  /// Batches of all examples from long to short, which wastes least time in an evaluation.
  static func evaluationBatches(_ lengths: [Int], batchSize: Int) -> [[Int]] {
    let order = lengths.indices.sorted { (lengths[$0], $1) > (lengths[$1], $0) }
    return stride(from: 0, to: order.count, by: batchSize).map { Array(order[$0..<min($0 + batchSize, order.count)]) }
  }
}
