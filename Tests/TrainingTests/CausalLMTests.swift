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

/// Which tokens causal language modelling asks for, and what it makes of the logits in front of them.
@Suite(.engine) struct CausalLMTests {
  private static let tokenizer = FrozenTask.tokenizer

  private func ids(_ text: String) throws -> [Int32] { try Self.tokenizer.encode(text, addSpecialTokens: false).ids }

  private func prepared(_ examples: [Example], maxLength: Int = 64) throws -> (batch: Batch, rows: [Int32], labels: [Int32]) {
    let data = try EncodedDataset(examples, source: "t.jsonl", for: CausalLM(), tokenizer: Self.tokenizer, maxLength: maxLength)
    let draw = RandomSource(seed: 1, stream: 1)
    let batch = try data.batch(Array(examples.indices), for: CausalLM(), Preparation(draw, Self.tokenizer, mlmProbability: 0.15))
    guard case .some(let rows) = batch.rows, let labels = batch.labels else { throw EngineError(.data, "no labels") }
    return (batch, rows, Array(labels.int32s))
  }

  /// Of a text every token counts that something stands before; of a completion its own, the first of them named from the prompt.
  /// What the tokenizer puts in front of texts stays, what it puts behind them does not part prompt and completion.
  @Test func completionsAloneCount() throws {
    let (begin, end) = try (#require(Self.tokenizer.bosTokenId), #require(Self.tokenizer.eosTokenId))
    let (prompt, completion, text) = try (ids("the film was"), ids(" very good"), ids("bad plot music"))
    let examples = [Example(["the film was"], target: .texts([" very good"]), line: 1), Example(["bad plot music"], line: 2)]
    let (batch, rows, labels) = try prepared(examples)
    #expect(batch.ids == [begin] + prompt + completion + [end] + [begin] + text + [end])
    #expect(labels == completion + [end] + text + [end])
    let first = Int32(prompt.count)..<Int32(prompt.count + completion.count + 1)
    let second = Int32(prompt.count + completion.count + 2)..<Int32(batch.ids.count - 1)
    #expect(rows == Array(first) + Array(second))
  }

  /// Of too many tokens, those that begin the prompt go first, then those that end the completion.
  @Test func promptsAreCutAtTheirBeginning() throws {
    let (begin, end) = try (#require(Self.tokenizer.bosTokenId), #require(Self.tokenizer.eosTokenId))
    let (prompt, completion) = try (ids("the film was not very bad"), ids(" fine music"))
    let examples = [Example(["the film was not very bad"], target: .texts([" fine music"]), line: 1)]
    let whole = completion + [end]
    #expect(try prepared(examples, maxLength: whole.count + 3).batch.ids == [begin] + prompt.suffix(2) + whole)
    let cut = try prepared(examples, maxLength: whole.count)
    #expect(cut.batch.ids == [begin] + whole.dropLast() && cut.labels == whole.dropLast())
    let data = try EncodedDataset(examples, source: "t", for: CausalLM(), tokenizer: Self.tokenizer, maxLength: whole.count)
    #expect(data.truncatedCount == 1)
    let error = #expect(throws: EngineError.self) { try prepared([Example(["good"], line: 3)], maxLength: 1) }
    #expect("\(try #require(error))".hasPrefix("t.jsonl:3: max_length is 1, expected at least 2"))
  }

  /// The loss of an evaluation is the mean over its tokens, however batches were cut, and perplexity is its exponential. The
  /// network stands in for a decoder: which tokens see which is not what is tested here.
  @Test(arguments: [1, 3, 100]) func theLossIsTheMeanOverTokens(batchSize: Int) throws {
    let path = packageRoot + "/Tests/Fixtures/models/tiny-roberta/config.json"
    var config = try #require(JSONValue(file: path).objectValue)
    config["vocab_size"] = .int(Self.tokenizer.vocabularySize)
    config["initializer_range"] = .double(0.3)
    let base = try PretrainedModel(config: .init(config, path: path), name: "tiny", seed: 5)
    let model = TrainableModel(CausalLM(), network: try base.make(.language, headSeed: 6), base: base, tokenizer: Self.tokenizer)
    let dev = Split(
      name: "dev", path: "dev.jsonl",
      examples: FrozenTask.dev.examples.enumerated().map { i, example in
        Example([example.text], target: i % 2 == 0 ? .texts([" good film"]) : .none, line: i + 1)
      })
    let task = try TrainingTask(
      TaskDefinition(name: "t", labels: nil, metricNames: ["perplexity"], metricForBestModel: "perplexity", train: dev, evaluation: [dev]),
      type: CausalLM())
    var arguments = TrainingArguments()
    (arguments.evalBatchSize, arguments.maxLength, arguments.trainBatchSize, arguments.maxSteps) = (batchSize, 32, 4, 2)
    try model.network.setTrainable(true)
    let metrics = try Trainer.evaluate(model, task, arguments)
    var (loss, count) = (0.0, 0.0)
    for example in dev.examples {
      let (batch, rows, labels) = try prepared([example], maxLength: 32)
      let logits = try model.network.predict(batch)
      for (row, label) in zip(rows, labels) {
        let values = (0..<logits.columns).map { logits.element(Int(row) * logits.columns + $0) }
        loss += log(values.reduce(0) { $0 + exp($1) }) - values[Int(label)]
        count += 1
      }
    }
    expectClose(
      "eval_loss, eval_perplexity", [metrics["eval_loss"] ?? .nan, metrics["eval_perplexity"] ?? .nan],
      [loss / count, exp(loss / count)], relative: 1e-5)
    #expect(metrics.count == 2)
    let trained = try Trainer(model: model, task: task, arguments: arguments).run()
    #expect((trained["eval_loss"] ?? .nan) < loss / count)
  }
}
