import Adapters
import Files
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

extension EngineTests {
  @Suite struct GLoRATests {
    private static let supernet: GLoRA = {
      var method = GLoRA()
      (method.r, method.supernet) = (2, true)
      return method
    }()

    private func configurations() -> [GLoRAConfiguration] {
      var all: [GLoRAConfiguration] = []
      for a in GLoRA.MatrixForm.allCases {
        for c in GLoRA.ColumnForm.allCases {
          for d in GLoRA.BiasForm.allCases {
            var configuration = GLoRAConfiguration()
            (configuration.a, configuration.b) = (a, GLoRA.MatrixForm.allCases[(all.count + 1) % 4])
            (configuration.c, configuration.d, configuration.e) = (c, d, GLoRA.BiasForm.allCases[all.count % 3])
            all.append(configuration)
          }
        }
      }
      return all
    }

    /// W' and b' of a configuration, number by number, from what a supernet's layer stores.
    private func expected(_ linear: Linear, _ adapter: GLoRAAdapter, _ forms: GLoRAConfiguration) throws -> (weight: [Double], bias: [Double]) {
      let tensors = Dictionary(adapter.ownParameters.map { ($0.name, $0.tensor) }, uniquingKeysWith: { a, _ in a })
      func stored(_ name: String, _ i: Int, _ j: Int = 0) throws -> Double {
        let tensor = try #require(tensors[name])
        return tensor.element(i * tensor.columns * (tensor.rank == 1 ? 0 : 1) + (tensor.rank == 1 ? i : j))
      }
      func product(_ name: String, _ i: Int, _ j: Int) throws -> Double {
        try (0..<2).reduce(0) { try $0 + stored(name + ".Xd", i, $1) * stored(name + ".Xu", $1, j) }
      }
      func matrix(_ name: String, _ form: GLoRA.MatrixForm, _ i: Int, _ j: Int) throws -> Double {
        switch form {
        case .lora: try product(name, i, j)
        case .vector: try stored(name + ".Xd", i)
        case .constant: try stored(name + ".Xd", 0)
        case .none: 0
        }
      }
      func row(_ name: String, _ form: GLoRA.BiasForm, _ i: Int) throws -> Double {
        form == .none ? 0 : try stored(name + ".X", form == .vector ? i : 0)
      }
      let (weight, bias) = (linear.weight.values, try #require(linear.bias).values)
      let columns = linear.inFeatures
      var (newWeight, newBias) = (weight, bias)
      for i in bias.indices {
        newBias[i] += try bias[i] * row("glora_D", forms.d, i) + row("glora_E", forms.e, i)
        for j in 0..<columns {
          let w = weight[i * columns + j]
          newWeight[i * columns + j] += try w * matrix("glora_A", forms.a, i, j) + matrix("glora_B", forms.b, i, j)
          if forms.c != .none { newBias[i] += try w * (forms.c == .lora ? product("glora_C", j, 0) : stored("glora_C.Xd", j)) }
        }
      }
      return (newWeight, newBias)
    }

    @Test func everyFormIsWhatItsFormulaSays() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(Self.supernet)
      try perturb(attached)
      let (_, linear, adapter) = try #require(attached.linearAdapters.first)
      let glora = try #require(adapter as? GLoRAAdapter)
      let count = try attached.gloraLayers().count
      for forms in configurations() {
        try attached.setGLoRAConfigurations([GLoRAConfiguration?](repeating: forms, count: count))
        #expect(try attached.gloraLayers().allSatisfy { $0.configuration == forms })
        let unmerged = try model.predict(tinyBatch())
        let (weight, bias) = try expected(linear, glora, forms)
        try model.merge(probe: tinyBatch())
        #expect(try compare("W' of \(forms)", linear.weight, Tensor(weight, linear.weight.shape), absolute: 1e-5))
        let shifted = try #require(linear.bias)
        #expect(try compare("b' of \(forms)", shifted, Tensor(bias, [bias.count]), absolute: 1e-5))
        #expect(try compare("logits", model.predict(tinyBatch()), unmerged, absolute: 1e-4))
        try model.unmerge()
      }
    }

