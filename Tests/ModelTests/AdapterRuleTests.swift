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

/// Rules of adapters that only show where several meet, where something is dropped, or in a folder's words.
extension EngineTests {
  @Suite struct AdapterRuleTests {
    /// GLoRA scales the layer's own weight and bias, whatever else is merged into them.
    @Test func gloraOverAMergedAdapterScalesTheLayersOwnWeight() throws {
      let model = try tinyModel("tiny-roberta")
      var lora = LoRA()
      (lora.r, lora.loraAlpha) = (2, 16)
      let below = try model.attach(lora, name: "below")
      try perturb(below, std: 0.4)
      let (_, linear, first) = try #require(below.linearAdapters.first)
      let (weight, bias, update) = (
        try linear.weight.copy(), try #require(linear.bias).copy(), try #require(first as? any SummedAdapter).deltaWeight()
      )
      try linear.merge()
      var glora = GLoRA()
      (glora.r, glora.configDE) = (2, .vector)
      let above = try model.attach(glora, name: "above")
      try perturb(above, std: 0.4)
      let parts = above.linearAdapters[0].adapter.ownParameters
      func part(_ name: String) throws -> Tensor { try #require(parts.first { $0.name == name }).tensor }
      func product(_ name: String) throws -> Tensor { try part(name + ".Xd").matmul(part(name + ".Xu")) }
      // W + W A + B + s B A of the LoRA, and b + b D + E + W C.
      let (wholeWeight, wholeBias) = try Autograd.noGrad {
        (
          try weight.add(weight.mul(product("glora_A"))).add(product("glora_B")).add(update),
          try bias.add(bias.mul(part("glora_D.X"))).add(part("glora_E.X")).add(weight.matmul(product("glora_C")).squeeze(1))
        )
      }
      let x = try Tensor.randn([5, linear.inFeatures], RandomSource(seed: 2))
      let expected = try x.linear(wholeWeight, wholeBias)
      func output() throws -> Tensor { try Autograd.noGrad { try linear(x, ForwardContext()) } }
      #expect(linear.merged == ["below"])
      #expect(try compare("the one below merged", output(), expected, absolute: 1e-4))
      try linear.merge()
      #expect(linear.merged == ["below", "above"])
      #expect(try compare("both merged", output(), expected, absolute: 1e-4))
      #expect(try compare("weight", linear.weight, wholeWeight, absolute: 1e-4))
      #expect(try compare("bias", #require(linear.bias), wholeBias, absolute: 1e-4))
      try linear.unmerge()
      #expect(try compare("neither merged", output(), expected, absolute: 1e-4))
      #expect(linear.weight.values == weight.values)
    }

    /// `y = W x + b + s B A drop(x)`: the layer's own share sees all of x, and an evaluation drops nothing.
    @Test func loraDropsTheInputOfItsOwnShare() throws {
      let model = try tinyModel("tiny-bert")
      var lora = LoRA()
      (lora.r, lora.loraAlpha, lora.loraDropout) = (2, 6, 0.5)
      let attached = try model.attach(lora)
      try perturb(attached)
      let (_, linear, adapter) = try #require(attached.linearAdapters.first)
      let update = try #require(adapter as? any SummedAdapter).deltaWeight()
      let x = try Tensor.randn([7, linear.inFeatures], RandomSource(seed: 4))
      try Autograd.noGrad {
        let plain = try x.linear(linear.weight, linear.bias)
        let context = ForwardContext(seed: 9)
        #expect(try compare("evaluation", linear(x, context), plain.add(x.linear(update)), absolute: 1e-5))
        context.isTraining = true
        context.begin()
        let y = try linear(x, context)
        context.resume(after: 0)
        context.begin()
        let dropped = try x.dropout(context.dropout(0.5))
        #expect(dropped.values.count { $0 == 0 } > x.count / 3)
        #expect(try compare("training", y, plain.add(dropped.linear(update)), absolute: 1e-5))
      }
    }

    /// A merge that was trained over comes out again: all of it, and nothing of the training.
    @Test func unmergingATrainedWeightSubtractsEveryAdapter() throws {
      let model = try tinyModel("tiny-bert")
      let attached = try ["a", "b", "c"].enumerated().map { i, name in
        let attached = try model.attach(LoRA(), name: name)
        try perturb(attached, seed: UInt64(i + 1))
        return attached
      }
      let (_, linear, _) = try #require(attached[0].linearAdapters.first)
      let weight = try linear.weight.copy()
      try linear.merge()
      #expect(linear.merged == ["a", "b", "c"])
      let step = try Tensor.randn(weight.shape, std: 0.1, RandomSource(seed: 8))
      let trained = try Autograd.noGrad {
        try linear.weight.addInPlace(step)
        return try weight.add(step)
      }
      try linear.unmerge()
      #expect(linear.merged.isEmpty)
      #expect(try compare("weight", linear.weight, trained, absolute: 1e-5))
    }

    /// DoRA scales what the adapters before it made of the weight, merged or not.
    @Test func adaptersAreMergedInTheirOrder() throws {
      let model = try tinyModel("tiny-bert")
      var dora = LoRA()
      dora.useDora = true
      for (i, (name, method)) in [("first", LoRA()), ("second", dora), ("third", LoRA())].enumerated() {
        try perturb(model.attach(method, name: name), seed: UInt64(i + 1), std: 0.4)
      }
      let linear = try #require(model.namedModules().compactMap { $0.module as? Linear }.first { $0.adapters.count == 3 })
      let x = try Tensor.randn([5, linear.inFeatures], RandomSource(seed: 2))
      func output() throws -> Tensor { try Autograd.noGrad { try linear(x, ForwardContext()) } }
      let before = try output()
      try linear.merge()
      #expect(linear.merged == ["first", "second", "third"])
      #expect(try compare("merged", output(), before, absolute: 1e-4))
    }

    /// Every sequence gets the whole prefix in its order, each with draws of its own.
    @Test func aDroppedPrefixKeepsItsOrder() throws {
      let model = try tinyModel("tiny-bert")
      var method = PrefixTuning()
      (method.numVirtualTokens, method.prefixDropout) = (4, 0.5)
      let attached = try model.attach(method)
      let prefix = try #require(attached.adapters.first?.adapter as? PrefixAdapter)
      let rows = try #require(prefix.ownParameters.first).tensor
      let size = rows.columns / 2
      let context = ForwardContext(seed: 3)
      context.isTraining = true
      context.begin()
      let (keys, values) = try Autograd.noGrad { try prefix.rows(sequences: 6, context) }
      #expect(keys.shape == [24, size] && values.shape == [24, size])
      var (kept, masks): (Int, Set<[Bool]>) = (0, [])
      for (tensor, first) in [(keys, 0), (values, size)] {
        for sequence in 0..<6 {
          let mask = (0..<4 * size).map { tensor.element(sequence * 4 * size + $0) != 0 }
          for i in 0..<4 * size where mask[i] {
            let expected = 2 * rows.element(i / size * 2 * size + first + i % size)
            #expect(abs(tensor.element(sequence * 4 * size + i) - expected) <= 1e-6 * abs(expected), "sequence \(sequence), row \(i / size)")
          }
          kept += mask.count { $0 }
          masks.insert(mask)
        }
      }
      #expect(masks.count == 12 && abs(Double(kept) / Double(48 * size) - 0.5) < 0.06)
    }

    /// PEFT's rule: a pattern is a whole path, or the end of one after a dot.
    @Test(
      arguments: [
        ("query", ["0.query", "1.query"]), ("uery", []), ("quer", []), ("self.query", ["0.query", "1.query"]), ("elf.query", []),
        ("query|value", ["0.query", "0.value", "1.query", "1.value"]), ("attention.self", []), (#"layer\.1\.attention\.self\.value"#, ["1.value"]),
        (#"1\.attention\.self\.value"#, ["1.value"]), (#"ayer\.1\.attention\.self\.value"#, []), ("roberta.*query", ["0.query", "1.query"]),
        (#"roberta\.encoder\.layer\.0\.attention\.self\.query"#, ["0.query"]), ("oberta.*query", []),
        (".*", ["0.query", "0.value", "1.query", "1.value"]),
      ] as [(String, [String])])
    func rankPatternsMatchWholeParts(_ pattern: String, _ expected: [String]) throws {
      let model = try tinyModel("tiny-roberta")
      let lora = try LoRA(
        table: ConfigTable(fields: [
          "r": .integer(3), "lora_alpha": .number(3),
          "rank_pattern": .table(ConfigTable(fields: [pattern: .integer(2)])), "alpha_pattern": .table(ConfigTable(fields: [pattern: .number(8)])),
        ]))
      let attached = try model.attach(lora)
      let adapters = attached.linearAdapters.compactMap { path, _, adapter in (adapter as? LoRAAdapter).map { (path, $0) } }
      // "0.query" for roberta.encoder.layer.0.attention.self.query.
      let changed = adapters.filter { $0.1.rank == 2 && $0.1.scaling == 4 }.map { path, _ in
        let parts = path.split(separator: ".").map(String.init)
        return parts[3] + "." + parts[6]
      }
      #expect(changed == expected)
      #expect(adapters.count { $0.1.rank == 3 && $0.1.scaling == 1 } == 4 - expected.count)
    }

    /// What PEFT wrote, read and written again, says the same in the same words.
    @Test(arguments: [
      "tiny-roberta-rslora", "tiny-roberta-dora", "tiny-bert-lora", "tiny-roberta-all-linear", "tiny-roberta-loha", "tiny-bert-lokr",
      "tiny-bert-glora", "tiny-bert-glora-none", "tiny-bert-prefix", "tiny-roberta-vera",
    ])
    func foldersKeepTheirOptions(_ name: String) throws {
      let source = fixturesFolder + "/peft/\(name)/adapter"
      let before = try HuggingFaceConfig(path: source + "/adapter_config.json").values
      let model = try tinyModel(name.hasPrefix("tiny-bert") ? "tiny-bert" : "tiny-roberta")
      let attached = try AttachedAdapter.load(folder: source, into: model, headModules: model.headModules)
      try withTemporaryFolder { folder in
        try attached.save(to: folder + "/a", baseModelName: "x")
        let after = try HuggingFaceConfig(path: folder + "/a/adapter_config.json").values
        let keys = [
          "peft_type", "r", "lora_alpha", "alpha", "lora_dropout", "use_rslora", "use_dora", "bias", "init_lora_weights", "rank_pattern",
          "alpha_pattern", "config_A_B", "config_C", "config_D_E", "num_virtual_tokens", "prefix_projection", "encoder_hidden_size",
          "decompose_both", "decompose_factor", "d_initial", "save_projection", "projection_prng_key", "num_layers", "token_dim",
          "num_attention_heads", "task_type",
        ].filter { before[$0] != nil }
        #expect(keys.count >= 4)
        for key in keys {
          let (old, new) = (before[key]?.encoded(), after[key]?.encoded())
          #expect(new == old || Double(new ?? "") == Double(old ?? "-"), "\(key): \(new ?? "nothing"), PEFT wrote \(old ?? "")")
        }
      }
    }

    /// The scale is that of the option, also where a folder says it.
    @Test(arguments: [(false, 4, 8.0, 2.0), (true, 4, 8, 4), (true, 16, 2, 0.5), (false, 16, 2, 0.125)])
    func rankStabilisedScaleIsSaved(_ isStabilised: Bool, _ r: Int, _ alpha: Double, _ scaling: Double) throws {
      let model = try tinyModel("tiny-bert")
      var lora = LoRA()
      (lora.r, lora.loraAlpha, lora.useRslora) = (r, alpha, isStabilised)
      let attached = try model.attach(lora)
      try withTemporaryFolder { folder in
        try attached.save(to: folder + "/a", baseModelName: "x")
        let config = try HuggingFaceConfig(path: folder + "/a/adapter_config.json").values
        #expect(config["use_rslora"] == .bool(isStabilised) && config["lora_alpha"]?.doubleValue == alpha && config["r"] == .int(r))
        let other = try tinyModel("tiny-bert")
        let loaded = try AttachedAdapter.load(folder: folder + "/a", into: other, headModules: other.headModules)
        for adapter in [attached, loaded] {
          #expect(adapter.linearAdapters.allSatisfy { ($0.adapter as? LoRAAdapter)?.scaling == scaling })
          #expect((adapter.method as? LoRA)?.useRslora == isStabilised)
        }
      }
    }
  }
}
