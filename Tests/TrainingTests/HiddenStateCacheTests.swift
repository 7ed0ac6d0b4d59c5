import Diagnostics
import Files
import Foundation
import NN
import Tasks
import TensorCore
import TestSupport
import Testing

@testable import Training
@testable import TransformerModels

/// Hidden states of frozen layers are computed once, and nothing else changes: not a bit of any loss, metric or weight.
@Suite(.engine) struct HiddenStateCacheTests {
  /// Where states are kept.
  enum Keeping: CaseIterable {
    case nowhere, memory, file
  }

  private typealias Change = (Trainer, _ epoch: Int) throws -> Void

  private func train(
    _ frozen: FrozenCase, _ keeping: Keeping = .memory, store given: FolderStore? = nil, task: TrainingTask? = nil,
    _ adjust: (inout TrainingArguments) -> Void = { _ in }, interruptAfter: Int? = nil, onEpoch: Change? = nil
  ) throws -> Outcome {
    try withTemporaryFolder { folder in
      var arguments = frozen.arguments
      arguments.frozenCacheMebibytes = keeping == .memory ? 64 : 0
      adjust(&arguments)
      let store = given ?? FolderStore(folder, hasScratch: keeping != .nowhere)
      var outcome = Outcome()
      var callbacks = TrainerCallbacks()
      callbacks.onStep = { trainer in
        outcome.steps.append([trainer.state.loss, trainer.state.gradientNorm])
        if trainer.state.step == interruptAfter { Interrupt.request() }
      }
      callbacks.onLog = { row in
        guard row["eval_loss"] != nil else { return }
        outcome.evaluations.append(Dictionary(row.members.map { ($0, $1.doubleValue ?? .nan) }, uniquingKeysWith: { a, _ in a }))
      }
      callbacks.onEpoch = onEpoch
      let model = try frozen.model()
      let trainer = try Trainer(
        model: model, task: task ?? FrozenTask.task(), arguments: arguments, callbacks: callbacks, store: store)
      _ = try trainer.run()
      for (name, tensor) in model.network.trainableParameters() { outcome.weights[name] = tensor.values }
      #expect(try AtomicFolder.names(in: store.folder).filter { $0 != "state" } == [])
      return outcome
    }
  }

