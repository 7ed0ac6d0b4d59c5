import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import Optimizers
import TensorCore
import TestSupport
import Testing
import TransformerModels

extension EngineTests {
  /// Models whose frozen linear layers are held in 4 bits.
  @Suite struct QuantizedModelTests {
    static let settings = [
      WeightQuantization(QuantizationConfig(.nf4)), WeightQuantization(QuantizationConfig(.nf4, useDoubleQuant: true)),
      WeightQuantization(QuantizationConfig(.fp4, blocksize: 128, useDoubleQuant: true), skipModules: ["query", "layer.1.output"]),
    ]

    private static func task(_ labels: Int = 3) -> HeadKind {
      .sequence(labels: (0..<labels).map { "LABEL_\($0)" })
    }

    private func base(_ name: String, _ quantization: WeightQuantization?) throws -> PretrainedModel {
      try PretrainedModel(name: fixturesFolder + "/models/" + name, quantization: quantization)
    }

    private func model(_ name: String, _ quantization: WeightQuantization?) throws -> TransformerModel {
      try base(name, quantization).make(Self.task(), headSeed: 1)
    }

    private func linears(_ model: TransformerModel) -> [String: Linear] {
      Dictionary(
        uniqueKeysWithValues: model.namedModules().compactMap { path, module in (module as? Linear).map { (path, $0) } })
    }

    /// Gives the linear layers of a plain model the weights that another holds in 4 bits.
    private func dequantize(_ plain: TransformerModel, as quantized: TransformerModel) throws {
      let linears = linears(plain)
      for (path, matrix) in quantized.quantizedWeights {
        let linear = try #require(linears[path])
        try linear.weight.makeExclusive()
        #expect(try linear.weight.values != matrix.dequantized().values)
        try linear.weight.assign(matrix.dequantized())
      }
    }

