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

private let peftFolders = (try? FileManager.default.contentsOfDirectory(atPath: fixturesFolder + "/peft").sorted()) ?? []

private func load(
  _ folder: String, into model: TransformerModel, name: String = "default",
  head: HeadLoading = .saved
) throws -> AttachedAdapter {
  try AttachedAdapter.load(
    folder: folder, into: model, name: name, headModules: model.headModules, head: head)
}

/// Every `peft_type` once.
private let supportedTypes: [String] = {
  let types = AdapterCatalogue.methods.flatMap { $0.peftTypes }
  return types.indices.filter { types.firstIndex(of: types[$0]) == $0 }.map { types[$0] }
}()

/// What a change of `adapter_config.json` leads to; the message is what follows the path.
private let configMistakes: [(change: JSONObject, message: String)] = [
  (
    ["peft_type": "XLORA"],
    "peft_type 'XLORA' is not supported, expected one of "
      + supportedTypes.joined(separator: ", ")
  ),
  (["use_qalora": true], "use_qalora = true is not supported"),
  (["layers_pattern": [1]], "'layers_pattern' must be a list of strings, got [1]"),
  (["lora_bias": true], "lora_bias = true is not supported"),
  (["fan_in_fan_out": true], "fan_in_fan_out = true is not supported"),
  (["use_rsloar": true], "use_rsloar = true is not supported; did you mean 'use_rslora'?"),
  (
    ["layer_replication": [[0, 1], [0, 1]]], "layer_replication = [[0,1],[0,1]] is not supported"
  ),
  (["r": 0], "'r' must be an integer from 1 to 65536, got 0"),
  (["r": "8"], "'r' must be an integer from 1 to 65536, got '8'"),
  (["r": .null], "missing key 'r', expected integer from 1 to 65536"),
  (["lora_alpha": 0], "'lora_alpha' must be a number above 0, got 0.0"),
  (["lora_dropout": 1], "'lora_dropout' must be a number at least 0 and below 1, got 1.0"),
  (
    ["use_dora": true, "init_lora_weights": "pissa"],
    "use_dora with init_lora_weights = 'pissa': DoRA's magnitudes are those of the whole weight; use one of them"
  ),
  (["bias": "some"], "'bias' must be one of 'none', 'all', 'lora_only', got \"some\""),
  (
    ["rank_pattern": ["query": 0]],
    "'rank_pattern' must have ranks of at least 1, got 0"
  ),
  (["rank_pattern": ["query": 1.5]], "'rank_pattern['query']' must be an integer, got 1.5"),
  (
    ["alpha_pattern": ["(": 1]],
    "'alpha_pattern' must be regular expressions as names, got '(' is not a valid regular expression: missing ), unterminated subpattern at position 1"
  ),
  (["target_modules": .null], "missing key 'target_modules', expected a list of strings"),
  (["target_modules": [1]], "'target_modules' must be a list of strings, got [1]"),
  (
    ["layers_to_transform": ["a"]],
    "'layers_to_transform' must be an integer or a list of integers, got [\"a\"]"
  ),
  (["exclude_modules": "("], "exclude_modules: '(' is not a valid regular expression: missing ), unterminated subpattern at position 1"),
  (
    ["init_lora_weights": "loftq"],
    "'init_lora_weights' must be one of true, false, gaussian, orthogonal, pissa, pissa_niter_N, olora, got 'loftq'"
  ),
  (
    ["init_lora_weights": 3],
    "'init_lora_weights' must be one of true, false, gaussian, orthogonal, pissa, pissa_niter_N, olora, got 3"
  ),
]

