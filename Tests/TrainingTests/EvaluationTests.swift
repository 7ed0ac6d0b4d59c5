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

/// What an evaluation reports, against sums over the model's own answers to one example at a time.
@Suite(.engine) struct EvaluationTests {
  /// A model with random weights for a task, and nothing dropped.
  private func model(_ task: TrainingTask, _ tokenizer: Tokenizer = FrozenTask.tokenizer) throws -> TrainableModel {
    let path = packageRoot + "/Tests/Fixtures/models/tiny-roberta/config.json"
    var config = try #require(JSONValue(file: path).objectValue)
    config["vocab_size"] = .int(tokenizer.vocabularySize)
    config["initializer_range"] = .double(0.3)
    let base = try PretrainedModel(config: .init(config, path: path), name: "tiny", seed: 5)
    return TrainableModel(task.type, network: try base.make(task.type.head, headSeed: 6), base: base, tokenizer: tokenizer)
  }

  private func task(_ labels: LabelKind, _ names: [String], _ metrics: [String]) throws -> TrainingTask {
    // Examples of one length stand together in a batch: labels that follow the length give batches unlike each other.
    func relabelled(_ split: Split) -> Split {
      var copy = split
      copy.examples = split.examples.map { example in
        let words = example.text.split(separator: " ").count
        return Example(
          [example.text], target: labels == .scores ? .score(Double(words) * 1.25 - 4) : .label(words % names.count), line: example.line)
      }
      return copy
    }
    return try TrainingTask(
      TaskDefinition(
        name: "t", labels: labels, labelNames: labels == .scores ? [] : names, metricNames: metrics,
        metricForBestModel: metrics[0], train: relabelled(FrozenTask.train),
        evaluation: [relabelled(FrozenTask.dev), relabelled(FrozenTask.train)]))
  }

  private func arguments(batch: Int) -> TrainingArguments {
    var arguments = TrainingArguments()
    (arguments.evalBatchSize, arguments.maxLength) = (batch, 32)
    return arguments
  }

  /// The model's answer to each example of a set, alone.
  private func answers(_ model: TrainableModel, _ split: Split) throws -> [[Double]] {
    try split.examples.map { example in
      let ids = try model.tokenizer.encode(example.text, maxLength: 32).ids
      return try model.network.predict(Batch(ids: ids, offsets: Offsets(lengths: [ids.count]))).values
    }
  }

  /// 13 and 26 examples in batches of 5 and 4, or all at once: the loss is the mean over the examples.
  @Test(arguments: [1, 4, 5, 100]) func theLossOfClassesIsTheMeanOverExamples(batch: Int) throws {
    let task = try task(.classes, ["a", "b", "c"], ["accuracy"])
    let model = try model(task)
    let metrics = try Trainer.evaluate(model, task, arguments(batch: batch))
    for (split, suffix) in zip(task.evaluation, ["", "_train"]) {
      let answers = try answers(model, split)
      var (loss, correct) = (0.0, 0.0)
      for (logits, example) in zip(answers, split.examples) {
        guard case .label(let label) = example.target else { return }
        loss += log(logits.reduce(0) { $0 + exp($1) }) - logits[label]
        correct += logits.max() == logits[label] ? 1 : 0
      }
      let count = Double(answers.count)
      expectClose(
        "eval_loss, eval_accuracy" + suffix, [metrics["eval_loss" + suffix] ?? .nan, metrics["eval_accuracy" + suffix] ?? .nan],
        [loss / count, correct / count], relative: 1e-5)
    }
    #expect(metrics.count == 4)
  }

