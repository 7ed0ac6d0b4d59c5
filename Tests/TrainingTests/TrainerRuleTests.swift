import Adapters
import Diagnostics
import Files
import Foundation
import Optimizers
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

@testable import Training

/// How long a run is, when it evaluates, and which batches an update takes: as in Transformers' Trainer.
@Suite(.engine) struct TrainerRuleTests {
  /// `Tests/Fixtures/trainer.json`, a list in it.
  static func recorded(_ name: String) throws -> [JSONValue] {
    try #require(JSONValue(file: packageRoot + "/Tests/Fixtures/trainer.json")[name]?.arrayValue)
  }

  @Test func runsAreAsLongAsTransformers() throws {
    let rows = try Self.recorded("lengths")
    #expect(rows.count == 200)
    for row in rows {
      func number(_ key: String) throws -> Double { try #require(row[key]?.doubleValue) }
      var arguments = TrainingArguments()
      arguments.trainBatchSize = Int(try number("batch_size"))
      arguments.gradientAccumulationSteps = Int(try number("gradient_accumulation_steps"))
      arguments.numTrainEpochs = try number("num_train_epochs")
      arguments.maxSteps = Int(try number("max_steps"))
      let warmup = try number("warmup")
      if warmup < 1 { arguments.warmupRatio = warmup } else { arguments.warmupSteps = Int(warmup) }
      let examples = Int(try number("examples"))
      let total = try arguments.totalSteps(examples: examples)
      let actual = [arguments.stepsPerEpoch(examples: examples), total, arguments.schedule(totalSteps: total).warmupSteps]
      #expect(actual == row["expected"]?.arrayValue?.map { $0.intValue }, "\(row.encoded())")
    }
  }

  @Test func warmupStepsWinOverTheRatio() {
    var arguments = TrainingArguments()
    (arguments.warmupSteps, arguments.warmupRatio) = (2, 0.5)
    #expect(arguments.schedule(totalSteps: 100).warmupSteps == 2)
  }

  /// A row of the log: what happened in which step.
  private struct Logged {
    var rates: [Double] = []
    var evaluations: [Int] = []
    var batches: [[[Int]]] = []
    var tokens: [Int] = []
    var losses: [Double] = []
  }

  private func train(_ row: FrozenCase, _ change: (inout TrainingArguments) -> Void) throws -> Logged {
    var arguments = row.arguments
    change(&arguments)
    var logged = Logged()
    var callbacks = TrainerCallbacks()
    func note(_ trainer: Trainer) throws {
      guard trainer.state.step < trainer.totalSteps else { return }
      logged.batches.append(try trainer.nextBatches().map(\.examples))
    }
    callbacks.onBegin = { trainer, _, _ in try note(trainer) }
    callbacks.onStep = { trainer in
      logged.tokens.append(trainer.state.tokens)
      logged.losses.append(trainer.state.loss)
      try note(trainer)
    }
    callbacks.onLog = { row in
      if let rate = row["learning_rate"]?.doubleValue { logged.rates.append(rate) }
      if row["eval_loss"] != nil { logged.evaluations.append(row["step"]?.intValue ?? -1) }
    }
    _ = try Trainer(model: row.model(), task: FrozenTask.task(), arguments: arguments, callbacks: callbacks).run()
    return logged
  }

  /// 18 of 17.5 updates; 0.24 of them are 4.32, so that five rise; then down to 0 on a straight line.
  @Test func aRunRisesAndFallsAsItsOptionsSay() throws {
    let logged = try train(FrozenCase(testDescription: "")) {
      ($0.numTrainEpochs, $0.warmupRatio, $0.learningRate) = (2.5, 0.24, 1e-3)
    }
    let expected = (0..<18).map { step in
      let multiplier: Double = step < 5 ? Double(step) / 5 : Double(18 - step) / 13
      return 1e-3 * multiplier
    }
    expectClose("learning rates", logged.rates, expected, relative: 1e-12)
  }

  @Test(arguments: [
    (TrainingArguments.Strategy.no, 500, [18]), (.epoch, 500, [7, 14, 18]), (.steps, 4, [4, 8, 12, 16, 18]), (.steps, 6, [6, 12, 18]),
    (.steps, 500, [18]),
  ])
  func evaluatesWhenItShould(_ strategy: TrainingArguments.Strategy, _ every: Int, _ expected: [Int]) throws {
    let logged = try train(FrozenCase(testDescription: "")) {
      ($0.numTrainEpochs, $0.evalStrategy, $0.evalSteps) = (2.5, strategy, every)
    }
    #expect(logged.evaluations == expected)
  }

  /// 26 examples in batches of 4, three for an update: three updates for each epoch, the last of one batch; nothing is left out.
  @Test(arguments: [TrainingArguments.Sampling.random, .groupByLength, .sequential])
  func everyEpochTakesEveryExample(_ sampling: TrainingArguments.Sampling) throws {
    let logged = try train(FrozenCase(testDescription: "", sampling: sampling, accumulation: 3)) { $0.numTrainEpochs = 2 }
    #expect(logged.batches.map(\.count) == [3, 3, 1, 3, 3, 1])
    let epochs = [logged.batches[..<3], logged.batches[3...]].map { $0.flatMap { $0.flatMap { $0 } } }
    for epoch in epochs { #expect(epoch.sorted() == Array(0..<26)) }
    #expect((epochs[0] == epochs[1]) == (sampling == .sequential))
    if sampling == .sequential { #expect(epochs[0] == Array(0..<26)) }
    // Every token counts once in each epoch.
    #expect(logged.tokens[5] == 2 * logged.tokens[2])
    let model = try FrozenCase(testDescription: "").model()
    let all = try FrozenTask.train.examples.reduce(0) { try $0 + model.tokenizer.encode($1.text, maxLength: 32).count }
    #expect(logged.tokens[2] == all)
  }

  /// The loss of an update is the mean over its labels, not over its batches: 5 and 5, 5 and 5, 5 and 1.
  @Test func unevenBatchesOfAnUpdateCountByTheirLabels() throws {
    let whole = try train(FrozenCase(testDescription: "", sampling: .sequential)) { $0.trainBatchSize = 10 }
    let parts = try train(FrozenCase(testDescription: "", sampling: .sequential, accumulation: 2)) { $0.trainBatchSize = 5 }
    #expect(parts.batches.map { $0.map(\.count) }.suffix(1) == [[5, 1]])
    #expect(whole.losses.count == 9)
    expectClose("losses", parts.losses, whole.losses, relative: 1e-4)
  }

  /// What a method adds to the loss counts once in an update, however many batches it has.
  @Test func aMethodsOwnTermCountsOnceInAnUpdate() throws {
    func losses(batch: Int, accumulation: Int) throws -> [Double] {
      let row = FrozenCase(testDescription: "", sampling: .sequential, accumulation: accumulation)
      let source = try row.model()
      let model = TrainableModel(
        FrozenTask.type, network: try source.base.make(FrozenTask.type.head, headSeed: 6), base: source.base, tokenizer: source.tokenizer)
      var method = AdaLoRA()
      (method.initR, method.targetR, method.orthRegWeight) = (4, 2, 0.5)
      try model.addAdapter(method, seed: 9)
      var arguments = row.arguments
      (arguments.trainBatchSize, arguments.maxSteps) = (batch, 3)
      var losses: [Double] = []
      var callbacks = TrainerCallbacks()
      callbacks.onStep = { losses.append($0.state.loss) }
      _ = try Trainer(model: model, task: FrozenTask.task(), arguments: arguments, callbacks: callbacks).run()
      return losses
    }
    let whole = try losses(batch: 10, accumulation: 1)
    // The term alone is more than a percent of the loss.
    #expect(whole.count == 3 && whole[0] > 1)
    expectClose("losses", try losses(batch: 5, accumulation: 2), whole, relative: 1e-3)
  }
}
