import Adapters
import Checkpoints
import Files
import Foundation
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

private func decoder(_ name: String, _ head: HeadKind = .language) throws -> TransformerModel {
  try PretrainedModel(name: fixturesFolder + "/models/" + name).make(head, headSeed: 1)
}

extension EngineTests {
  /// What is different for adapters of decoders: heads that belong to the body, layers without biases, matrices that lie in files
  /// the other way round.
  @Suite struct DecoderAdapterTests {
    /// Nothing would train, or nothing but the head.
    @Test func methodsWithoutAnEffectAreRefused() throws {
      var columns = GLoRA()
      (columns.configAB, columns.configDE) = (GLoRA.MatrixForm.none, GLoRA.BiasForm.none)
      let rows: [(method: any AdapterMethod, model: String, head: HeadKind, message: String)] = [
        (
          ClassifierOnly(), "tiny-gpt2", .language,
          "method 'classifier': the model's head is a part of its body, and nothing would train; name modules in modules_to_save, or take another method"
        ),
        (
          columns, "tiny-llama", .sequence(labels: ["a", "b"]),
          "method 'glora': with these options it has nothing to attach to the target layers; none of them has a bias"
        ),
        (
          BitFit(), "tiny-llama", .sequence(labels: ["a", "b"]),
          "biases: the model has no bias of the kind 'all' outside its head; none of its layers has a bias: take another method"
        ),
      ]
      for row in rows {
        let model = try decoder(row.model, row.head)
        let before = model.trainableParameters().map(\.name)
        #expect(message { try model.attach(row.method) } == row.message)
        #expect(model.trainableParameters().map(\.name) == before)
      }
      // Where they have one.
      try decoder("tiny-gpt2", .sequence(labels: ["a", "b"])).attach(ClassifierOnly())
      try decoder("tiny-gpt2").attach(columns)
      let qwen = try decoder("tiny-qwen2").attach(BitFit())
      // Queries, keys and values of two layers.
      #expect(qwen.parameterCount == 2 * (32 + 16 + 16))
    }

    @Test func biasesOfAModelWithoutThemAreAMistake() throws {
      for bias in [AdapterTargets.Bias.all, .loraOnly] {
        var targets = AdapterTargets()
        targets.bias = bias
        let llama = try decoder("tiny-llama")
        #expect(message { try targets.requireMatches(LoRA(), in: llama) } == "bias = \"\(bias.rawValue)\": the model has no biases; leave it out")
        try targets.requireMatches(LoRA(), in: decoder("tiny-gpt2"))
      }
    }

    /// PEFT copies a language head that is adapted into the folder: it has to be the model's.
    @Test func anAdaptedHeadMustBeTheModels() throws {
      let folder = fixturesFolder + "/peft/tiny-llama-head/adapter"
      let model = try decoder("tiny-llama")
      let head = try #require(model.namedParameters().first { $0.name == "lm_head.weight" }).tensor
      try head.makeExclusive()
      head.set(head.element(7) + 1, at: 7)
      let text = message { _ = try AttachedAdapter.load(folder: folder, into: model, headModules: model.headModules) }
      #expect(
        text
          == "\(folder)/adapter_model.safetensors: 'base_model.model.lm_head.base_layer.weight' differs from the model's 'lm_head.weight'; "
          + "the adapter was made for another base model")
    }