extension EngineTests {
  @Suite struct AdapterFolderTests {
    @Test func allFoldersAreThere() { #expect(peftFolders.count >= 49) }

    @Test(arguments: peftFolders) func foldersOfPEFTGiveTheirLogits(_ name: String) throws {
      let folder = fixturesFolder + "/peft/" + name
      let (model, _) = try modelOfRecord(folder)
      let attached = try load(folder + "/adapter", into: model)
      let (batch, logits) = try recordedLogits(folder + "/expected.safetensors")
      #expect(try compare(name, model.predict(batch), logits, absolute: 1e-4))
      if let head = model.headModules.last { #expect(attached.savedModules.last == head) }
      let own = attached.state().filter(\.tensor.requiresGrad).map { $0.name.replacingOccurrences(of: ".base_layer.", with: ".") }
      #expect(Set(model.trainableParameters().map(\.name)) == Set(own))
    }

    /// PEFT's older format, and a checkpoint of the LoRA authors' code with PEFT's configuration beside it.
    @Test(arguments: ["adapter_model.bin", "loralib.bin"])
    func archivesOfTorchGiveTheSameLogits(_ name: String) throws {
      try withTemporaryFolder { folder in
        let path = try copy("tiny-roberta-lora", to: folder) { _ in }
        try FileManager.default.removeItem(atPath: path + "/adapter_model.safetensors")
        try FileManager.default.copyItem(
          atPath: fixturesFolder + "/torch/" + name, toPath: path + "/adapter_model.bin")
        let model = try tinyModel("tiny-roberta")
        _ = try load(path, into: model)
        let (batch, logits) = try recordedLogits(
          fixturesFolder + "/peft/tiny-roberta-lora/expected.safetensors")
        #expect(try compare(name, model.predict(batch), logits, absolute: 1e-4))
      }
    }

    @Test func modelsInArchivesOfTorchAreTheSame() throws {
      try withTemporaryFolder { folder in
        let original = fixturesFolder + "/models/tiny-bert"
        try FileManager.default.copyItem(
          atPath: original + "/config.json", toPath: folder + "/config.json")
        try FileManager.default.copyItem(
          atPath: fixturesFolder + "/torch/pytorch_model.bin", toPath: folder + "/pytorch_model.bin")
        for task in [HeadKind.language, .sequence(labels: ["a", "b"])] {
          let models = try [original, folder].map {
            try PretrainedModel(name: $0).make(task, headSeed: 1)
          }
          let (own, other) = (models[0].namedParameters(), models[1].namedParameters())
          #expect(own.map(\.name) == other.map(\.name))
          for (a, b) in zip(own, other) { #expect(a.tensor.values == b.tensor.values, "\(a.name)") }
        }
      }
    }

    @Test func frozenFolderTrainsNothing() throws {
      let model = try tinyModel("tiny-bert")
      _ = try AttachedAdapter.load(
        folder: fixturesFolder + "/peft/tiny-bert-lora/adapter", into: model,
        headModules: model.headModules, isTrainable: false)
      #expect(model.trainableParameters().isEmpty)
    }

    @Test func anotherNumberOfLabelsNeedsANewHead() throws {
      let folder = fixturesFolder + "/peft/tiny-roberta-lora/adapter"
      let model = try tinyModel("tiny-roberta", labels: 2)
      let before = Set(model.trainableParameters().map(\.name))
      let text = try #require(message { _ = try load(folder, into: model) })
      #expect(
        text
          == "\(folder)/adapter_model.safetensors: the head's 'classifier.out_proj.weight' has shape [3, 32], the model's [2, 32]; "
          + "make the model with as many labels, or load the adapter with head = \"new\"")
      // The failure left nothing behind.
      #expect(Set(model.trainableParameters().map(\.name)) == before)
      #expect(model.namedParameters().allSatisfy { !$0.name.contains("lora") })
      let head = model.namedParameters().filter { $0.name.hasPrefix("classifier") }.map(
        \.tensor.values)
      let attached = try load(folder, into: model, head: .new)
      #expect(
        model.namedParameters().filter { $0.name.hasPrefix("classifier") }.map(\.tensor.values)
          == head)
      #expect(
        attached.adapters.allSatisfy { ($0.adapter as? LoRAAdapter)?.b.sumOfSquares ?? 0 > 0 })
    }

    @Test func ranksAndScalesOfSomeLayersCount() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        let config = HuggingFaceConfig(
          [
            "r": 4, "lora_alpha": 8, "rank_pattern": ["query": 2],
            "alpha_pattern": [#"layer\.1\..*value"#: 3],
          ], path: "x")
        let attached = try model.attach(LoRA(saved: config))
        let found = attached.adapters.compactMap { $0.adapter as? LoRAAdapter }.map {
          [Double($0.a.shape[0]), $0.scaling]
        }
        #expect(found == [[2, 4], [4, 2], [2, 4], [4, 0.75]])
        try perturb(attached)
        try attached.save(to: folder + "/a", baseModelName: "x")
        let other = try tinyModel("tiny-roberta")
        _ = try load(folder + "/a", into: other)
        #expect(try other.predict(tinyBatch()).values == model.predict(tinyBatch()).values)
      }
    }