  /// Transformers' Trainer smooths the labels of an evaluation as those of the training: the loss is (1 - s) times that of the
  /// label, and s times the mean over all classes.
  @Test func theLossIsSmoothedAsInTraining() throws {
    let task = try task(.classes, ["a", "b", "c"], ["accuracy"])
    let model = try model(task)
    var arguments = arguments(batch: 5)
    arguments.labelSmoothingFactor = 0.25
    let metrics = try Trainer.evaluate(model, task, arguments)
    let split = task.evaluation[0]
    let losses = try zip(answers(model, split), split.examples).map { logits, example in
      let logSum = log(logits.reduce(0) { $0 + exp($1) })
      let label = try Int(#require(example.target.answer).number)
      return 0.75 * (logSum - logits[label]) + 0.25 * (logSum - logits.reduce(0, +) / 3)
    }
    expectClose("eval_loss", [metrics["eval_loss"] ?? .nan], [losses.reduce(0, +) / Double(losses.count)], relative: 1e-5)
  }

  /// A script's metrics see every example's logits, class and label in the file's order, however batches were cut.
  @Test(arguments: [1, 4, 100]) func metricsOfAScriptSeeTheFilesOrder(batch: Int) throws {
    let task = try task(.classes, ["a", "b", "c"], ["accuracy"])
    let model = try model(task)
    // The mean logits out of the bias: every class is predicted for some example.
    let bias = try #require(model.network.namedParameters().first { $0.name == "classifier.out_proj.bias" }).tensor
    let all = try task.evaluation.flatMap { try answers(model, $0) }
    for label in 0..<3 { bias.set(bias.element(label) - all.reduce(0) { $0 + $1[label] } / Double(all.count), at: label) }
    var seen: [Predictions] = []
    var functions = TrainerFunctions()
    functions.metrics = { predictions in
      seen.append(predictions)
      return ["seen": Double(seen.count)]
    }
    let metrics = try Trainer.evaluate(model, task, arguments(batch: batch), functions: functions)
    #expect(metrics["eval_seen"] == 1 && metrics["eval_seen_train"] == 2 && seen.count == 2)
    for (predictions, split) in zip(seen, task.evaluation) {
      let answers = try answers(model, split)
      expectClose("logits", try #require(predictions.logits).values, answers.flatMap { $0 }, relative: 1e-4, absolute: 1e-5)
      #expect(predictions.answers == answers.map { .label($0.firstIndex(of: $0.max() ?? .nan) ?? -1) })
      #expect(predictions.references == split.examples.map { $0.target.answer })
      #expect(Set(predictions.answers.map(\.number)).count > 1)
    }
  }

  /// Both definitions in their authors' words, e = 0.3: fairseq's `(1 - e - e_i) nll + e_i sum(-log p)` with `e_i = e / (C - 1)`, and
  /// Transformers' `(1 - e) nll + e mean(-log p)`.
  @Test(arguments: [TrainingArguments.LabelSmoothing.transformers, .fairseq]) func labelsAreSmoothed(_ type: TrainingArguments.LabelSmoothing) throws
  {
    let task = try task(.classes, ["a", "b", "c"], ["accuracy"])
    let model = try model(task)
    var arguments = arguments(batch: 4)
    (arguments.labelSmoothingFactor, arguments.labelSmoothingType) = (0.3, type)
    let split = task.evaluation[0]
    let losses = try zip(answers(model, split), split.examples).map { logits, example in
      let total = log(logits.reduce(0) { $0 + exp($1) })
      let costs = logits.map { total - $0 }
      let own = costs[Int(try #require(example.target.answer).number)]
      let sum = costs.reduce(0, +)
      return type == .fairseq ? (1 - 0.3 - 0.3 / 2) * own + 0.3 / 2 * sum : (1 - 0.3) * own + 0.3 * sum / 3
    }
    let loss = try Trainer.evaluate(model, task, arguments)["eval_loss"] ?? .nan
    expectClose("eval_loss", [loss], [losses.reduce(0, +) / Double(losses.count)], relative: 1e-5)
  }

  @Test(arguments: [1, 5, 100]) func theLossOfScoresIsTheMeanOverExamples(batch: Int) throws {
    let task = try task(.scores, ["score"], ["mse", "pearson"])
    let model = try model(task)
    let metrics = try Trainer.evaluate(model, task, arguments(batch: batch))
    let answers = try answers(model, task.evaluation[0])
    let errors = try zip(answers, task.evaluation[0].examples).map { answer, example in
      try #require(answer.count == 1 ? answer.first : nil) - #require(example.target.answer).number
    }
    let mean = errors.reduce(0) { $0 + $1 * $1 } / Double(errors.count)
    expectClose("eval_loss, eval_mse", [metrics["eval_loss"] ?? .nan, metrics["eval_mse"] ?? .nan], [mean, mean], relative: 1e-5)
    var smoothed = arguments(batch: batch)
    smoothed.labelSmoothingFactor = 0.1
    #expect { try Trainer.evaluate(model, task, smoothed) } throws: { "\($0)".hasPrefix("label_smoothing_factor: task 't' has scores") }
    #expect(metrics.keys.sorted().prefix(4) == ["eval_combined", "eval_combined_train", "eval_loss", "eval_loss_train"])
  }

  /// Masked tokens are the same in every evaluation and for every model, and each counts once, however many its batch has.
  @Test func theLossOfMaskedTokensIsTheMeanOverThem() throws {
    let task = maskedTask("mlm", train: FrozenTask.train, evaluation: [FrozenTask.dev])
    let model = try model(task)
    var arguments = arguments(batch: 5)
    arguments.mlmProbability = 0.4
    let metrics = try Trainer.evaluate(model, task, arguments)
    #expect(try Trainer.evaluate(model, task, arguments) == metrics)
    let data = try task.encoded(FrozenTask.dev, tokenizer: model.tokenizer, maxLength: 32)
    var (loss, correct, count) = (0.0, 0.0, 0.0)
    var counts: Set<Int> = []
    for (i, indices) in BatchSampler.evaluationBatches(data.lengths, batchSize: 5).enumerated() {
      let draw = RandomSource(seed: 42, stream: RandomSource.stream(named: "evaluation masks"), step: UInt64(i))
      let batch = try data.batch(indices, for: task.type, Preparation(draw, model.tokenizer, mlmProbability: 0.4))
      guard case .some(let rows) = batch.rows, let labels = batch.labels?.int32s else { return }
      counts.insert(batch.labelCount)
      let logits = try model.network.predict(batch)
      for (row, label) in zip(rows, labels) {
        let values = (0..<logits.columns).map { logits.element(Int(row) * logits.columns + $0) }
        loss += log(values.reduce(0) { $0 + exp($1) }) - values[Int(label)]
        correct += values.max() == values[Int(label)] ? 1 : 0
        count += 1
      }
    }
    #expect(counts.count > 1)
    expectClose(
      "eval_loss, eval_accuracy", [metrics["eval_loss"] ?? .nan, metrics["eval_accuracy"] ?? .nan], [loss / count, correct / count],
      relative: 1e-5)
  }
}

extension Target {
  /// The answer that hits it.
  fileprivate var answer: Answer? {
    switch self {
    case .label(let index): .label(index)
    case .score(let score): .score(score)
    default: nil
    }
  }
}
