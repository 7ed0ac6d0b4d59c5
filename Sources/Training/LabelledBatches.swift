import Datasets
import Tasks
import TensorCore
import Tokenizers
import TransformerModels

extension TrainingTask {
  /// A split as token ids, of the lengths that the arguments say.
  package func encoded(_ split: Split, _ tokenizer: Tokenizer, _ arguments: TrainingArguments) throws -> EncodedDataset {
    try encoded(split, tokenizer: tokenizer, maxLength: arguments.maxLength, maxTargetLength: arguments.maxTargetLength)
  }

  /// The labelled batches of the first epoch, for loops that do not train.
  package func batches(_ arguments: TrainingArguments, tokenizer: Tokenizer) throws -> [Batch] {
    let data = try encoded(train, tokenizer, arguments)
    let sampler = BatchSampler(
      lengths: data.lengths, batchSize: arguments.trainBatchSize, sampling: arguments.trainSamplingStrategy,
      seed: arguments.usedSeed)
    return try sampler.batches(epoch: 0).enumerated().map { i, indices in
      try data.batch(indices, for: type, arguments.preparation("masks", step: i, tokenizer))
    }
  }
}

extension TrainingArguments {
  /// What batches are prepared with. `draw` names the random draws; `batch`: its place in an update.
  func preparation(_ draw: String, batch: Int = 0, step: Int, _ tokenizer: Tokenizer) -> Preparation {
    let stream = RandomSource.stream(named: draw) &+ UInt32(batch)
    return Preparation(RandomSource(seed: usedSeed, stream: stream, step: UInt64(step)), tokenizer, mlmProbability: mlmProbability)
  }
}