    @Test func configHasPEFTsWords() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-bert")
        var targets = AdapterTargets()
        (targets.modulesToSave, targets.layersToTransform) = (["pooler"], [1])
        try model.attach(LoRA(), targets: targets).save(
          to: folder + "/a", baseModelName: "models/tiny-bert")
        let text = try readText(folder + "/a/adapter_config.json")
        #expect(
          text == """
            {
              "alpha_pattern": {},
              "auto_mapping": null,
              "base_model_name_or_path": "models/tiny-bert",
              "bias": "none",
              "fan_in_fan_out": false,
              "inference_mode": true,
              "init_lora_weights": true,
              "lora_alpha": 8,
              "lora_dropout": 0,
              "modules_to_save": ["bert.pooler", "classifier"],
              "peft_type": "LORA",
              "peft_version": "0.21.2",
              "r": 8,
              "rank_pattern": {},
              "revision": null,
              "target_modules": ["bert.encoder.layer.1.attention.self.query", "bert.encoder.layer.1.attention.self.value"],
              "task_type": "SEQ_CLS",
              "use_dora": false,
              "use_rslora": false
            }

            """)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
      }
    }

    @Test(arguments: configMistakes.indices) func mistakesInTheConfigAreNamed(_ index: Int) throws {
      try withTemporaryFolder { folder in
        let row = configMistakes[index]
        let path = try copy("tiny-roberta-lora", to: folder) { config in
          for (key, value) in row.change.members { config[key] = value }
        }
        let model = try tinyModel("tiny-roberta")
        #expect(
          message { _ = try load(path, into: model) }
            == "\(path)/adapter_config.json: \(row.message)")
      }
    }

    /// A matcher that backtracks would be busy for years.
    @Test(.timeLimit(.minutes(1))) func patternsOfStrangersEnd() throws {
      try withTemporaryFolder { folder in
        func loaded(_ change: JSONObject) throws -> String? {
          let path = try copy("tiny-roberta-lora", to: folder + "/\(change.members.map(\.0))") { config in
            for (key, value) in change.members { config[key] = value }
          }
          let model = try tinyModel("tiny-roberta")
          return message { _ = try load(path, into: model) }
        }
        let pattern = "(([a-z.0-9]+)+)+#"
        let targets = try loaded(["target_modules": .string(pattern)])
        #expect(targets == "target_modules: pattern '\(pattern)' matches no linear layer; there are dense, key, query, value")
        let excluded = try loaded(["exclude_modules": .string(pattern)])
        let ranks = try loaded([
          "rank_pattern": .object(JSONObject([(pattern, JSONValue.int(2))])), "alpha_pattern": .object(JSONObject([(pattern, JSONValue.int(2))])),
        ])
        #expect(excluded == nil && ranks == nil)
      }
    }

    @Test func randomPartOfTheWeightMustBeThere() throws {
      try withTemporaryFolder { folder in
        let path = try copy("tiny-roberta-lora", to: folder) { $0["init_lora_weights"] = "pissa_niter_4" }
        let model = try tinyModel("tiny-roberta")
        #expect(
          message { _ = try load(path, into: model) }?.hasPrefix(
            "\(path)/adapter_config.json: init_lora_weights 'pissa_niter_4': the folder lacks the random part") == true)
      }
    }

    @Test func tensorsAndConfigMustAgree() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        let more = try copy("tiny-roberta-lora", to: folder) { $0["target_modules"] = ["query"] }
        let prefix = "base_model.model.roberta.encoder.layer."
        #expect(
          message { _ = try load(more, into: model) }?.contains(
            "; unexpected: \(prefix)0.attention.self.value.lora_A.weight, ") == true)
        let less = try copy("tiny-roberta-lora", to: folder) {
          $0["target_modules"] = ["query", "value", "key"]
        }
        #expect(
          message { _ = try load(less, into: model) }?.contains(
            "; missing: \(prefix)0.attention.self.key.lora_A.weight, ") == true)
        let rank = try copy("tiny-roberta-lora", to: folder) { $0["r"] = 2 }
        #expect(
          message { _ = try load(rank, into: model) }?.contains(
            "query.lora_A.weight' has shape [4, 32], expected [2, 32]; the adapter was made for a model of 'models/tiny-roberta'"
          ) == true)
        let bert = fixturesFolder + "/peft/tiny-bert-lora/adapter"
        #expect(
          message { _ = try load(bert, into: model) }?.contains(
            "missing: base_model.model.roberta.") == true)
        #expect(model.namedParameters().allSatisfy { !$0.name.contains("lora") })
      }
    }

    @Test func misspeltTensorIsNamed() throws {
      try withTemporaryFolder { folder in
        let path = try copy("tiny-roberta-lora", to: folder) { _ in }
        let file = try SafetensorsFile(path + "/adapter_model.safetensors")
        let renamed = try file.names.map { name in
          (
            name: name.replacingOccurrences(
              of: "1.attention.self.value.lora_A", with: "1.attention.self.value.lora_a"),
            tensor: try file.tensor(name)
          )
        }
        try SafetensorsFile.write(tensors: renamed, to: path + "/adapter_model.safetensors")
        let text = try #require(message { _ = try load(path, into: tinyModel("tiny-roberta")) })
        #expect(
          text.hasSuffix(
            "did you mean 'base_model.model.roberta.encoder.layer.1.attention.self.value.lora_A.weight' by "
              + "'base_model.model.roberta.encoder.layer.1.attention.self.value.lora_a.weight'?"),
          "\(text)")
      }
    }

    @Test func foldersOfOtherKindsAreNamed() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        let base = fixturesFolder + "/models/tiny-bert"
        #expect(
          message { _ = try load(base, into: model) }
            == "\(base): is a model folder, expected an adapter's with adapter_config.json")
        #expect(
          message { _ = try load(folder + "/no", into: model) }?.contains(
            "/no/adapter_config.json: no such file") == true)
        let path = try copy("tiny-roberta-lora", to: folder) { _ in }
        try FileManager.default.moveItem(
          atPath: path + "/adapter_model.safetensors", toPath: path + "/adapter_model.bin")
        #expect(
          message { _ = try load(path, into: model) }?.contains(
            "adapter_model.bin: not a file of torch.save") == true)
      }
    }

    @Test func whatCannotBeSavedIsRefused() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-bert")
        let full = try model.attach(FullFineTuning())
        #expect(
          message { try full.save(to: folder + "/a", baseModelName: "x") }
            == "\(folder)/a: method 'full' changes the model itself and has no adapter to save; save the whole model"
        )
        let head = try model.attach(ClassifierOnly())
        #expect(
          message { try head.exportAsLoRA(to: folder + "/a", baseModelName: "x") }
            == "\(folder)/a: method 'classifier' adapts no layer, there is nothing to export as LoRA; save the whole model"
        )
        let lora = try model.attach(LoRA())
        #expect(
          message { try model.save(to: folder + "/a") }?.hasSuffix(
            "'bert.encoder.layer.0.attention.self.query' is not merged, a model folder cannot hold it; merge it first, or save the adapter"
          ) == true)
        lora.state()[0].tensor.set(.nan, at: 3)
        #expect(
          message { try lora.save(to: folder + "/a", baseModelName: "x") }?.hasSuffix(
            "has a value that is not finite at index 3") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
      }
    }

    @Test(arguments: tinyModels) func modelFolderGivesTheModelBack(_ name: String) throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel(name)
        try perturb(model.attach(LoRA()))
        try model.merge(probe: tinyBatch())
        try model.save(to: folder + "/m")
        let other = try PretrainedModel(name: folder + "/m").make(model.head, headSeed: 7)
        #expect(
          try compare(
            "logits", other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-5))
        #expect(
          try HuggingFaceConfig(folder: folder + "/m").labels() == [
            "LABEL_0", "LABEL_1", "LABEL_2",
          ])
        // The base that the model came from is untouched.
        let again = try tinyModel(name)
        #expect(try again.predict(tinyBatch()).values != model.predict(tinyBatch()).values)
      }
    }

    /// A copy of a recorded folder with another config.
    private func copy(_ name: String, to folder: String, _ change: (inout JSONObject) -> Void)
      throws -> String
    {
      let path = folder + "/" + UUID().uuidString
      try FileManager.default.copyItem(
        atPath: fixturesFolder + "/peft/\(name)/adapter", toPath: path)
      var config = try HuggingFaceConfig(folder: path, file: "adapter_config.json").values
      change(&config)
      try AtomicFile.write(.object(config), to: path + "/adapter_config.json")
      return path
    }
  }
}
