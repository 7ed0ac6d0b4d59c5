import Datasets
import Diagnostics
import Files
import Foundation
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import TransformerModels

@testable import Training

/// What a decoder should write for what an encoder reads, and how that is counted.
@Suite(.engine) struct Seq2SeqLMTests {
  private static let tokenizer = FrozenTask.tokenizer
  private static let examples = FrozenTask.dev.examples.enumerated().map { i, example in
    Example([example.text], target: .texts([["good film", "bad", "the plot was very bad"][i % 3]]), line: i + 1)
  }

  private func data(_ examples: [Example], maxLength: Int = 64, folder: String? = nil) throws -> EncodedDataset {
    try EncodedDataset(examples, source: "t.jsonl", for: Seq2SeqLM(), tokenizer: Self.tokenizer, maxLength: maxLength, folder: folder)
  }

  private func batch(_ data: EncodedDataset, _ indices: [Int]) throws -> Batch {
    try data.batch(indices, for: Seq2SeqLM(), Preparation(RandomSource(seed: 1, stream: 1), Self.tokenizer, mlmProbability: 0.15))
  }

  /// Both texts are whole ones, with the tokens that the tokenizer puts around a text; every target token counts.
  @Test func bothStreamsAreWholeTexts() throws {
    let examples = [
      Example(["the film was"], target: .texts(["very good", "fine"]), line: 1), Example(["bad"], target: .texts(["the plot"]), line: 2),
    ]
    let data = try data(examples)
    let batch = try batch(data, [1, 0])
    let (first, second) = (try Self.tokenizer.encode("the plot").ids, try Self.tokenizer.encode("very good").ids)
    #expect(batch.ids == (try Self.tokenizer.encode("bad").ids) + (try Self.tokenizer.encode("the film was").ids))
    #expect(batch.targets?.ids == first + second && batch.targets?.offsets.lengths == [first.count, second.count])
    #expect(batch.labels.map { Array($0.int32s) } == first + second && batch.rows == .all)
    #expect(data.lengths == [batch.offsets.lengths[1] + second.count, batch.offsets.lengths[0] + first.count])
  }

  /// Each text has the limit for itself, and loses tokens at its end.
  @Test func longTextsAreCut() throws {
    let example = Example(["bad"], target: .texts(["the film was not very bad"]), line: 1)
    let cut = try data([example], maxLength: 4)
    #expect(try cut.batch([0]).targets?.ids == Self.tokenizer.encode("the film was not very bad", maxLength: 4).ids)
    #expect(cut.truncatedCount == 1)
    #expect(try data([example]).truncatedCount == 0)
    let both = try EncodedDataset(
      [Example(["the plot was very bad"], target: example.target, line: 1)], source: "t", for: Seq2SeqLM(), tokenizer: Self.tokenizer,
      maxLength: 5, maxTargetLength: 4)
    #expect(try both.batch([0]).ids.count == 5 && both.batch([0]).targets?.ids == cut.batch([0]).targets?.ids)
    let error = #expect(throws: EngineError.self) { try data([Example(["bad"], line: 3)]) }
    #expect("\(try #require(error))".hasPrefix("t.jsonl:3: the example has no target text"))
  }

  /// Tokens come back from their file, targets included; a file whose targets do not fit its examples is none.
  @Test func targetsAreReadFromTheFile() throws {
    try withTemporaryFolder { folder in
      let many = (0..<900).map { i in
        Example(["the film \(i) was not very bad"], target: .texts(["good plot \(i * i) and music"]), line: i + 1)
      }
      let plain = try data(many)
      let paths = { try FileManager.default.contentsOfDirectory(atPath: folder).map { folder + "/" + $0 } }
      for _ in 0..<2 {
        let kept = try data(many, folder: folder)
        #expect(kept.lengths == plain.lengths)
        #expect(try kept.batch([7, 3]).targets?.ids == plain.batch([7, 3]).targets?.ids)
      }
      #expect(try paths().count == 1)
    }
  }

