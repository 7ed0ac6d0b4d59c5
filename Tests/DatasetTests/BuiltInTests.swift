import Datasets
import Testing

@Suite struct BuiltInTests {
  /// Every part has equally many examples of each label, up to rounding.
  @Test(arguments: [3, 2]) func labelsAreBalanced(_ labels: Int) {
    let task = labels == 3 ? BuiltIn.mnli(train: 900, dev: 300) : BuiltIn.rte(train: 900, dev: 300)
    #expect(task.labels.count == labels)
    for part in [task.train, task.dev] {
      let counts = (0..<labels).map { label in part.count { $0.label == label } }
      #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "\(counts)")
    }
  }

  @Test func pairsAreNotRepeated() {
    for task in [BuiltIn.mnli(train: 2_000, dev: 400), BuiltIn.rte(train: 2_000, dev: 400)] {
      let pairs = (task.train + task.dev).map { $0.text + "\t" + $0.textPair }
      #expect(Set(pairs).count == pairs.count)
    }
  }

  @Test func theSameSeedGivesTheSameData() {
    #expect(BuiltIn.mnli(train: 50, dev: 10).train == BuiltIn.mnli(train: 50, dev: 10).train)
    #expect(BuiltIn.mnli(seed: 2, train: 50, dev: 10).train != BuiltIn.mnli(train: 50, dev: 10).train)
    // Evaluation examples do not depend on how many training examples are wanted.
    #expect(BuiltIn.rte(train: 50, dev: 10).dev == BuiltIn.rte(train: 500, dev: 10).dev)
  }

  /// A naive Bayes classifier that sees hypotheses only must stay near chance: labels follow from the pair.
  @Test(arguments: [3, 2]) func hypothesesAloneTellLittle(_ labels: Int) {
    let task = labels == 3 ? BuiltIn.mnli(train: 6_000, dev: 600) : BuiltIn.rte(train: 6_000, dev: 600)
    var counts: [String: [Double]] = [:]
    for example in task.train {
      for word in Set(example.textPair.split(separator: " ").map(String.init)) {
        counts[word, default: Array(repeating: 1, count: labels)][example.label] += 1
      }
    }
    let right = task.dev.count { example in
      var scores = Array(repeating: 1.0, count: labels)
      for word in Set(example.textPair.split(separator: " ").map(String.init)) {
        guard let count = counts[word] else { continue }
        let total = count.reduce(0, +)
        for label in 0..<labels { scores[label] *= count[label] / total * Double(labels) }
      }
      return scores.indices.max { scores[$0] < scores[$1] } == example.label
    }
    #expect(Double(right) / Double(task.dev.count) < 1 / Double(labels) + 0.08)
  }
}
