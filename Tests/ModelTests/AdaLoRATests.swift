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

extension AdaLoRA {
  /// With options that let what it does show within ten steps.
  static let quick: AdaLoRA = {
    var method = AdaLoRA()
    (method.initR, method.targetR, method.tinit, method.tfinal, method.deltaT) = (4, 1, 2, 3, 2)
    return method
  }()

  /// The same by each definition.
  static let quickOnes: [AdaLoRA] = Definition.allCases.map { definition in
    var method = quick
    method.definition = definition
    return method
  }
}

extension EngineTests {
  @Suite struct AdaLoRATests {
    private func values(_ attached: AttachedAdapter) -> [[Double]] {
      attached.linearAdapters.compactMap { ($0.adapter as? AdaLoRAAdapter)?.e.values }
    }

    @Test(arguments: AdaLoRA.Definition.allCases) func budgetIsMet(_ definition: AdaLoRA.Definition) throws {
      var method = AdaLoRA.quick
      method.definition = definition
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(method)
      var left: [Int] = []
      try train(model, attached, steps: 0..<10, of: 10) { step in left.append(values(attached).joined().count { $0 != 0 }) }
      left.append(values(attached).joined().count { $0 != 0 })
      // Counts before each optimizer step, and at the end: four layers of four, of which four are left.
      #expect(left[3] == 16 && left.last == 4, "\(left)")
      #expect(values(attached).joined().count == 16)
    }

    @Test func cutRanksAreSavedAsPEFTSavesThem() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-bert")
        let attached = try model.attach(AdaLoRA.quick)
        try train(model, attached, steps: 0..<10, of: 10)
        try attached.save(to: folder + "/a", baseModelName: "tiny-bert")
        let config = try #require(JSONValue(file: folder + "/a/adapter_config.json").objectValue)
        #expect(config["total_step"] == .int(10) && config["definition"] == nil && config["peft_type"] == "ADALORA")
        let patterns = try #require(config["rank_pattern"]?.objectValue)
        let kept = patterns.members.reduce(0) { $0 + ($1.1.arrayValue ?? []).count { $0 == true } }
        #expect(patterns.count == 4 && kept == 4)
        let other = try tinyModel("tiny-bert", headSeed: 9)
        let loaded = try AttachedAdapter.load(folder: folder + "/a", into: other, headModules: other.headModules)
        #expect(values(loaded).joined().count == 4)
        #expect(try compare("logits", other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-6))
        try loaded.save(to: folder + "/b", baseModelName: "tiny-bert")
        #expect(try JSONValue(file: folder + "/b/adapter_config.json")["rank_pattern"] == .object(patterns))
        let weights = try ["a", "b"].map { try Digest(of: Data(contentsOf: URL(fileURLWithPath: folder + "/\($0)/adapter_model.safetensors"))).hex }
        #expect(weights[0] == weights[1])
        // What is left goes on training.
        try train(other, loaded, steps: 0..<6, of: 20)
        #expect(values(loaded).joined().allSatisfy { $0 != 0 })
      }
    }

    @Test func mistakesAreNamed() throws {
      let model = try tinyModel("tiny-roberta")
      var method = AdaLoRA.quick
      method.targetR = 5
      #expect(message { try model.attach(method) } == "adalora options: target_r = 5: expected at most init_r = 4")
      let attached = try model.attach(AdaLoRA.quick)
      #expect(
        message { try train(model, attached, steps: 0..<1, of: 5) }
          == "adalora: tinit = 2 and tfinal = 3 leave none of the run's 5 steps to cut ranks in; make them smaller, or train longer")
      try withTemporaryFolder { folder in
        try attached.save(to: folder + "/a", baseModelName: "x")
        var config = try #require(JSONValue(file: folder + "/a/adapter_config.json").objectValue)
        config["rank_pattern"] = ["roberta.encoder.layer.0.attention.self.query.lora_E": [true, false]]
        try AtomicFile.write(.object(config), to: folder + "/a/adapter_config.json")
        let other = try tinyModel("tiny-roberta")
        let text = message { _ = try AttachedAdapter.load(folder: folder + "/a", into: other, headModules: other.headModules) }
        #expect(text?.contains("rank_pattern: 'roberta.encoder.layer.0.attention.self.query.lora_E': expected") == true, "\(text ?? "")")
      }
    }
  }
}
