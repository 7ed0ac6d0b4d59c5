import Diagnostics
import Files
import Foundation
import Metrics
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

@testable import Training

/// Which evaluation is the best, what `load_best_model_at_end` gives back, and when early stopping ends a run.
@Suite(.engine) struct BestModelTests {
  /// What a run whose evaluations give these values of the metric `score` came to.
  private struct Run {
    var trainer: Trainer
    /// Values of what trains after each evaluation, by the number of the evaluation, from 0.
    var weights: [Int: [[Double]]] = [:]
    var losses: [Double] = []
    var result: [String: Double] = [:]

    var final: [[Double]] { trainer.model.network.trainableParameters().map(\.tensor.values) }
    /// Fails the test unless the model has the weights that it had in an evaluation.
    func expectWeights(of evaluation: Int, sourceLocation: SourceLocation = #_sourceLocation) {
      let isSame = final == weights[evaluation]
      #expect(isSame, "weights of another evaluation than \(evaluation)", sourceLocation: sourceLocation)
    }
    var bestEvaluation: Int? { trainer.state.best.map { $0.step - 1 } }
  }

  /// An evaluation after every update, as many as there are values. `interruptAfter`: the evaluation after which Ctrl-C is pressed;
  /// `hasScore`: whether there is a metric of a script's beside those of the task.
  private func run(
    _ values: [Double], store: FolderStore? = nil, interruptAfter: Int? = nil, hasScore: Bool = true,
    _ change: (inout TrainingArguments) -> Void
  ) throws -> Run {
    var arguments = FrozenCase(testDescription: "").arguments
    (arguments.maxSteps, arguments.evalStrategy, arguments.evalSteps) = (values.count, .steps, 1)
    (arguments.metricForBestModel, arguments.learningRate) = ("score", 0.05)
    change(&arguments)
    var (weights, losses, step): ([Int: [[Double]]], [Double], Int) = ([:], [], 0)
    var callbacks = TrainerCallbacks()
    callbacks.onStep = { step = $0.state.step }
    callbacks.onEvaluate = { trainer, metrics in
      weights[step - 1] = trainer.model.network.trainableParameters().map(\.tensor.values)
      losses.append(metrics["eval_loss"] ?? .nan)
      if step - 1 == interruptAfter { Interrupt.request() }
    }
    var functions = TrainerFunctions()
    if hasScore { functions.metrics = { _ in ["score": values[step - 1]] } }
    let trainer = try Trainer(
      model: FrozenCase(testDescription: "").model(), task: FrozenTask.task(), arguments: arguments, functions: functions,
      callbacks: callbacks, store: store)
    var run = Run(trainer: trainer)
    run.result = try trainer.run()
    (run.weights, run.losses) = (weights, losses)
    return run
  }

  /// The reference's `EarlyStoppingCallback` and choice of the best, on 60 courses of a metric.
  @Test func theBestAndTheEndAreTransformers() throws {
    let rows = try TrainerRuleTests.recorded("selections")
    #expect(rows.count == 60)
    for row in rows {
      let values = try #require(row["values"]?.arrayValue).compactMap(\.doubleValue)
      let run = try run(values) {
        $0.greaterIsBetter = row["greater_is_better"]?.boolValue
        $0.earlyStoppingPatience = row["patience"]?.intValue
        $0.earlyStoppingThreshold = row["threshold"]?.doubleValue ?? .nan
      }
      let actual = [run.trainer.state.step, run.bestEvaluation]
      #expect(actual == row["expected"]?.arrayValue?.map { $0.intValue }, "\(row.encoded())")
    }
  }

  /// The last of equal values is not better; one that is better by less than the threshold is kept, but ends the patience.
  @Test(arguments: [
    ([0.5, 0.7, 0.6, 0.7], nil, 0.0, 1, 4), ([0.5, 0.55, 0.6, 0.9], 2, 0.25, 2, 3), ([0.5, 0.9, 0.6, 0.95], nil, 0.25, 3, 4),
    ([0.9, 0.8, 0.7, 0.95], 2, 0, 0, 3),
  ])
  func theBestWeightsComeBack(_ values: [Double], patience: Int?, threshold: Double, best: Int, steps: Int) throws {
    for loads in [true, false] {
      let run = try run(values) {
        ($0.loadBestModelAtEnd, $0.earlyStoppingPatience, $0.earlyStoppingThreshold) = (loads, patience, threshold)
      }
      #expect(run.trainer.state.step == steps && run.bestEvaluation == best)
      #expect(Set(run.weights.values.map(\.description)).count == steps, "every update changes the weights")
      let shown = loads ? best : steps - 1
      run.expectWeights(of: shown)
      #expect(run.result["eval_score"] == values[shown] && run.result["eval_loss"] == run.losses[shown])
    }
  }

