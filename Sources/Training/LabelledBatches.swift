import TensorCore
import Tokenizers
import TransformerModels

extension TrainingTask {
  /// The labelled batches of the first epoch, for loops that do not train.
  package func batches(_ arguments: TrainingArguments, tokenizer: Tokenizer) throws -> [Batch] {
    let data = try encoded(train, tokenizer: tokenizer, maxLength: arguments.maxLength)
    let sampler = BatchSampler(
      lengths: data.lengths, batchSize: arguments.trainBatchSize, sampling: arguments.trainSamplingStrategy,
      seed: arguments.usedSeed)
    return try sampler.batches(epoch: 0).enumerated().map { i, indices in
      var batch = try data.batch(indices)
      let draw = RandomSource(seed: arguments.usedSeed, stream: RandomSource.stream(named: "masks"), step: UInt64(i))
      try label(&batch, data, draw, arguments, tokenizer)
      return batch
    }
  }
}
