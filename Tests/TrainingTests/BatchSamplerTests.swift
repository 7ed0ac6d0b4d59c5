import TestSupport
import Testing

@testable import Training

/// The order of examples: complete, seeded, even in length where that is asked for, and never sorted as a whole.
@Suite struct BatchSamplerTests {
  private static let lengths = (0..<1_003).map { 5 + ($0 * 7919) % 120 }

  private func sampler(_ sampling: TrainingArguments.Sampling, seed: UInt64 = 1) -> BatchSampler {
    BatchSampler(lengths: Self.lengths, batchSize: 4, sampling: sampling, seed: seed)
  }

  @Test(arguments: TrainingArguments.Sampling.allCases) func everyExampleComesOnceInAnEpoch(sampling: TrainingArguments.Sampling) {
    for epoch in 0..<3 {
      let batches = sampler(sampling).batches(epoch: epoch)
      #expect(batches.count == 251 && batches.allSatisfy { !$0.isEmpty && $0.count <= 4 })
      let isComplete = batches.joined().sorted() == Array(Self.lengths.indices)
      let isRepeatable = batches == sampler(sampling).batches(epoch: epoch)
      #expect(isComplete && isRepeatable)
    }
  }

  @Test(arguments: [TrainingArguments.Sampling.random, .groupByLength])
  func epochsAndSeedsDiffer(sampling: TrainingArguments.Sampling) {
    let first = sampler(sampling).batches(epoch: 0)
    let isNewInEpoch = first != sampler(sampling).batches(epoch: 1)
    let isNewWithSeed = first != sampler(sampling, seed: 2).batches(epoch: 0)
    #expect(isNewInEpoch && isNewWithSeed)
  }

  /// Within a batch lengths are close; from batch to batch they are not sorted, neither in all nor within groups of 50.
  @Test func groupedBatchesAreEvenAndShuffled() {
    let batches = sampler(.groupByLength).batches(epoch: 0)
    func spread(_ batches: [[Int]]) -> Int {
      batches.reduce(0) { sum, batch in
        let lengths = batch.map { Self.lengths[$0] }
        return sum + (lengths.max() ?? 0) - (lengths.min() ?? 0)
      }
    }
    #expect(spread(batches) * 10 < spread(sampler(.random).batches(epoch: 0)))
    let longest = batches.map { $0.map { Self.lengths[$0] }.max() ?? 0 }
    let rises = zip(longest, longest.dropFirst()).count { $0 < $1 }
    #expect((100...150).contains(rises), "\(rises) of 250 neighbours rise")
    for start in stride(from: 0, to: 250, by: 50) {
      let group = longest[start..<min(start + 50, longest.count)]
      #expect((15...35).contains(zip(group, group.dropFirst()).count { $0 < $1 }))
    }
  }

  @Test func evaluationGoesFromLongToShort() {
    let batches = BatchSampler.evaluationBatches(Self.lengths, batchSize: 8)
    let lengths = batches.joined().map { Self.lengths[$0] }
    let isSorted = lengths == Self.lengths.sorted(by: >)
    let isComplete = batches.joined().sorted() == Array(Self.lengths.indices)
    #expect(isSorted && isComplete)
  }
}
