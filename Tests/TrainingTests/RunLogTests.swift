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

/// What a run logs, and that neither evaluations nor interruptions change it.
@Suite(.engine) struct RunLogTests {
  private static let row = FrozenCase(testDescription: "", topLayers: [0, 1, 2], dropout: 0.2)

  /// What a run of eight updates came to.
  private struct Run {
    var losses: [Double] = []
    var rows: [String] = []
    var weights: [[Double]] = []
    var tokens = 0
  }

  private func run(
    _ row: FrozenCase = row, task: TrainingTask = FrozenTask.task(), store: FolderStore? = nil, interruptAfter: Int? = nil,
    onEvaluate: ((Trainer, [String: Double]) throws -> Void)? = nil, _ change: (inout TrainingArguments) -> Void
  ) throws -> Run {
    var arguments = row.arguments
    (arguments.maxSteps, arguments.evalStrategy) = (8, .no)
    change(&arguments)
    var run = Run()
    var callbacks = TrainerCallbacks()
    callbacks.onStep = { trainer in
      run.losses.append(trainer.state.loss)
      if trainer.state.step == interruptAfter { Interrupt.request() }
    }
    callbacks.onEvaluate = onEvaluate
    let trainer = try Trainer(model: row.model(), task: task, arguments: arguments, callbacks: callbacks, store: store)
    _ = try trainer.run()
    run.rows = trainer.state.logHistory.map { JSONValue.object($0).encoded(.line) }
    run.weights = trainer.model.network.trainableParameters().map(\.tensor.values)
    run.tokens = trainer.state.tokens
    return run
  }

  /// Dropout and all draws go on as if nobody had looked.
  @Test func evaluationsLeaveTrainingAlone() throws {
    let plain = try run { _ in }
    let evaluated = try run { ($0.evalStrategy, $0.evalSteps) = (.steps, 1) }
    #expect(plain.losses.count == 8 && evaluated.losses == plain.losses)
    let isSame = evaluated.weights == plain.weights
    #expect(isSame)
    // The other layers' dropout is on: another seed gives other losses, from the first update on.
    let other = try run { ($0.seed, $0.trainSamplingStrategy) = (7, .sequential) }
    let again = try run { ($0.seed, $0.trainSamplingStrategy) = (8, .sequential) }
    #expect(zip(other.losses, again.losses).allSatisfy { $0 != $1 })
  }

  /// A row has the mean of the losses since the row before; the last update has a row in any case.
  @Test func rowsHaveTheMeansOfTheirLosses() throws {
    let run = try run { $0.loggingSteps = 3 }
    let rows = try run.rows.map { try JSONValue(parsing: $0, source: "row") }.filter { $0["eval_loss"] == nil }
    #expect(rows.map { $0["step"]?.intValue } == [3, 6, 8])
    let expected = [run.losses[0..<3], run.losses[3..<6], run.losses[6...]].map { $0.reduce(0, +) / Double($0.count) }
    expectClose("losses", rows.compactMap { $0["loss"]?.doubleValue }, expected, relative: 1e-12)
    #expect(rows.last?["tokens"]?.intValue == run.tokens)
    expectClose("epochs", rows.compactMap { $0["epoch"]?.doubleValue }, [3.0 / 7, 6.0 / 7, 8.0 / 7], relative: 1e-12)
  }

  /// Means, counts and rows are those of the whole run, wherever it was interrupted.
  @Test func aResumedRunLogsTheSameRows() throws {
    func change(_ arguments: inout TrainingArguments) {
      (arguments.loggingSteps, arguments.evalStrategy, arguments.evalSteps) = (3, .steps, 4)
    }
    try withTemporaryFolder { folder in
      let whole = try run { change(&$0) }
      #expect(whole.rows.count == 5)
      for step in 1..<8 {
        let store = FolderStore(folder + "/cut-\(step)")
        let error = #expect(throws: EngineError.self) { try run(store: store, interruptAfter: step) { change(&$0) } }
        Interrupt.reset()
        #expect(error?.kind == .interrupted)
        let rest = try run(store: store) { change(&$0) }
        #expect(rest.rows == whole.rows && rest.tokens == whole.tokens, "interrupted after step \(step)")
        #expect(rest.losses == Array(whole.losses.dropFirst(step)))
        let isSame = rest.weights == whole.weights
        #expect(isSame, "interrupted after step \(step)")
      }
    }
  }

  /// With states of frozen layers kept from one evaluation to the next, every set has its own.
  @Test func everySetIsEvaluatedOnItsOwnStates() throws {
    // Examples of one number have one text in both: in another order they differ.
    let task = FrozenTask.task(
      evaluation: [FrozenTask.train, Split(name: "dev", path: "dev.tsv", examples: FrozenTask.dev.examples.reversed())])
    var evaluations = 0
    _ = try run(
      FrozenCase(testDescription: ""), task: task,
      onEvaluate: { trainer, metrics in
        let fresh = try Trainer.evaluate(trainer.model, task, trainer.arguments)
        #expect(fresh.keys.sorted() == ["eval_accuracy", "eval_accuracy_dev", "eval_loss", "eval_loss_dev"])
        // To the bit: a fresh model's states of different texts are close to each other.
        #expect(metrics == fresh)
        evaluations += 1
      }
    ) { ($0.evalStrategy, $0.evalSteps) = (.steps, 2) }
    #expect(evaluations == 4)
  }
}