    /// The word embeddings and a head that is the same table train together, or not at all.
    @Test func tiedEmbeddingsStayTied() throws {
      var targets = AdapterTargets()
      targets.modulesToSave = ["lm_head"]
      #expect(
        message { try decoder("tiny-gpt2").attach(LoRA(), targets: targets) }
          == "modules_to_save: 'lm_head' has no parameters of its own: its weight is that of 'transformer.wte'; name 'transformer.wte', with which both train"
      )
      targets.modulesToSave = ["wte"]
      try withTemporaryFolder { folder in
        for method in [LoRA(), IA3()] as [any AdapterMethod] {
          let model = try decoder("tiny-gpt2")
          let attached = try model.attach(method, targets: targets)
          try perturb(attached)
          let path = folder + "/" + method.name
          try attached.save(to: path, baseModelName: "x", taskType: "CAUSAL_LM")
          let config = try JSONValue(file: path + "/adapter_config.json")
          #expect(config["modules_to_save"] == ["transformer.wte", "lm_head"])
          #expect(config["ensure_weight_tying"] == (method is LoRA ? true : nil))
          let other = try decoder("tiny-gpt2")
          let loaded = try AttachedAdapter.load(folder: path, into: other, headModules: [])
          #expect(loaded.savedModules == ["transformer.wte"])
          #expect(try other.predict(tinyBatch()).values == model.predict(tinyBatch()).values)
        }
        // What PEFT makes without ensure_weight_tying: the table alone, the head alone, and both with other values.
        for (index, (name, place, hint)) in [
          ("tiny-qwen2", "lm_head", "train them in PEFT with ensure_weight_tying=True and the embeddings' full path in modules_to_save"),
          (
            "tiny-t5v11", "encoder.embed_tokens", "PEFT cannot train the one table of a model with an encoder: leave it out of modules_to_save there"
          ),
        ].enumerated() {
          let source = fixturesFolder + "/peft/\(name)-embeddings/adapter"
          let file = try SafetensorsFile(source + "/adapter_model.safetensors")
          let names = file.names.filter { $0.hasSuffix("embed_tokens.weight") || $0.hasSuffix(".shared.weight") || $0.contains(".\(place).") }
          let copy = "base_model.model.\(place).weight"
          for (number, kept) in [names.filter { $0 != copy }, [copy], names].enumerated() {
            let path = folder + "/\(index)-\(number)"
            try FileManager.default.copyItem(atPath: source, toPath: path)
            try SafetensorsFile.write(
              tensors: file.names.filter { kept.contains($0) || !names.contains($0) }.map { name in
                (name, try name == copy ? file.tensor(name).mul(2) : file.tensor(name))
              }, to: path + "/adapter_model.safetensors")
            let model = try decoder(name)
            let before = try model.predict(tinyBatch(for: model)).values
            #expect(
              message { _ = try AttachedAdapter.load(folder: path, into: model, headModules: []) }
                == "\(path)/adapter_model.safetensors: the word embeddings and '\(place)' were trained apart, and are one table in this model; "
                + hint)
            #expect(try model.predict(tinyBatch(for: model)).values == before)
          }
        }
      }
    }

    /// The LoRA authors' GPT-2 adapts queries and values; the same as a LoRA of twice the rank.
    @Test func checkpointsOfTheLoRAAuthorsAreRead() throws {
      try withTemporaryFolder { folder in
        let files = FileManager.default
        try files.copyItem(atPath: fixturesFolder + "/peft/tiny-gpt2-lora/adapter", toPath: folder + "/a")
        try files.removeItem(atPath: folder + "/a/adapter_model.safetensors")
        try files.copyItem(atPath: fixturesFolder + "/torch/loralib_fused.bin", toPath: folder + "/a/adapter_model.bin")
        let fixture = try ParityFixture(fixturesFolder + "/cases/gpt2-lora-fused.safetensors")
        let model = try decoder("tiny-gpt2")
        _ = try AttachedAdapter.load(folder: folder + "/a", into: model, headModules: model.headModules)
        #expect(try compare("logits", model.predict(fixture.batch(0)), fixture.tensor("final_logits"), absolute: 1e-4))
      }
    }

    /// Folders of a LoRA of some parts are PEFT's, and have zeros elsewhere.
    @Test func foldersOfFusedLayersSayWhichParts() throws {
      let model = try decoder("tiny-gpt2")
      try withTemporaryFolder { folder in
        let attached = try model.attach(LoRAFused())
        try perturb(attached)
        try attached.save(to: folder + "/a", baseModelName: "x", taskType: "CAUSAL_LM")
        let file = try SafetensorsFile(folder + "/a/adapter_model.safetensors")
        let b = try file.tensor("base_model.model.transformer.h.0.attn.c_attn.lora_B.weight")
        #expect(b.shape == [96, 8])
        let elsewhere = (0..<96 * 8).filter { $0 / 8 / 32 != ($0 % 8 < 4 ? 0 : 2) }
        #expect(elsewhere.allSatisfy { b.element($0) == 0 })
        // Without the file of our own it is any LoRA.
        let (whole, plain) = (try decoder("tiny-gpt2"), try decoder("tiny-gpt2"))
        #expect(try AttachedAdapter.load(folder: folder + "/a", into: whole, headModules: []).method is LoRAFused)
        let other = try JSONValue(file: folder + "/a/perigee.json")
        try FileManager.default.removeItem(atPath: folder + "/a/perigee.json")
        #expect(try AttachedAdapter.load(folder: folder + "/a", into: plain, headModules: []).method is LoRA)
        #expect(try compare("plain", plain.predict(tinyBatch()), whole.predict(tinyBatch()), absolute: 1e-5))
        // A LoRA that is none of parts.
        let dense = fixturesFolder + "/peft/tiny-gpt2-lora/adapter"
        try FileManager.default.copyItem(atPath: dense, toPath: folder + "/b")
        try AtomicFile.write(other, to: folder + "/b/perigee.json")
        let text = message { _ = try AttachedAdapter.load(folder: folder + "/b", into: decoder("tiny-gpt2"), headModules: []) }
        #expect(
          text
            == "'transformer.h.0.attn.c_attn.lora_B.weight' has values outside of query, value, which are not zero; without perigee.json the folder "
            + "is a plain LoRA")
      }
    }

    @Test func partsOfFusedLayersAreChecked() throws {
      for (parts, text) in [
        (["queries"], "parts: 'queries' is unknown; expected one of key, query, value"),
        ([], "parts: expected some of query, key, value, each once, given "),
        (["key", "key"], "parts: expected some of query, key, value, each once, given key, key"),
      ] as [([String], String)] {
        var method = LoRAFused()
        method.parts = parts
        #expect(message { try decoder("tiny-gpt2").attach(method) } == text)
      }
      var targets = AdapterTargets()
      targets.targetModules = .suffixes(["q_proj"])
      #expect(
        message { try decoder("tiny-llama").attach(LoRAFused(), targets: targets) }
          == "lora_fused: layer 'model.layers.0.self_attn.q_proj' does not give queries, keys and values of one size together; take lora, with "
          + "target_modules of the layers that give queries and values")
    }

    /// A matrix that trains beside an adapter lies in the folder as in GPT-2's files, [in, out].
    @Test func savedMatricesLieAsInFiles() throws {
      var targets = AdapterTargets()
      targets.modulesToSave = ["0.mlp.c_fc", "1.attn.c_proj"]
      try withTemporaryFolder { folder in
        let model = try decoder("tiny-gpt2")
        let attached = try model.attach(LoRA(), targets: targets)
        try perturb(attached)
        try attached.save(to: folder + "/a", baseModelName: "x", taskType: "CAUSAL_LM")
        try attached.exportAsLoRA(to: folder + "/b", baseModelName: "x", taskType: "CAUSAL_LM")
        for name in ["a", "b"] {
          let file = try SafetensorsFile("\(folder)/\(name)/adapter_model.safetensors")
          for (path, shape) in [("transformer.h.0.mlp.c_fc", [32, 128]), ("transformer.h.1.attn.c_proj", [32, 32])] {
            let own = try #require(model.namedParameters().first { $0.name == path + ".weight" }).tensor
            let saved = try file.tensor("base_model.model.\(path).weight")
            #expect(saved.shape == shape)
            #expect(try saved.values == own.detach().transpose(0, 1).copy().values)
          }
          let other = try decoder("tiny-gpt2")
          _ = try AttachedAdapter.load(folder: "\(folder)/\(name)", into: other, headModules: other.headModules)
          #expect(try compare(name, other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-6))
        }
      }
    }
  }
}
