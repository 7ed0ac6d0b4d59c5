import Datasets
import TensorCore
import Tokenizers
import TransformerModels

extension TrainingTask {
  /// Work on random token ids without data, for measurements; all sequences have one length.
  ///
  /// - Parameters:
  ///   - count: sequences in all.
  ///   - length: tokens of each.
  ///   - vocabulary: the ids to draw from; not empty.
  ///   - type: what is learnt of a text; nil: classes.
  ///   - labels: classes to draw from; at least one.
  public static func synthetic(
    count: Int, length: Int, vocabulary: Range<Int32>, type: (any LanguageTaskType)? = nil, labels: Int, seed: UInt64
  ) -> TrainingTask {
    precondition(count > 0 && length > 0 && !vocabulary.isEmpty && labels > 0)
    func draws(_ count: Int, _ stream: UInt32, below limit: UInt64) -> [UInt64] {
      RandomSource(seed: seed, stream: stream).bits(count).map { (UInt64($0) * limit) >> 32 }
    }
    let name = "synthetic tokens"
    return TrainingTask(
      name: "synthetic", type: type ?? SequenceClassification(labels: (0..<labels).map { "LABEL_\($0)" }), metricNames: [],
      metricForBestModel: "loss", identity: ["synthetic": [.int(count), .int(length), .int(Int(truncatingIfNeeded: seed))]],
      train: Split(name: "train", path: name, examples: [])
    ) { maxLength in
      let length = min(length, maxLength)
      let ids = draws(count * length, 1, below: UInt64(vocabulary.count)).map { vocabulary.lowerBound + Int32($0) }
      return EncodedDataset(
        sequences: (0..<count).map { Array(ids[$0 * length..<($0 + 1) * length]) },
        targets: draws(count, 2, below: UInt64(labels)).map { type == nil ? .label(Int($0)) : .none }, source: name)
    }
  }
}