    /// Every method computes, trains and merges on codes as on what they stand for, and leaves them as they are.
    @Test(arguments: AdapterCase.all.filter { !($0.method is FullFineTuning) && !($0.method is SelectiveFineTuning) && !($0.method is DeltaLoRA) })
    func everyMethodWorksOnCodes(_ row: AdapterCase) throws {
      let quantized = try model("tiny-roberta", Self.settings[1])
      let plain = try model("tiny-roberta", nil)
      try dequantize(plain, as: quantized)
      let held = quantized.quantizedWeights
      var results: [[[Double]]] = []
      for model in [quantized, plain] {
        let attached = try row.attach(to: model)
        try perturb(attached)
        var result = [try model.predict(tinyBatch()).values]
        model.context.isTraining = true
        try model.loss(tinyBatch()).backward()
        model.context.isTraining = false
        result += model.trainableParameters().map { $0.tensor.grad?.values ?? [] }
        if row.method.isMergeable {
          try model.merge(probe: tinyBatch(), tolerance: attached.mergeTolerance)
          result.append(try model.predict(tinyBatch()).values)
          try model.unmerge()
          result.append(try model.predict(tinyBatch()).values)
        }
        results.append(result)
      }
      #expect(results[0] == results[1])
      #expect(quantized.quantizedWeights.count == held.count)
      for (one, other) in zip(held, quantized.quantizedWeights) { #expect(one.matrix === other.matrix, "\(one.path)") }
    }

    private static var lora: LoRA {
      var lora = LoRA()
      (lora.r, lora.loraAlpha) = (4, 8)
      return lora
    }

    private static var allLinear: AdapterTargets {
      var targets = AdapterTargets()
      targets.targetModules = .allLinear
      return targets
    }

    @Test(arguments: tinyModels, settings) func equalsTheModelOfDequantisedWeights(
      _ name: String, _ quantization: WeightQuantization
    ) throws {
      let quantized = try model(name, quantization)
      let plain = try model(name, nil)
      let held = quantized.quantizedWeights
      let skipped = linears(quantized).keys.filter { path in !held.contains { $0.path == path } }
      let head = name == "tiny-bert" ? 1 : 2
      let encoder = quantization.skipModules.isEmpty ? 0 : 2 + 1
      #expect(skipped.count == head + encoder, "\(skipped)")
      try dequantize(plain, as: quantized)
      var results: [[[Double]]] = []
      for model in [quantized, plain] {
        let attached = try model.attach(Self.lora, targets: Self.allLinear)
        try perturb(attached)
        model.context.isTraining = true
        var result = [try model.predict(tinyBatch()).values]
        let optimizer = Optimizer(AdamW(), ParameterGroup.decaying(model, weightDecay: 0.01))
        for _ in 0..<3 {
          model.zeroGrad()
          let loss = try model.loss(tinyBatch())
          try loss.backward()
          result.append(loss.values)
          result += try model.trainableParameters().map { try #require($0.tensor.grad).values }
          try optimizer.step(learningRate: 0.01)
        }
        results.append(result)
      }
      #expect(results[0].count > 40)
      #expect(results[0] == results[1])
      #expect(quantized.quantizedWeights.count == held.count)
    }

    @Test func loadsWithinASixthOfTheMemory() throws {
      let config: JSONObject = [
        "model_type": "roberta", "vocab_size": 50, "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 768, "max_position_embeddings": 40, "type_vocab_size": 1, "hidden_act": "gelu",
        "layer_norm_eps": 1e-5, "initializer_range": 0.02, "pad_token_id": 1,
      ]
      let quantization = WeightQuantization(QuantizationConfig(.nf4, useDoubleQuant: true))
      let before = Memory.liveBytes
      func make(_ quantization: WeightQuantization?) throws -> TransformerModel {
        try PretrainedModel(config: HuggingFaceConfig(config, path: "c"), name: "c", seed: 1, quantization: quantization)
          .make(Self.task(), headSeed: 1)
      }
      let model = try make(quantization)
      let layers = linears(model).filter { !$0.key.hasPrefix("classifier") }
      let elements = layers.values.reduce(0) { $0 + $1.weight.count }
      let other = model.namedParameters().filter { $0.tensor.quantized == nil }.reduce(0) { $0 + $1.tensor.count * 4 }
      let weights = { Memory.liveBytes - before - other }
      let ratio = Double(weights()) / Double(elements * 4)
      #expect(ratio < 0.16, "\(ratio)")
      #expect(Double(quantization.config.byteCount(of: elements)) / Double(elements * 4) < 0.1292)
      // Training needs one layer's weights at a time.
      try perturb(model.attach(Self.lora, targets: Self.allLinear))
      let adapters = Memory.liveBytes
      Memory.resetPeak()
      for _ in 0..<2 {
        model.zeroGrad()
        try model.loss(Batch(ids: [3, 4, 5, 6], offsets: Offsets(values: [0, 4]), labels: Tensor([0] as [Int32], [1]))).backward()
      }
      model.zeroGrad()
      #expect(Memory.liveBytes - adapters < 192 * 768 * 4)
      #expect(Memory.peakBytes - adapters < elements * 4 / 2, "\(Memory.peakBytes - adapters)")
    }

    /// RoBERTa-base: 84,934,656 weights in the encoder's linear layers.
    @Test func robertaBaseTakesAboutAnEighth() {
      let shapes = [(768 * 768, 4), (768 * 3072, 2)]
      let bytes = { (config: QuantizationConfig) in 12 * shapes.reduce(0) { $0 + config.byteCount(of: $1.0) * $1.1 } }
      let fp32 = 12 * shapes.reduce(0) { $0 + $1.0 * $1.1 } * 4
      #expect(fp32 == 84_934_656 * 4)
      #expect(bytes(QuantizationConfig(.nf4, useDoubleQuant: true)) == 43_815_168)
      #expect(abs(Double(bytes(QuantizationConfig(.nf4, useDoubleQuant: true))) / Double(fp32) - 4.127 / 32) < 1e-4)
      #expect(Double(bytes(QuantizationConfig(.nf4))) / Double(fp32) == 4.5 / 32)
    }

    @Test func modelsShareWhatTheirBaseHolds() throws {
      let base = try self.base("tiny-bert", Self.settings[0])
      let (a, b) = (try base.make(Self.task(), headSeed: 1), try base.make(Self.task(2), headSeed: 2))
      #expect(a.quantizedWeights.count == 13 && b.quantizedWeights.count == 13)
      for (one, other) in zip(a.quantizedWeights, b.quantizedWeights) { #expect(one.matrix === other.matrix) }
      #expect(a.parameterCounts().total == (try model("tiny-bert", nil)).parameterCounts().total)
    }

    @Test func mergesIntoAPlainCopyAndBack() throws {
      for name in tinyModels {
        let model = try self.model(name, Self.settings[1])
        try perturb(model.attach(Self.lora, targets: Self.allLinear))
        let before = model.quantizedWeights
        let unmerged = try model.predict(tinyBatch())
        try model.merge(probe: tinyBatch())
        #expect(model.quantizedWeights.isEmpty)
        #expect(try compare("merged", model.predict(tinyBatch()), unmerged, absolute: 1e-4))
        for (path, linear) in linears(model) where before.contains(where: { $0.path == path }) {
          let matrix = try #require(before.first { $0.path == path }).matrix
          #expect(try linear.weight.values != matrix.dequantized().values)
        }
        try model.unmerge()
        let after = model.quantizedWeights
        #expect(after.map(\.path) == before.map(\.path))
        for (one, other) in zip(before, after) { #expect(one.matrix === other.matrix, "\(one.path)") }
        #expect(try model.predict(tinyBatch()).values == unmerged.values)
        // A merge that fails leaves the codes as they are.
        #expect(throws: EngineError.self) { try model.merge(probe: tinyBatch(), tolerance: -1) }
        for (one, other) in zip(before, model.quantizedWeights) { #expect(one.matrix === other.matrix) }
        #expect(model.quantizedWeights.count == before.count)
      }
    }

    @Test func isSavedAsWhatItStandsFor() throws {
      try withTemporaryFolder { folder in
        let model = try self.model("tiny-bert", Self.settings[1])
        let logits = try model.predict(tinyBatch())
        let live = Memory.liveBytes
        try model.save(to: folder + "/model")
        #expect(Memory.liveBytes <= live)
        let again = try PretrainedModel(name: folder + "/model").make(Self.task(), headSeed: 9)
        #expect(again.quantizedWeights.isEmpty)
        #expect(try again.predict(tinyBatch()).values == logits.values)
      }
    }

    @Test func saysWhatDoesNotWork() throws {
      let skipped = WeightQuantization(QuantizationConfig(.nf4), skipModules: ["quary"])
      #expect(
        message { _ = try self.model("tiny-bert", skipped) }
          == "llm_int8_skip_modules: 'quary' matches no linear layer; did you mean 'query'?")
      let model = try self.model("tiny-bert", Self.settings[0])
      let trains = model.trainableParameters().map(\.name)
      let held = "is held in 4 bits and cannot train; train an adapter, or name its layer in llm_int8_skip_modules"
      #expect(message { try model.setTrainable(true) }?.contains(held) == true)
      #expect(message { try model.attach(FullFineTuning()) }?.contains("attention.self.query.weight: a weight of [32, 32] " + held) == true)
      #expect(model.trainableParameters().map(\.name) == trains)
      #expect(
        message { try model.quantize(Self.settings[1]) }
          == "bert.encoder.layer.0.attention.self.query: the weight is held in nf4, blocks of 64 already, "
          + "not in nf4, blocks of 64, double quantization; leave quantization_config out")
      let plain = try self.model("tiny-bert", nil)
      let query = try #require(linears(plain)["bert.encoder.layer.1.attention.self.query"])
      try query.weight.makeExclusive()
      query.weight.set(.infinity, at: 3)
      #expect(
        message { try plain.quantize(Self.settings[0]) }
          == "bert.encoder.layer.1.attention.self.query: nf4: the weight has a value that is not finite at index 3")
    }
  }
}
