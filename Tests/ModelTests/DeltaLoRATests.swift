import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

extension DeltaLoRA {
  /// With options that let what it does show within ten steps.
  static let quick: DeltaLoRA = {
    var method = DeltaLoRA()
    (method.r, method.loraAlpha, method.startStep, method.updateRatio) = (4, 8, 3, 2)
    return method
  }()
}

extension EngineTests {
  @Suite struct DeltaLoRATests {
    private func product(_ adapter: DeltaLoRAAdapter) throws -> Tensor {
      try Tensor.zeros([adapter.b.shape[0], adapter.a.shape[1]]).addingProduct(adapter.b, adapter.a)
    }

    private func layers(_ attached: AttachedAdapter) -> [(linear: Linear, adapter: DeltaLoRAAdapter)] {
      attached.linearAdapters.compactMap { _, linear, adapter in (adapter as? DeltaLoRAAdapter).map { (linear, $0) } }
    }

    @Test func weightsTelescope() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(DeltaLoRA.quick)
      let layers = layers(attached)
      let first = try layers.map { try $0.linear.weight.copy() }
      var atStart: [Tensor] = []
      try train(model, attached, steps: 0..<10, of: 10) { step in
        if step == 4 {
          #expect(zip(layers, first).allSatisfy { $0.linear.weight.values == $1.values })
          atStart = try layers.map { try product($0.adapter) }
        }
      }
      for (i, (linear, adapter)) in layers.enumerated() {
        let change = try product(adapter).sub(atStart[i]).mul(2 * adapter.scaling)
        #expect(change.sumOfSquares > 1e-4)
        #expect(try compare("weight", linear.weight, first[i].add(change), absolute: 1e-6))
      }
    }

    /// The folder alone, and its plain LoRA of rank 2 r, over the weights as they were.
    @Test func folderBringsTheWeightsBack() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-bert")
        let attached = try model.attach(DeltaLoRA.quick)
        try train(model, attached, steps: 0..<8, of: 10)
        try attached.save(to: folder + "/own", baseModelName: "tiny-bert")
        try attached.exportAsLoRA(to: folder + "/lora", baseModelName: "tiny-bert")
        for part in ["own", "lora"] {
          let other = try tinyModel("tiny-bert", headSeed: 9)
          let loaded = try AttachedAdapter.load(folder: folder + "/" + part, into: other, headModules: other.headModules)
          #expect(try compare(part, other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-5))
          if part == "own" {
            for (a, b) in zip(layers(loaded), layers(attached)) {
              #expect(try compare("weight", a.linear.weight, b.linear.weight, absolute: 1e-6))
            }
          } else {
            #expect((loaded.method as? LoRA)?.r == 8)
          }
        }
      }
    }

    @Test func weightsOfOtherModelsStay() throws {
      let base = try PretrainedModel(name: fixturesFolder + "/models/tiny-roberta")
      func make() throws -> TransformerModel {
        try base.make(.sequence(labels: ["a", "b", "c"]), headSeed: 1)
      }
      let (model, other) = (try make(), try make())
      let before = try other.predict(tinyBatch()).values
      let attached = try model.attach(DeltaLoRA.quick)
      try train(model, attached, steps: 0..<6, of: 6)
      #expect(try other.predict(tinyBatch()).values == before)
      // Detaching keeps what the weights learnt.
      let weights = layers(attached).map(\.linear.weight.values)
      let linears = layers(attached).map(\.linear)
      try attached.detach()
      #expect(linears.map(\.weight.values) == weights)
    }

    /// Frozen weights are multiplied in bfloat16, from layouts that follow what the update wrote in fp32.
    @Test(arguments: [Precision.fp32, .bf16]) func layoutsFollowTheWeights(_ precision: Precision) throws {
      let before = Precision.current
      Precision.current = precision
      defer { Precision.current = before }
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(DeltaLoRA.quick)
      let first = try layers(attached).map { try $0.linear.weight.copy() }
      _ = try model.predict(tinyBatch())
      try train(model, attached, steps: 0..<8, of: 8, learningRate: 0.05)
      let trained = try model.predict(tinyBatch())
      for (i, (linear, _)) in layers(attached).enumerated() {
        #expect(linear.weight.dtype == .float32 && linear.weight.values != first[i].values)
        // Written anew, the same weights are laid out anew.
        try linear.weight.assign(linear.weight.copy())
      }
      #expect(try model.predict(tinyBatch()).values == trained.values)
      for (i, (linear, _)) in layers(attached).enumerated() { try linear.weight.assign(first[i]) }
      #expect(try model.predict(tinyBatch()).values != trained.values)
    }

    @Test func withoutRatioItIsLoRA() throws {
      var (delta, lora) = (DeltaLoRA(), LoRA())
      (delta.updateRatio, delta.r, delta.loraAlpha, lora.r, lora.loraAlpha) = (0, 4, 8, 4, 8)
      let logits = try [delta as any AdapterMethod, lora].map { method in
        let model = try tinyModel("tiny-roberta")
        try train(model, model.attach(method), steps: 0..<5, of: 5)
        return try model.predict(tinyBatch()).values
      }
      #expect(logits[0] == logits[1])
    }

    /// In the same model, a sum adds to the weights as they have become; only an export starts from those that they were.
    @Test func aSumAddsToTheChangedWeights() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(DeltaLoRA.quick)
      try train(model, attached, steps: 0..<8, of: 8)
      let before = try model.predict(tinyBatch())
      let sum = try AttachedAdapter.weightedSum([(attached, 1)], .cat, name: "sum")
      try attached.setActive(false)
      #expect((sum.method as? LoRA)?.r == 4)
      #expect(try compare("logits", model.predict(tinyBatch()), before, absolute: 1e-5))
    }

    /// With the others of this kind, over 4-bit weights: those that only read them work.
    @Test func weightsIn4BitsAreRefused() throws {
      let base = try PretrainedModel(
        name: fixturesFolder + "/models/tiny-roberta", quantization: WeightQuantization(QuantizationConfig(.nf4)))
      let task = HeadKind.sequence(labels: ["a", "b", "c"])
      let text = message { try base.make(task, headSeed: 1).attach(DeltaLoRA.quick) }
      #expect(
        text?.hasPrefix("delta_lora: the weight of layer 'roberta.encoder.layer.0.attention.self.query' is held in 4 bits") == true)
      for row in AdapterCase.all where ["adalora", "dylora", "glora"].contains(row.description) {
        let model = try base.make(task, headSeed: 1)
        try perturb(row.attach(to: model))
        let before = try model.predict(tinyBatch())
        try model.merge()
        #expect(try compare(row.description, model.predict(tinyBatch()), before, absolute: 1e-4))
      }
    }

    @Test func mergedWeightsAreRefused() throws {
      let model = try tinyModel("tiny-roberta")
      try perturb(model.attach(LoRA()))
      try model.merge()
      let attached = try model.attach(DeltaLoRA.quick, name: "delta")
      let text = message { try train(model, attached, steps: 0..<1, of: 1) }
      #expect(text?.hasPrefix("delta_lora: adapter 'default' is merged into 'roberta.encoder.layer.0") == true)
    }
  }
}