    /// What trains without a supernet is what a search counts.
    @Test func parametersAreCounted() throws {
      for (ab, c, de, perLayer) in [
        (GLoRA.MatrixForm.lora, GLoRA.ColumnForm.lora, GLoRA.BiasForm.vector, 2 * 4 * 64 + 4 * 33 + 2 * 32),
        (.vector, .vector, .constant, 2 * 32 + 32 + 2), (.constant, .none, .none, 2),
      ] {
        var method = GLoRA()
        (method.r, method.configAB, method.configC, method.configDE) = (4, ab, c, de)
        let model = try tinyModel("tiny-roberta")
        let attached = try model.attach(method)
        let counts = attached.adapters.map { $0.adapter.ownParameters.reduce(0) { $0 + $1.tensor.count } }
        #expect(counts == [Int](repeating: perLayer, count: 4))
      }
    }

    @Test func drawsAreFunctionsOfThePass() throws {
      func losses(_ seed: UInt64, checkpoints: Bool = false) throws -> (values: [Double], gradients: [[Double]?]) {
        let model = try tinyModel("tiny-roberta")
        let attached = try model.attach(Self.supernet)
        try perturb(attached)
        (model.context.isTraining, model.context.seed, model.context.gradientCheckpointing) = (true, seed, checkpoints)
        var values: [Double] = []
        for _ in 0..<4 {
          model.zeroGrad()
          let loss = try model.loss(tinyBatch())
          values.append(try loss.item())
          try loss.backward()
        }
        return (values, model.trainableParameters().map { $0.tensor.grad?.values })
      }
      let first = try losses(1)
      let again = try losses(1)
      #expect(first.values == again.values && first.gradients == again.gradients)
      #expect(Set(first.values).count == 4)
      #expect(try losses(2).values != first.values)
      // What is not drawn has no gradient; layers that are computed again draw the same.
      #expect(first.gradients.contains { $0 == nil } && first.gradients.contains { $0 != nil })
      let checkpointed = try losses(1, checkpoints: true)
      #expect(checkpointed.values == first.values && checkpointed.gradients == first.gradients)
    }

    @Test func evaluationsUseTheLargest() throws {
      let model = try tinyModel("tiny-bert")
      let attached = try model.attach(Self.supernet)
      try perturb(attached)
      let free = try model.predict(tinyBatch()).values
      #expect(try model.predict(tinyBatch()).values == free)
      let count = try attached.gloraLayers().count
      try attached.setGLoRAConfigurations([GLoRAConfiguration?](repeating: .largest, count: count))
      #expect(try model.predict(tinyBatch()).values == free)
      var small = GLoRAConfiguration()
      (small.a, small.b, small.c, small.d, small.e) = (.none, .none, .none, .none, .none)
      try attached.setGLoRAConfigurations([GLoRAConfiguration?](repeating: small, count: count))
      let plain = try tinyModel("tiny-bert")
      try plain.load(
        model.headModules.flatMap { head in
          model.namedParameters().filter { $0.name.hasPrefix(head + ".") }
        })
      #expect(try model.predict(tinyBatch()).values == plain.predict(tinyBatch()).values)
    }

    @Test func chosenConfigurationIsSaved() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        let attached = try model.attach(Self.supernet)
        try perturb(attached)
        let chosen = Array(configurations().prefix(5).suffix(4))
        try attached.setGLoRAConfigurations(chosen)
        try attached.save(to: folder + "/a", baseModelName: "x")
        let other = try tinyModel("tiny-roberta", headSeed: 9)
        let loaded = try AttachedAdapter.load(folder: folder + "/a", into: other, headModules: other.headModules)
        #expect(try loaded.gloraLayers().map(\.configuration) == chosen)
        #expect(try compare("logits", other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-6))
        let (path, _, adapter) = try #require(attached.linearAdapters.first)
        adapter.ownParameters.first { $0.name == "glora_config" }?.tensor.set(7, at: 2)
        try attached.save(to: folder + "/b", baseModelName: "x")
        let text = message { _ = try AttachedAdapter.load(folder: folder + "/b", into: tinyModel("tiny-roberta"), headModules: ["classifier"]) }
        #expect(text?.hasPrefix("'\(path).glora_config' is [") == true && text?.hasSuffix("which names no forms of the five parts") == true)
      }
    }

    @Test func mistakesAreNamed() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(Self.supernet)
      #expect(message { try attached.setGLoRAConfigurations([nil]) } == "set_glora: 1 configurations for 4 layers")
      let fixed = try model.attach(GLoRA(), name: "fixed")
      #expect(
        message { _ = try fixed.gloraLayers() }
          == "glora_layers: adapter 'fixed' of method 'glora' is no supernet; adapters.glora{ supernet = true }")
      var both = Self.supernet
      both.configC = .vector
      #expect(message { try model.attach(both, name: "both") }?.hasPrefix("glora options: a supernet draws its forms") == true)
    }
  }
}