  /// The same, with Ctrl-C after an update, or when `task` asks for it.
  private func interrupt(_ frozen: FrozenCase, _ store: FolderStore, task: TrainingTask? = nil, after step: Int? = nil) throws {
    defer { Interrupt.reset() }
    let error = #expect(throws: EngineError.self) {
      try train(frozen, store: store, task: task, interruptAfter: step)
    }
    #expect(error?.kind == .interrupted)
  }

  /// Products of other shapes round alike where weights are packed, and there not those of a LoRA's few rows.
  private func expectEqual(_ a: Outcome, _ b: Outcome, _ frozen: FrozenCase, sourceLocation: SourceLocation = #_sourceLocation) {
    if Precision.current.packsFrozenWeights, !frozen.hasFrozenLoRA {
      let isEqual = a == b
      #expect(isEqual, "distance \(a.distance(to: b))", sourceLocation: sourceLocation)
    } else {
      #expect(a.distance(to: b) < 1e-3, sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: FrozenCase.all) func resultsAreThoseWithoutIt(frozen: FrozenCase) throws {
    let plain = try train(frozen, .nowhere)
    #expect(plain.steps.count == (frozen.accumulation == 1 ? 21 : 9) && plain.evaluations.count == 3)
    let kept = try train(frozen, .memory)
    expectEqual(kept, plain, frozen)
    let isSameInFile = try train(frozen, .file) == kept
    #expect(isSameInFile)
  }

  @Test(arguments: [FrozenCase.all[1], FrozenCase.all[5], FrozenCase.all[10]]) func bfloat16StatesAreKeptAsTheyAre(frozen: FrozenCase) throws {
    let before = Precision.current
    defer { Precision.current = before }
    let wide = try train(frozen)
    Precision.current = .bf16
    let plain = try train(frozen, .nowhere)
    let kept = try train(frozen, .memory)
    expectEqual(kept, plain, frozen)
    let isSameInFile = try train(frozen, .file) == kept
    #expect(isSameInFile)
    #expect(kept != wide)
  }

  /// The cache alone: three groups, of which memory has room for one and the file, if there is one, takes the others.
  @Test(arguments: [true, false], [DType.float32, .bfloat16]) func groupsAreComputedOnce(hasFile: Bool, dtype: DType) throws {
    try withTemporaryFolder { folder in
      let lengths = [3, 1, 2, 4, 1]
      func batch(_ examples: [Int]) throws -> Batch {
        let ids = examples.flatMap { [Int32](repeating: Int32($0), count: lengths[$0]) }
        return try Batch(ids: ids, offsets: Offsets(lengths: examples.map { lengths[$0] }), examples: examples)
      }
      var computed: [[Int]] = []
      func states(_ batch: Batch) throws -> Tensor {
        computed.append(batch.examples)
        let rows = zip(batch.ids, batch.offsets.lengths.flatMap { 0..<$0 }).flatMap { [Double($0), Double($1)] }
        return try Tensor(rows, [batch.ids.count, 2]).to(dtype)
      }
      let budget = HiddenStateCache.Budget(bytes: 6 * 2 * dtype.size, folder: hasFile ? folder : nil)
      let cache = HiddenStateCache(groups: [[0, 2], [4, 1], [3]], budget: budget, batch: batch)
      let prefix = FrozenPrefix()
      func expect(_ examples: [Int], _ computes: [[Int]], sourceLocation: SourceLocation = #_sourceLocation) throws {
        computed = []
        let asked = try batch(examples)
        let result = try cache.states(asked, of: prefix, states)
        #expect(computed == computes, sourceLocation: sourceLocation)
        #expect(try result.values == states(asked).values && result.dtype == dtype, sourceLocation: sourceLocation)
      }
      try expect([2], [[0, 2]])
      try expect([0, 2], [])
      try expect([1, 2], hasFile ? [[4, 1]] : [[4, 1], [1]])
      try expect([3, 2, 1, 0, 4], hasFile ? [[3]] : [[3, 1, 4]])
      try expect([4, 3, 0], hasFile ? [] : [[4, 3]])
      var other = FrozenPrefix()
      other.oneRowEach = true
      #expect(other != prefix)
      cache.removeAll()
      cache.isKeeping = false
      try expect([2, 4], [[2, 4]])
      try expect([2, 4], [[2, 4]])
      cache.isKeeping = true
      try expect([2, 4], hasFile ? [[0, 2], [4, 1]] : [[0, 2], [4, 1], [4]])
      #expect(try AtomicFolder.names(in: folder) == [])
    }
  }

  /// A parameter that is written behind the engine's back, without a count, changes what is computed and not what is kept.
  @Test(arguments: [Keeping.memory, .file], [FrozenCase.all[1], FrozenCase.all[5]])
  func laterEpochsComputeNothingBelow(keeping: Keeping, frozen: FrozenCase) throws {
    let poke: Change = { trainer, epoch in
      guard epoch == 1 else { return }
      let parameters = trainer.model.network.namedParameters()
      let bias = try #require(parameters.first { $0.name.hasSuffix("layer.0.output.LayerNorm.bias") }).tensor
      for i in 0..<bias.count { bias.floats[i] += 3 }
    }
    let plain = try train(frozen, keeping)
    let isUnmoved = try train(frozen, keeping, onEpoch: poke) == plain
    #expect(isUnmoved)
    let isMoved = try train(frozen, .nowhere, onEpoch: poke) != plain
    #expect(isMoved)
  }

  /// In training, dropout in frozen layers stays as the reference has it, unless the user says otherwise.
  @Test func dropoutBelowIsKeptByDefault() throws {
    var frozen = FrozenCase(testDescription: "", dropout: 0.2)
    let dropped = try train(frozen)
    frozen.keepsDropout = false
    let isOther = try train(frozen).steps != dropped.steps
    #expect(isOther)
    // Evaluations drop nothing, and are kept all the same: see `laterEpochsComputeNothingBelow` for how that shows.
    let poke: Change = { trainer, epoch in
      let parameters = trainer.model.network.namedParameters()
      let bias = try #require(parameters.first { $0.name.hasSuffix("layer.0.output.LayerNorm.bias") }).tensor
      if epoch == 2 { bias.floats[0] += 3 }
    }
    frozen.keepsDropout = true
    let poked = try train(frozen, .memory, { $0.learningRate = 0 }, onEpoch: poke)
    let metrics = poked.evaluations.map { $0.filter { $0.key.hasPrefix("eval_") } }
    #expect(metrics[2] == metrics[1] && metrics[1] == metrics[0])
    let fresh = try train(frozen, .nowhere, { $0.learningRate = 0 }, onEpoch: poke)
    #expect(fresh.evaluations[2]["eval_loss"] != fresh.evaluations[1]["eval_loss"])
  }

  /// Freezing, unfreezing and writing in callbacks.
  @Test(arguments: ["unfreeze the top", "unfreeze the bottom", "freeze more", "write", "switch off", "merge"])
  func changesAreSeen(change: String) throws {
    let frozen =
      change == "freeze more"
      ? FrozenCase(testDescription: "", topLayers: [1, 2])
      : FrozenCase(testDescription: "", hasFrozenLoRA: ["switch off", "merge"].contains(change))
    let apply: Change = { trainer, epoch in
      let network = trainer.model.network
      switch (change, epoch) {
      case ("unfreeze the top", 1): try trainer.setTrainable(true, matching: "layer.2")
      case ("unfreeze the top", 2): try trainer.setTrainable(false, matching: "layer.2")
      case ("unfreeze the bottom", 1): try trainer.setTrainable(true, matching: "position_embeddings")
      case ("unfreeze the bottom", 2): try trainer.setTrainable(false, matching: "position_embeddings")
      case ("freeze more", 1): try trainer.setTrainable(false, matching: "layer.1")
      case ("write", 1):
        let weight = try #require(network.namedParameters().first { $0.name.hasSuffix("layer.1.output.dense.weight") }).tensor
        try weight.assign(.full(weight.shape, 0.01))
      case ("switch off", 1): try network.setAdapters(enabled: false)
      case ("merge", 1): try network.merge()
      default: break
      }
    }
    let plain = try train(frozen, .nowhere, onEpoch: apply)
    let kept = try train(frozen, .memory, onEpoch: apply)
    expectEqual(kept, plain, frozen)
    let isSameInFile = try train(frozen, .file, onEpoch: apply) == kept
    #expect(isSameInFile)
    if change != "merge" {
      let isOther = try train(frozen, .memory).steps != kept.steps
      #expect(isOther, "the change changed nothing")
    }
  }

  @Test(arguments: [3, 9, 20], [FrozenCase.all[3], FrozenCase.all[6], FrozenCase.all[10]])
  func aRunGoesOnWithTheSameBits(step: Int, frozen: FrozenCase) throws {
    let whole = try train(frozen)
    try withTemporaryFolder { folder in
      let store = FolderStore(folder)
      try interrupt(frozen, store, after: step)
      let rest = try train(frozen, store: store)
      #expect(rest.steps.count == 21 - step)
      let isSame =
        rest.steps == Array(whole.steps.suffix(21 - step)) && rest.weights == whole.weights
        && rest.evaluations.last?["eval_loss"] == whole.evaluations.last?["eval_loss"]
      #expect(isSame, "resumed after \(step)")
    }
  }

  /// Ctrl-C while a batch's groups are computed: the update is as if it had not begun.
  @Test func anInterruptedUpdateIsTakenBack() throws {
    let frozen = FrozenCase.all[3]
    let whole = try train(frozen)
    try withTemporaryFolder { folder in
      let store = FolderStore(folder)
      try interrupt(frozen, store, task: FrozenTask.task { if $0 == 5 { Interrupt.request() } })
      let rest = try train(frozen, store: store)
      #expect(rest.steps.count == 17)
      let isSame = rest.steps == Array(whole.steps.suffix(17)) && rest.weights == whole.weights
      #expect(isSame)
    }
  }

  @Test func maskedLanguageModellingKeepsNothing() throws {
    let task = maskedTask("text", train: FrozenTask.train, evaluation: [])
    let base = try FrozenCase(testDescription: "").model().base
    let model = TrainableModel(
      MaskedLM(), network: try base.make(.language, headSeed: 1), base: base, tokenizer: FrozenTask.tokenizer)
    try model.network.setTrainable(false)
    try model.network.headParameters.forEach { try $0.tensor.setTrainable(true) }
    let trainer = try Trainer(model: model, task: task, arguments: FrozenCase.all[0].arguments)
    #expect(try trainer.nextBatches().allSatisfy { $0.hiddenStates == nil })
  }
}