  /// Without options, less of the loss is better and more of the accuracy; an option turns it round.
  @Test func theSmallestLossIsTheBest() throws {
    let values = [Double](repeating: 0, count: 6)
    let choices: [(String, Bool?)] = [("loss", nil), ("eval_loss", nil), ("loss", true), ("loss", false)]
    for ((metric, greater), hasScore) in choices.flatMap({ [($0, true), ($0, false)] }) {
      let run = try run(values, hasScore: hasScore) {
        ($0.metricForBestModel, $0.greaterIsBetter, $0.loadBestModelAtEnd, $0.learningRate) = (metric, greater, true, 0.3)
      }
      let best = try #require(greater == true ? run.losses.max() : run.losses.min())
      #expect(run.losses.max() != run.losses.min())
      #expect(run.trainer.state.best?.value == best && run.result["eval_loss"] == best)
      run.expectWeights(of: try #require(run.losses.firstIndex(of: best)))
    }
    for (name, isGreater) in [("accuracy", true), ("matthews_correlation", true), ("mse", false), ("loss", false)] {
      #expect(MetricCatalogue.greaterIsBetter(name) == isGreater)
    }
  }

  /// A script's own metric: more is better, unless its name ends with "loss", as in Transformers.
  @Test func ownMetricsAreBetterTheMore() throws {
    for (name, best) in [("score", 1), ("hinge_loss", 2)] {
      var arguments = FrozenCase(testDescription: "").arguments
      (arguments.maxSteps, arguments.evalStrategy, arguments.evalSteps, arguments.metricForBestModel) = (3, .steps, 1, name)
      var functions = TrainerFunctions()
      var step = 0
      functions.metrics = { _ in [name: [0.5, 0.7, 0.2][max(0, step - 1)]] }
      var callbacks = TrainerCallbacks()
      callbacks.onStep = { step = $0.state.step }
      let trainer = try Trainer(
        model: FrozenCase(testDescription: "").model(), task: FrozenTask.task(), arguments: arguments, functions: functions,
        callbacks: callbacks)
      _ = try trainer.run()
      #expect(trainer.state.best?.step == best + 1, "\(name)")
    }
  }

  /// What is not a number is never better than a number, and nothing is worse.
  @Test(
    arguments: [
      ([0.5, .nan, 0.6, 0.4], 2, 4), ([.nan, 0.5, .nan, 0.4], 1, 4), ([.nan, .nan, .nan, .nan], 0, 3), ([0.5, .nan, .nan, 0.9], 0, 3),
      ([-.infinity, -.infinity, -.infinity, 1], 0, 3), ([.infinity, .infinity, .infinity, 1], 0, 3),
    ] as [([Double], Int, Int)])
  func noNumberIsNeverTheBest(_ values: [Double], best: Int, steps: Int) throws {
    let run = try run(values) { ($0.loadBestModelAtEnd, $0.earlyStoppingPatience) = (true, 2) }
    #expect(run.trainer.state.step == steps && run.bestEvaluation == best)
    run.expectWeights(of: best)
  }

  /// Patience, the best value and the best weights are those of the whole run, wherever it was interrupted.
  @Test func aResumedRunStopsWhereTheWholeOneDoes() throws {
    let values = [0.5, 0.9, 0.8, 0.7, 0.6, 0.95, 0.5]
    func change(_ arguments: inout TrainingArguments) {
      (arguments.earlyStoppingPatience, arguments.loadBestModelAtEnd) = (3, true)
    }
    try withTemporaryFolder { folder in
      let whole = try run(values, change)
      #expect(whole.trainer.state.step == 5 && whole.bestEvaluation == 1)
      whole.expectWeights(of: 1)
      for evaluation in 0..<4 {
        let store = FolderStore(folder + "/cut-\(evaluation)")
        let error = #expect(throws: EngineError.self) { try run(values, store: store, interruptAfter: evaluation, change) }
        Interrupt.reset()
        #expect(error?.kind == .interrupted)
        let rest = try run(values, store: store, change)
        #expect(rest.trainer.state.step == 5 && rest.bestEvaluation == 1, "interrupted after evaluation \(evaluation)")
        #expect(zip(rest.final, whole.final).allSatisfy { $0 == $1 } && rest.result == whole.result)
      }
    }
  }
}
