import Datasets
import TensorCore
import Tokenizers
import TransformerModels

/// Classification of random token ids, all sequences of one length: work without data, for measurements.
public final class SyntheticTask: TrainingTask {
  /// Sequences in all.
  public let count: Int
  /// Tokens of each.
  public let length: Int
  private let vocabulary: Range<Int32>
  private let seed: UInt64

  /// - Parameters:
  ///   - vocabulary: the ids to draw from; not empty.
  ///   - labels: classes to draw from; at least one.
  public init(count: Int, length: Int, vocabulary: Range<Int32>, labels: Int, seed: UInt64) {
    precondition(count > 0 && length > 0 && !vocabulary.isEmpty && labels > 0)
    self.count = count
    self.length = length
    self.vocabulary = vocabulary
    self.seed = seed
    let names = (0..<labels).map { "LABEL_\($0)" }
    super.init(
      name: "synthetic", modelTask: .sequenceClassification(labels: names, .singleLabelClassification), metricNames: [],
      metricForBestModel: "loss", identity: ["synthetic": [.int(count), .int(length), .int(Int(truncatingIfNeeded: seed))]],
      train: Split(name: "train", path: "synthetic tokens", examples: []), evaluation: [])
  }

  override func encoded(_ split: Split, tokenizer: Tokenizer, maxLength: Int) throws -> EncodedDataset {
    let length = min(length, maxLength)
    func draws(_ count: Int, _ stream: UInt32, below limit: UInt64) -> [UInt64] {
      RandomSource(seed: seed, stream: stream).bits(count).map { (UInt64($0) * limit) >> 32 }
    }
    let ids = draws(count * length, 1, below: UInt64(vocabulary.count)).map { vocabulary.lowerBound + Int32($0) }
    let labels = draws(count, 2, below: UInt64(labelCount)).map { Double($0) }
    let sequences = (0..<count).map { Array(ids[$0 * length..<($0 + 1) * length]) }
    return EncodedDataset(sequences: sequences, labels: labels, source: split.path)
  }

  override func label(
    _ batch: inout Batch, _ data: EncodedDataset, _ draw: RandomSource, _ arguments: TrainingArguments, _ tokenizer: Tokenizer
  ) throws {
    batch.labels = .classes(batch.examples.map { Int32(data.labels[$0]) })
  }

  private var labelCount: Int {
    if case .sequenceClassification(let labels, _) = modelTask { labels.count } else { 1 }
  }
}
