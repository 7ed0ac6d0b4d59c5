import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

@testable import Training

/// Methods with a state of their own in training: an interrupted run goes on with the same bits, and what they learnt goes
/// with the model.
@Suite(.engine) struct MethodResumeTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var method: any AdapterMethod
    var dropout = 0.1
    var accumulation = 1
  }

  static let rows: [Row] = {
    var delta = DeltaLoRA()
    (delta.r, delta.startStep, delta.updateRatio) = (4, 5, 2)
    var ada = AdaLoRA()
    (ada.initR, ada.targetR, ada.tinit, ada.tfinal, ada.deltaT) = (4, 2, 3, 6, 2)
    var peft = ada
    peft.definition = .peft
    var paper = ada
    paper.definition = .paper
    var dy = DyLoRA()
    (dy.r, dy.loraDropout) = (4, 0.1)
    var masked = dy
    (masked.frozen, masked.maskedUpdate) = (true, true)
    var supernet = GLoRA()
    (supernet.r, supernet.supernet) = (3, true)
    return [
      Row(testDescription: "delta_lora", method: delta), Row(testDescription: "delta_lora, accumulation", method: delta, accumulation: 2),
      Row(testDescription: "adalora", method: ada), Row(testDescription: "adalora, PEFT", method: peft),
      Row(testDescription: "adalora, paper", method: paper), Row(testDescription: "dylora", method: dy),
      Row(testDescription: "dylora, frozen and masked", method: masked), Row(testDescription: "glora, supernet", method: supernet),
    ]
  }()

  /// The others, once each, with the options that change what training does.
  static let statelessRows: [Row] = {
    var (dora, pissa) = (LoRA(), LoRA())
    (dora.useDora, dora.loraDropout, pissa.initLoraWeights) = (true, 0.1, .pissa)
    var projected = LoRAFA()
    projected.variant = .projected
    var (vera, mini, loha, lokr) = (VeRA(), LoRAMini(), LoHa(), LoKr())
    (vera.r, mini.r, mini.a, mini.b, loha.r, lokr.r) = (6, 2, 4, 5, 2, 2)
    var prefix = PrefixTuning()
    (prefix.numVirtualTokens, prefix.prefixProjection, prefix.encoderHiddenSize) = (2, true, 6)
    var (prompt, pTuning) = (PromptTuning(), PTuning())
    (prompt.numVirtualTokens, pTuning.numVirtualTokens, pTuning.encoderHiddenSize) = (2, 2, 6)
    let methods: [any AdapterMethod] = [
      LoRA(), dora, pissa, projected, vera, mini, loha, lokr, DeLoRA(), IA3(), Houlsby(), Pfeiffer(), prefix, prompt, pTuning,
      BitFit(), SelectiveFineTuning(), ClassifierOnly(), FullFineTuning(),
    ]
    return methods.enumerated().map { Row(testDescription: "\($0) \($1.name)", method: $1) }
  }()

  @Test func everyMethodIsInATable() {
    // LoRA of fused layers has no place here: it is a LoRA, and `MethodConformanceTests` resume it.
    let covered = Set((Self.rows + Self.statelessRows).map { $0.method.name } + [LoRAFused.name])
    #expect(covered == Set(AdapterCatalogue.methods.map { $0.name }))
  }

  @Test(arguments: statelessRows) func anyMethodGoesOnWithTheSameBits(_ row: Row) throws { try aRunGoesOnWithTheSameBits(row, 6) }

  private func model(_ row: Row) throws -> TrainableModel {
    var frozen = FrozenCase(testDescription: "")
    frozen.dropout = row.dropout
    let model = try frozen.model()
    try model.adapters.forEach { try $0.detach() }
    try model.addAdapter(row.method, seed: 9)
    return model
  }

  private func arguments(_ row: Row) -> TrainingArguments {
    var arguments = FrozenCase(testDescription: "").arguments
    (arguments.gradientAccumulationSteps, arguments.maxSteps, arguments.loadBestModelAtEnd) = (row.accumulation, 18, true)
    return arguments
  }

  private func train(_ row: Row, _ store: FolderStore, interruptAfter: Int? = nil) throws -> Outcome {
    var outcome = Outcome()
    var callbacks = TrainerCallbacks()
    callbacks.onStep = { trainer in
      outcome.steps.append([trainer.state.loss, trainer.state.gradientNorm])
      if trainer.state.step == interruptAfter { Interrupt.request() }
    }
    callbacks.onLog = { row in
      guard row["eval_loss"] != nil else { return }
      outcome.evaluations.append(["step": row["step"]?.doubleValue ?? .nan, "eval_loss": row["eval_loss"]?.doubleValue ?? .nan])
    }
    let model = try model(row)
    _ = try Trainer(model: model, task: FrozenTask.task(), arguments: arguments(row), callbacks: callbacks, store: store).run()
    for (name, tensor) in model.network.namedParameters() { outcome.weights[name] = tensor.values }
    return outcome
  }

  @Test(arguments: rows, [2, 6, 9, 13]) func aRunGoesOnWithTheSameBits(_ row: Row, _ step: Int) throws {
    try withTemporaryFolder { folder in
      let whole = try train(row, FolderStore(folder + "/whole"))
      let store = FolderStore(folder + "/cut")
      let error = #expect(throws: EngineError.self) { try train(row, store, interruptAfter: step) }
      Interrupt.reset()
      #expect(error?.kind == .interrupted)
      let rest = try train(row, store)
      let isSame =
        rest.steps == Array(whole.steps.suffix(18 - step)) && rest.weights == whole.weights
        && rest.evaluations.last == whole.evaluations.last
      #expect(isSame, "resumed after \(step)")
    }
  }

  @Test func anEvaluationThatWasCutOffIsDoneFirst() throws {
    try withTemporaryFolder { folder in
      let row = Self.rows[0]
      let whole = try train(row, FolderStore(folder + "/whole"))
      for (i, evaluation) in whole.evaluations.enumerated() {
        let (store, step) = (FolderStore(folder + "/cut-\(i)"), Int(evaluation["step"] ?? 0))
        let cut = #expect(throws: EngineError.self) { try train(row, store, interruptAfter: step) }
        Interrupt.reset()
        #expect(cut?.kind == .interrupted)
        let rest = try train(row, store)
        #expect(rest.steps.count == 18 - step && rest.weights == whole.weights)
        #expect(rest.evaluations == Array(whole.evaluations.dropFirst(i)))
      }
      #expect(whole.evaluations.count > 1)
    }
  }

  /// The next task's model computes what this one's body does: the weights that Delta-LoRA changed, the rank in use.
  @Test(arguments: rows) func aNewHeadKeepsWhatWasLearnt(_ row: Row) throws {
    let model = try model(row)
    _ = try Trainer(model: model, task: FrozenTask.task(), arguments: arguments(row)).run()
    let next = try model.newHead(FrozenTask.type, seed: 3)
    try next.network.load(
      next.network.headParameters.map { head in
        (head.name, try #require(model.network.headParameters.first { $0.name == head.name }).tensor)
      })
    let batch = try Batch(ids: [5, 6, 7, 8, 9], offsets: Offsets(lengths: [3, 2]))
    #expect(try next.network.predict(batch).values == model.network.predict(batch).values)
    // Its own training leaves all of that alone.
    let before = next.changedParameters.filter { !$0.tensor.requiresGrad }.map(\.tensor.values)
    var arguments = arguments(row)
    arguments.maxSteps = 3
    _ = try Trainer(model: next, task: FrozenTask.task(), arguments: arguments).run()
    #expect(next.changedParameters.filter { !$0.tensor.requiresGrad }.map(\.tensor.values) == before)
  }

  /// What training left behind, written and read by the model: its own folder, and a plain LoRA, which is compared as it is written.
  @Test(arguments: rows) func foldersHoldWhatWasLearnt(_ row: Row) throws {
    try withTemporaryFolder { folder in
      let model = try model(row)
      _ = try Trainer(model: model, task: FrozenTask.task(), arguments: arguments(row)).run()
      let adapter = model.adapters[0]
      try model.save(adapter, to: folder + "/own")
      if adapter.linearAdapters.allSatisfy({ $0.adapter is any LowRankUpdate }) { try model.export(adapter, to: folder + "/lora") }
      let batch = try Batch(ids: [5, 6, 7, 8, 9], offsets: Offsets(lengths: [3, 2]))
      let expected = try model.network.predict(batch)
      for part in try AtomicFolder.names(in: folder) {
        let network = try model.base.make(FrozenTask.type.head, headSeed: 3)
        let other = TrainableModel(FrozenTask.type, network: network, base: model.base, tokenizer: FrozenTask.tokenizer)
        try other.loadAdapter(folder + "/" + part, name: "default", head: .saved)
        #expect(try other.network.predict(batch).difference(from: expected, tolerance: 1e-5) == nil, "\(part)")
      }
    }
  }

  /// Frozen weights and activations in bfloat16: what the methods compute and write stays in fp32, and close.
  @Test(arguments: rows) func bfloat16IsClose(_ row: Row) throws {
    let before = Precision.current
    defer { Precision.current = before }
    let losses = try [Precision.fp32, .bf16].map { precision in
      Precision.current = precision
      var losses: [Double] = []
      var callbacks = TrainerCallbacks()
      callbacks.onStep = { losses.append($0.state.loss) }
      let model = try model(row)
      var arguments = arguments(row)
      arguments.learningRate = 2e-3
      _ = try Trainer(model: model, task: FrozenTask.task(), arguments: arguments, callbacks: callbacks).run()
      #expect(model.changedParameters.allSatisfy { $0.tensor.dtype == .float32 })
      return losses
    }
    #expect(losses[0] != losses[1])
    #expect(zip(losses[0], losses[1]).allSatisfy { abs($0 - $1) < 0.05 }, "\(losses)")
  }

  /// What changes beside the parameters that train is part of what a stage stores.
  @Test func changedParametersAreNamedAsInTheModel() throws {
    for row in Self.rows {
      let model = try model(row)
      let names = Set(model.network.namedParameters().map(\.name))
      #expect(model.changedParameters.allSatisfy { names.contains($0.name) })
      if row.method is DeltaLoRA {
        #expect(model.changedParameters.filter { !$0.tensor.requiresGrad }.count == 3 * model.adapters[0].sites.count)
      }
    }
  }
}