  private func model(_ family: String) throws -> TrainableModel {
    let path = packageRoot + "/Tests/Fixtures/models/\(family)/config.json"
    var config = try #require(JSONValue(file: path).objectValue)
    config["vocab_size"] = .int(Self.tokenizer.vocabularySize)
    config["init_std"] = 0.3
    let base = try PretrainedModel(config: .init(config, path: path), name: "tiny", seed: 5)
    return TrainableModel(Seq2SeqLM(), network: try base.languageModel(Seq2SeqLM.self, seed: 6), base: base, tokenizer: Self.tokenizer)
  }

  /// The loss of an evaluation is the mean over all target tokens, however batches were cut, smoothed as Transformers does it.
  @Test(arguments: ["tiny-bart", "tiny-t5v11"], [1, 3, 100]) func theLossIsTheMeanOverTargets(family: String, batchSize: Int) throws {
    let model = try model(family)
    let dev = Split(name: "dev", path: "dev.jsonl", examples: Self.examples)
    let task = try TrainingTask(
      TaskDefinition(name: "t", labels: nil, metricNames: ["perplexity"], metricForBestModel: "perplexity", train: dev, evaluation: [dev]),
      type: Seq2SeqLM())
    var arguments = TrainingArguments()
    (arguments.evalBatchSize, arguments.maxLength) = (batchSize, 32)
    let metrics = try Trainer.evaluate(model, task, arguments)
    let data = try data(Self.examples, maxLength: 32)
    var (sum, smoothed, count) = (0.0, 0.0, 0)
    for i in Self.examples.indices {
      let batch = try batch(data, [i])
      let logits = try model.network.predict(batch)
      let ids = try #require(batch.targets).ids
      for (row, id) in ids.enumerated() {
        let scores = (0..<logits.columns).map { logits.element(row * logits.columns + $0) }
        let logSum = log(scores.map { exp($0 - (scores.max() ?? 0)) }.reduce(0, +)) + (scores.max() ?? 0)
        sum += logSum - scores[Int(id)]
        smoothed += 0.9 * (logSum - scores[Int(id)]) + 0.1 * scores.map { logSum - $0 }.reduce(0, +) / Double(scores.count)
      }
      count += ids.count
    }
    let (loss, perplexity) = (try #require(metrics["eval_loss"]), try #require(metrics["eval_perplexity"]))
    #expect(abs(loss - sum / Double(count)) < 1e-5 * loss && abs(perplexity - exp(loss)) < 1e-6 * perplexity)
    let all = try batch(data, Array(Self.examples.indices))
    let mean = try Autograd.noGrad { try model.type.loss(model.network, all, labelSmoothing: 0.1).item() }
    #expect(abs(mean - smoothed / Double(count)) < 1e-5 * mean)
  }

  /// Where the encoder is frozen, it is computed once for all epochs; not a bit of the training changes.
  @Test func aFrozenEncoderIsComputedOnce() throws {
    func train(_ mebibytes: Int) throws -> [String: [Double]] {
      let model = try model("tiny-bart")
      for (name, tensor) in model.network.namedParameters() { try tensor.setTrainable(name.contains("decoder.layers.")) }
      let split = Split(name: "train", path: "train.jsonl", examples: Self.examples)
      let task = try TrainingTask(
        TaskDefinition(name: "t", labels: nil, metricNames: ["perplexity"], metricForBestModel: "perplexity", train: split, evaluation: [split]),
        type: Seq2SeqLM())
      var arguments = TrainingArguments()
      (arguments.numTrainEpochs, arguments.trainBatchSize, arguments.maxLength, arguments.learningRate) = (3, 4, 32, 1e-2)
      arguments.frozenCacheMebibytes = mebibytes
      var callbacks = TrainerCallbacks()
      // Written without a count, behind the engine's back: what is kept does not change.
      callbacks.onEpoch = { trainer, epoch in
        let parameters = trainer.model.network.namedParameters()
        guard epoch == 1, mebibytes > 0, let place = parameters.first(where: { $0.name == "model.encoder.layers.0.fc1.weight" })?.tensor else {
          return
        }
        place.floats[0] += 100
      }
      _ = try Trainer(model: model, task: task, arguments: arguments, callbacks: callbacks).run()
      return Dictionary(uniqueKeysWithValues: model.network.trainableParameters().map { ($0.name, $0.tensor.values) })
    }
    #expect(try train(64) == train(0))
  }
}
