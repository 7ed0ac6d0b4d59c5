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

extension EngineTests {
  /// What methods of the catalogue must do beside `MethodConformanceTests`.
  @Suite struct AdapterConformanceTests {
    @Test func everyMethodIsInTheTable() {
      let covered = Set((AdapterCase.all + AdapterCase.ofFusedLayers).map { type(of: $0.method).name })
      #expect(covered == Set(AdapterCatalogue.methods.map { $0.name }))
    }

    @Test(arguments: tinyModels, AdapterCase.all)
    func gradientReachesExactlyWhatTrains(_ name: String, _ row: AdapterCase) throws {
      let model = try tinyModel(name)
      let attached = try row.attach(to: model)
      try perturb(attached)
      model.context.isTraining = true
      try model.loss(tinyBatch()).backward()
      let own = Set(attached.state().map { ObjectIdentifier($0.tensor) })
      for (name, tensor) in model.namedParameters() {
        if tensor.requiresGrad, tensor.grad == nil, (row.method as? any DrawsParameters)?.drawsParameters ?? false { continue }
        #expect((tensor.grad != nil) == tensor.requiresGrad, "\(name)")
        if tensor.requiresGrad {
          #expect(own.contains(ObjectIdentifier(tensor)), "\(name) trains and is not saved")
          // A key's bias shifts all scores of a row alike, and rows that no batch uses have no
          // gradient.
          if !name.hasSuffix("key.bias") {
            #expect((tensor.grad?.sumOfSquares ?? 0) > 0, "\(name)")
          }
        }
      }
      for (path, _, adapter) in attached.adapters {
        for (parameter, tensor) in adapter.ownParameters {
          #expect(
            tensor.requiresGrad != adapter.frozenParameters.contains(parameter),
            "\(path).\(parameter)")
        }
      }
    }

    /// bfloat16 rounds the merged weight otherwise than weight and update apart; the probe sees through that.
    @Test(arguments: AdapterCase.all.filter { $0.method.isMergeable })
    func mergingInBFloat16IsNoMistake(_ row: AdapterCase) throws {
      Precision.current = .bf16
      defer { Precision.current = .fp32 }
      let model = try tinyModel("tiny-roberta")
      let attached = try row.attach(to: model)
      try perturb(attached)
      let unmerged = try model.predictInFloat32(tinyBatch())
      try model.merge(probe: tinyBatch(), tolerance: attached.mergeTolerance)
      #expect(Precision.current == .bf16)
      #expect(try compare("merged", model.predictInFloat32(tinyBatch()), unmerged, absolute: attached.mergeTolerance))
      #expect(try model.predict(tinyBatch()).values != model.predictInFloat32(tinyBatch()).values)
    }

    @Test(arguments: tinyModels, AdapterCase.saved)
    func folderGivesTheAdapterBack(_ name: String, _ row: AdapterCase) throws { try expectAdapterBack(name, row) }

    /// BERT's pooler, which some methods adapt or train parts of, belongs to the head then.
    @Test(arguments: AdapterCase.saved)
    func folderGivesAdapterAndPoolerBack(_ row: AdapterCase) throws {
      var row = row
      row.targets.modulesToSave = ["classifier", "pooler"]
      try expectAdapterBack("tiny-bert", row)
    }

    private func expectAdapterBack(_ name: String, _ row: AdapterCase) throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel(name)
        let attached = try row.attach(to: model)
        try perturb(attached)
        var facts = AdapterFacts()
        (facts.baseModel, facts.baseDigest, facts.stages) = (name, String(repeating: "0a", count: 16), ["mnli"])
        facts.upstream = [AdapterFacts.Upstream(adapterName: "below", digest: String(repeating: "f9", count: 16))]
        try attached.save(to: folder + "/a", baseModelName: name, facts: facts)
        let read = try AdapterFacts(folder: folder + "/a")
        #expect(read.baseModel == name && read.baseDigest == facts.baseDigest && read.stages == ["mnli"] && read.upstream == facts.upstream)
        let other = try tinyModel(name, headSeed: 9)
        let loaded = try AttachedAdapter.load(
          folder: folder + "/a", into: other, headModules: other.headModules)
        #expect(
          try compare(
            "logits", other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-6))
        #expect(loaded.sites == attached.sites && loaded.savedModules == attached.savedModules)
        if row.method.savesParameters {
          #expect(other.trainableParameters().map(\.name) == model.trainableParameters().map(\.name))
        }
        // What is saved again has the same bytes.
        try loaded.save(to: folder + "/b", baseModelName: name, facts: facts)
        if row.base == nil {
          #expect(try Digest(ofFolder: folder + "/a") == Digest(ofFolder: folder + "/b"))
        }
      }
    }

    @Test(arguments: AdapterCase.linear.filter { !$0.isLowRank })
    func whatNoLoRAEqualsIsRefused(_ row: AdapterCase) throws {
      try withTemporaryFolder { folder in
        let text = message { try row.attach(to: tinyModel("tiny-bert")).exportAsLoRA(to: folder + "/a", baseModelName: "x") }
        #expect(text?.contains("cannot be written as a LoRA: its update is no product of two small factors") == true)
      }
    }

    @Test(arguments: tinyModels, AdapterCase.lowRank)
    func plainLoRAIsTheSameModel(_ name: String, _ row: AdapterCase) throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel(name)
        let attached = try row.attach(to: model)
        try perturb(attached)
        guard attached.isLowRank else {
          let text = message { try attached.exportAsLoRA(to: folder + "/lora", baseModelName: name) }
          #expect(text?.contains("method '\(type(of: row.method).name)'") == true, "\(text ?? "nothing thrown")")
          return
        }
        try attached.exportAsLoRA(to: folder + "/lora", baseModelName: name)
        let other = try tinyModel(name, headSeed: 9)
        let loaded = try AttachedAdapter.load(
          folder: folder + "/lora", into: other, headModules: other.headModules)
        #expect(loaded.method is LoRA)
        #expect(
          try compare(
            "logits", other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-5))
      }
    }

    @Test func trainingWeightsCanBeUnmerged() throws {
      let model = try tinyModel("tiny-bert")
      try perturb(model.attach(LoRA()))
      let before = try model.predict(tinyBatch())
      try model.merge(probe: tinyBatch())
      try model.attach(FullFineTuning(), name: "full")
      try model.unmerge()
      #expect(try compare("unmerged", model.predict(tinyBatch()), before, absolute: 1e-5))
    }

    @Test func failedMergeChangesNothing() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(LoRA())
      try perturb(attached)
      let weights = try linears(of: model).map { try $0.weight.copy() }
      #expect(
        message { try model.merge(probe: tinyBatch(), tolerance: 0) }?.contains(
          "the logits moved by") == true)
      #expect(
        zip(linears(of: model), weights).allSatisfy {
          $0.merged.isEmpty && $0.weight.values == $1.values
        })
      let last = try #require(attached.adapters.last?.adapter.ownParameters.last?.tensor)
      last.set(.infinity, at: 0)
      let text = try #require(message { try model.merge() })
      #expect(
        text
          == "roberta.encoder.layer.1.attention.self.value: merging adapter 'default': its update has values that are not finite"
      )
      #expect(
        zip(linears(of: model), weights).allSatisfy {
          $0.merged.isEmpty && $0.weight.values == $1.values
        })
    }

    private func linears(of model: TransformerModel) -> [Linear] {
      model.namedModules().compactMap { $0.module as? Linear }
    }
  }
}
