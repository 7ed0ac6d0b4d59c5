import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import TestSupport
import Testing
import TransformerModels

/// Those that the tiny encoders have a place for.
private let savedMethods = AdapterCatalogue.methods.filter { $0.peftType != nil && $0 != LoRAFused.self }.map { $0.name }

/// What a case's folder says beside its tensors: `adapter_config.json` and, where there is one, `perigee.json`.
private func configuration(_ folder: String) throws -> JSONValue {
  var files = JSONObject()
  for name in ["adapter_config.json", "perigee.json"] where FileManager.default.fileExists(atPath: folder + "/" + name) {
    let value = try JSONValue(file: folder + "/" + name)
    #expect(try readText(folder + "/" + name) == value.encoded(.file) + "\n")
    files[name] = value
  }
  return .object(files)
}

/// Options that the conformance cases leave at their defaults.
private func moreCases() throws -> [AdapterCase] {
  func lora(_ fields: [String: ConfigValue]) throws -> LoRA { try LoRA(table: ConfigTable(fields: fields)) }
  func table(_ fields: [String: ConfigValue]) -> ConfigValue { .table(ConfigTable(fields: fields)) }
  var layers = AdapterTargets()
  (layers.layersToTransform, layers.layersPattern) = ([1], ["layer"])
  var excluded = AdapterTargets()
  (excluded.targetModules, excluded.excludeModules, excluded.modulesToSave) = (.pattern(#".*\.(query|dense)"#), ["1.output.dense"], ["pooler"])
  return [
    AdapterCase(
      description: "lora, patterns and dropout",
      method: try lora([
        "r": .integer(4), "lora_alpha": .number(6.5), "lora_dropout": .number(0.1), "rank_pattern": table(["query": .integer(2)]),
        "alpha_pattern": table([#"layer\.1\..*value"#: .number(3), "key": .number(0)]),
      ])),
    AdapterCase(
      description: "lora, a root and a third", method: try lora(["r": .integer(3), "lora_alpha": .number(0.1), "use_rslora": .bool(true)])),
    AdapterCase(description: "lora, excluded", method: LoRA(), targets: excluded),
    AdapterCase(
      description: "lora_fa, dropout", method: try LoRAFA(table: ConfigTable(fields: ["lora_dropout": .number(0.25), "use_rslora": .bool(true)]))),
    AdapterCase(
      description: "delta_lora, options",
      method: try DeltaLoRA(table: ConfigTable(fields: ["start_step": .integer(5), "update_ratio": .number(0.25), "lora_dropout": .number(0.5)]))),
    AdapterCase(
      description: "adalora, paper",
      method: try AdaLoRA(
        table: ConfigTable(fields: [
          "definition": .text("paper"), "tinit": .integer(3), "tfinal": .integer(7), "deltaT": .integer(2), "beta1": .number(0.5),
          "lora_alpha": .integer(-1),
        ]))),
    AdapterCase(
      description: "dylora, ranks",
      method: try DyLoRA(
        table: ConfigTable(fields: ["ranks": .table(ConfigTable(list: [.integer(2), .integer(5)])), "masked_update": .bool(true)]))),
    AdapterCase(
      description: "loha, patterns",
      method: try LoHa(
        table: ConfigTable(fields: ["rank_pattern": table(["query": .integer(20)]), "alpha_pattern": table(["value": .number(0.5)])]))),
    AdapterCase(
      description: "lokr, patterns", method: try LoKr(table: ConfigTable(fields: ["r": .integer(2), "rank_pattern": table(["query": .integer(1)])]))),
    AdapterCase(
      description: "vera, options", method: try VeRA(table: ConfigTable(fields: ["vera_dropout": .number(0.5), "d_initial": .integer(1)]))),
    AdapterCase(
      description: "ia3, outputs alone",
      method: try IA3(table: ConfigTable(fields: ["feedforward_modules": .table(ConfigTable(form: .list))]))),
    AdapterCase(description: "houlsby, layer 1", method: Houlsby(), targets: layers),
    AdapterCase(
      description: "selective, norms",
      method: try SelectiveFineTuning(table: ConfigTable(fields: ["parameters": .table(ConfigTable(list: [.text("LayerNorm.bias")]))]))),
    AdapterCase(description: "p_tuning, defaults", method: PTuning()),
    AdapterCase(description: "prefix_tuning, defaults", method: PrefixTuning()),
  ]
}

extension EngineTests {
  @Suite struct AdapterConfigurationTests {
    /// The configuration of every method's folder, of PEFT's folders after loading and saving, and of exported LoRAs.
    ///
    /// With PERIGEE_RECORD_CONFIGURATIONS set, the fixture is written anew.
    @Test func configurationsAreTheRecordedOnes() throws {
      let path = fixturesFolder + "/adapter_configurations.json"
      var found = JSONObject()
      try withTemporaryFolder { folder in
        func record(_ key: String, _ write: (String) throws -> Void) throws {
          let place = "\(folder)/\(found.count)"
          try write(place)
          found[key] = try configuration(place)
        }
        for row in try AdapterCase.saved + moreCases() {
          let attached = try row.attach(to: tinyModel("tiny-bert"), name: "a")
          try record(row.description) { try attached.save(to: $0, baseModelName: "models/tiny-bert") }
          if row.isLowRank, attached.isLowRank {
            try record(row.description + ", exported") { try attached.exportAsLoRA(to: $0, baseModelName: "models/tiny-bert", taskType: nil) }
          }
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: fixturesFolder + "/peft").sorted() {
          let folder = "\(fixturesFolder)/peft/\(name)"
          let (model, taskType) = try modelOfRecord(folder)
          let attached = try AttachedAdapter.load(folder: folder + "/adapter", into: model, headModules: model.headModules)
          try record("peft/" + name) { try attached.save(to: $0, baseModelName: "models/x", taskType: taskType) }
        }
      }
      if ProcessInfo.processInfo.environment["PERIGEE_RECORD_CONFIGURATIONS"] != nil { try AtomicFile.write(.object(found), to: path) }
      let recorded = try #require(JSONValue(file: path).objectValue)
      #expect(Set(found.keys) == Set(recorded.keys))
      for (key, value) in recorded.members { #expect(found[key]?.encoded(.file) == value.encoded(.file), "\(key)") }
    }

    /// Every option that a folder has is checked as a script's is, and named with its file.
    @Test(arguments: savedMethods) func optionsOfFoldersAreChecked(_ name: String) throws {
      let method = try AdapterCatalogue.method(named: name)
      let row = try #require(AdapterCase.saved.first { type(of: $0.method).name == name })
      try withTemporaryFolder { folder in
        try row.attach(to: tinyModel("tiny-roberta"), name: "a").save(to: folder + "/a", baseModelName: "x")
        let files = ["adapter_config.json", "perigee.json"].map { "\(folder)/a/\($0)" }
        func loading() throws -> String? {
          let model = try tinyModel("tiny-roberta")
          return message { _ = try AttachedAdapter.load(folder: folder + "/a", into: model, headModules: model.headModules) }
        }
        #expect(try loading() == nil)
        func change(_ key: String, to value: JSONValue) throws {
          for path in files where FileManager.default.fileExists(atPath: path) {
            let original = try JSONValue(file: path)
            var changed = try #require(original.objectValue)
            if changed[key] != nil { changed[key] = value }
            if var own = changed["adapter"]?.objectValue, own[key] != nil {
              own[key] = value
              changed["adapter"] = .object(own)
            }
            guard .object(changed) != original else { continue }
            try AtomicFile.write(.object(changed), to: path)
            defer { try? AtomicFile.write(original, to: path) }
            let text = try loading() ?? "loaded"
            #expect(text.hasPrefix("\(path): '\(key)") || text.hasPrefix("\(path): \(key)"), "\(key): \(text)")
          }
        }
        for (key, place) in method.savedOptions where place != .nowhere { try change(key, to: [["x": [[]]]]) }
      }
    }

    /// Where several patterns match, the first in the file counts, as for PEFT.
    @Test(arguments: [["query", ".*"], [".*", "query"]]) func orderOfPatternsCounts(_ patterns: [String]) throws {
      let config = HuggingFaceConfig(
        ["r": 4, "lora_alpha": 8, "rank_pattern": .object(JSONObject(zip(patterns, [2, 3])))], path: "x")
      let lora = try LoRA(saved: config)
      #expect(lora.rankPattern["bert.encoder.layer.0.attention.self.query"] == 2)
      #expect(lora.rankPattern["bert.encoder.layer.0.attention.self.value"] == (patterns[0] == ".*" ? 2 : 3))
    }
  }
}

extension AdapterMethod {
  /// The options' names, and where folders have them.
  static var savedOptions: [(name: String, place: SavedPlace)] { fields.map { ($0.name, $0.place) } }
}
