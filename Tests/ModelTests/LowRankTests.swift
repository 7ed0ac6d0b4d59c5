import Adapters
import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// A small layer with an input that has a gradient.
private func layer(out: Int = 6, in width: Int = 5, bias: Bool = true) throws -> (linear: Linear, x: Tensor) {
  func draw(_ shape: [Int], _ stream: UInt32) throws -> Tensor { try .randn(shape, RandomSource(seed: 3, stream: stream)) }
  let linear = Linear(weight: try draw([out, width], 1), bias: bias ? try draw([out], 2) : nil)
  return (linear, try draw([7, width], 3))
}

/// A model of one layer.
private final class OneLayer: AdapterHost {
  let linear: Linear
  init(_ linear: Linear) { self.linear = linear }
  override var parts: [(name: String, module: Module)] { [("query", linear)] }
}

private func attach(_ method: any AdapterMethod, to linear: Linear, seed: UInt64 = 1) throws -> AttachedAdapter {
  try AttachedAdapter.attach(method, to: OneLayer(linear), defaultTargets: ["query"], head: [], seed: seed)
}

private func small(_ change: (inout LoRA) -> Void) -> LoRA {
  var lora = LoRA()
  (lora.r, lora.loraAlpha) = (2, 6)
  change(&lora)
  return lora
}

private let torchDraws: [(seed: UInt64, first: [Float], last: Float)] = [
  (0, [0.4887697696685791, 1.3046653270721436, -0.7345677018165588, -0.6039085388183594], 1.6301593780517578),
  (7, [0.6047676205635071, -0.40359044075012207, 0.9776350855827332, 0.9706708192825317], 0.5294690728187561),
  (5489, [0.7077953815460205, 1.0463391542434692, 1.6482053995132446, 1.2865970134735107], 0.16262012720108032),
  (4_294_967_303, [0.6047676205635071, -0.40359044075012207, 0.9776350855827332, 0.9706708192825317], 0.5294690728187561),
]

extension EngineTests {
  @Suite struct LowRankTests {
    /// `y = W x + b + (m / n - 1) W x' + (m / n) s B A x'` with the same dropped x'.
    @Test(arguments: [0, 0.5]) func doraDropsTheInputOfItsOwnShare(_ p: Double) throws {
      let (linear, x) = try layer()
      let attached = try attach(small { ($0.useDora, $0.loraDropout) = (true, p) }, to: linear)
      try perturb(attached)
      let (a, b, m) = (attached.state()[0].tensor, attached.state()[1].tensor, attached.state()[2].tensor)
      let context = ForwardContext(seed: 9)
      context.isTraining = true
      context.begin()
      let y = try linear(x, context)
      context.resume(after: 0)
      context.begin()
      let dropped = try x.dropout(context.dropout(p))
      try Autograd.noGrad {
        let update = try b.matmul(a).mul(3)
        let ratio = try m.div(linear.weight.add(update).norm(2, [1]))
        let expected = try x.linear(linear.weight, linear.bias)
          .add(dropped.linear(linear.weight).mul(ratio.sub(1))).add(dropped.linear(update).mul(ratio))
        #expect(try compare("y", y, expected, absolute: 1e-5))
        if p == 0 {
          let whole = try x.linear(linear.weight.add(update).mul(ratio.unsqueeze(1)), linear.bias)
          #expect(try compare("y of diag(m / n) (W + s B A)", y, whole, absolute: 1e-5))
        }
      }
      #expect(p == 0 || dropped.values.contains(0))
    }

    @Test func doraOnARowOfZerosIsFinite() throws {
      let (linear, x) = try layer()
      for i in 0..<linear.inFeatures { linear.weight.set(0, at: i) }
      let attached = try attach(small { $0.useDora = true }, to: linear)
      let context = ForwardContext()
      let before = try x.linear(linear.weight, linear.bias)
      #expect(try compare("y", linear(x, context), before, absolute: 1e-6))
      try linear(x, context).sum().backward()
      #expect(attached.state().allSatisfy { $0.tensor.grad?.firstNonFinite == nil })
    }

    /// A0 B0 is the best approximation of its rank: what is left has the weight's other singular values.
    @Test(arguments: [(9, 5, true), (5, 9, true), (6, 6, false)])
    func pissaTakesTheFirstSingularVectors(_ out: Int, _ width: Int, _ isExact: Bool) throws {
      let (linear, _) = try layer(out: out, in: width)
      let weight = linear.weight.values
      let attached = try attach(small { $0.initLoraWeights = isExact ? .pissa : .pissaIterations(30) }, to: linear)
      let (a, b) = (attached.state()[0].tensor, attached.state()[1].tensor)
      #expect(attached.state().count == (isExact ? 2 : 4))
      try Autograd.noGrad {
        let rest = try linear.weight.sub(b.matmul(a).mul(3)).svd().s.values
        let all = try linear.weight.svd().s.values
        for (left, expected) in zip(rest, all.dropFirst(2)) { #expect(abs(left - expected) < 1e-4) }
        // Both factors carry the same share.
        #expect(abs(a.sumOfSquares - b.sumOfSquares) < 1e-4 * a.sumOfSquares)
      }
      try perturb(attached)
      try linear.merge()
      #expect(linear.weight.values != weight)
      try attached.detach()
      #expect(linear.weight.values == weight)
    }

    @Test func orthogonalStartChangesNothingAndTrainsBoth() throws {
      let (linear, x) = try layer()
      let before = try x.linear(linear.weight, linear.bias)
      let attached = try attach(small { ($0.r, $0.initLoraWeights) = (4, .orthogonal) }, to: linear)
      let y = try linear(x, ForwardContext())
      #expect(try compare("y", y, before, absolute: 1e-5))
      try y.mul(y).sum().backward()
      #expect(attached.state().allSatisfy { ($0.tensor.grad?.sumOfSquares ?? 0) > 0 && $0.tensor.sumOfSquares > 0 })
      #expect(
        message { _ = try attach(small { ($0.r, $0.initLoraWeights) = (3, .orthogonal) }, to: layer().linear) }
          == "init_lora_weights = 'orthogonal' needs an even rank, layer 'query' has r = 3")
    }

    @Test func optionsThatDoNotGoTogetherAreRefused() throws {
      let text = message { _ = try attach(small { ($0.useDora, $0.initLoraWeights) = (true, .pissa) }, to: layer().linear) }
      #expect(
        text == "use_dora with init_lora_weights = 'pissa': DoRA's magnitudes are those of the whole weight; use one of them")
    }

    /// With a frozen A, nothing of the input's size waits for the backward pass.
    @Test(arguments: [("lora", true), ("lora_fa", false)]) func inputIsKeptOnlyWhereATrains(_ name: String, _ isKept: Bool) throws {
      let (linear, x) = try layer()
      let method: any AdapterMethod = try name == "lora" ? small { _ in } : LoRAFA(table: ConfigTable(fields: ["r": .integer(2)]))
      _ = try attach(method, to: linear)
      weak var kept: Storage?
      var y: Tensor?
      do {
        let input = try x.copy()
        kept = input.storage
        y = try linear(input, ForwardContext())
      }
      #expect((kept != nil) == isKept)
      #expect(y?.requiresGrad == true)
    }

    /// Whose update does not notice a factor of the gradient: AdamW's parity cases cannot see `1 / s^2`.
    @Test func projectedGradientSolvesForAAndScale() throws {
      let (linear, x) = try layer()
      var method = LoRAFA()
      (method.r, method.loraAlpha, method.variant) = (2, 6, .projected)
      let attached = try attach(method, to: linear)
      let (a, b) = (attached.state()[0].tensor, attached.state()[1].tensor)
      try linear(x, ForwardContext()).mul(x.sum()).sum().backward()
      let before = try #require(b.grad).copy()
      let training = try #require(attached.training)
      let place = TrainingPlace(step: 0, totalSteps: 1, seed: 1)
      try training.begin(place)
      try training.beforeUpdate(place)
      let back = try Autograd.noGrad { try #require(b.grad).matmul(a.matmul(a.permute([1, 0]))).mul(9) }
      #expect(try compare("g A A^T s^2", back, before, relative: 1e-4))
      #expect(before.sumOfSquares > 0 && b.grad?.values != before.values)
    }

    @Test func trainedWeightKeepsAMergedDoRA() throws {
      let model = try tinyModel("tiny-bert")
      try perturb(model.attach(small { $0.useDora = true }))
      try model.merge(probe: tinyBatch())
      let full = try model.attach(FullFineTuning(), name: "full")
      try perturb(full)
      #expect(message { try model.unmerge() }?.contains("its merge is no sum that can be subtracted") == true)
    }

    /// What torch 2.15 draws: `torch.empty(4).uniform_(-1, 2, generator=torch.Generator().manual_seed(seed))`, and the
    /// element 1999 of 2000.
    @Test(arguments: torchDraws) func torchGeneratorIsTheSame(_ row: (seed: UInt64, first: [Float], last: Float)) throws {
      var generator = TorchRandom(seed: row.seed)
      let values = try generator.uniform([2000], low: -1, high: 2).floats
      #expect(Array(values.prefix(4)) == row.first && values[1999] == row.last)
    }

    /// The first factor of a LoKr's sizes: PEFT's `factorization`.
    @Test func lokrSplitsSizesAsPEFTDoes() throws {
      let sizes: [(out: Int, in: Int, factor: Int?, shape: [Int])] = [
        (256, 128, nil, [16, 8]), (127, 12, nil, [1, 3]), (128, 128, 4, [4, 4]), (12, 8, 5, [3, 2]), (8, 8, 4, [4, 4]),
        (768, 3072, nil, [24, 48]),
      ]
      for row in sizes {
        let linear = Linear(weight: try .zeros([row.out, row.in]), bias: nil)
        var lokr = LoKr()
        lokr.decomposeFactor = row.factor
        let attached = try attach(lokr, to: linear)
        #expect(attached.state()[0].tensor.shape == row.shape)
        #expect(try #require(attached.linearAdapters[0].adapter as? any SummedAdapter).deltaWeight().shape == [row.out, row.in])
      }
    }

    @Test func patternsAreReadFromTablesAndText() throws {
      let pattern = try LayerPattern<Int>.decode(.table(ConfigTable(fields: ["query": .integer(2), "0.*query": .integer(3)])))
      #expect(pattern["a.0.b.query"] == 3 && pattern["a.1.b.query"] == 2 && pattern["a.key"] == nil)
      #expect(try LayerPattern<Int>.decode(text: "query=2,0.*query=3") == pattern)
      #expect(try LayerPattern<Double>.decode(text: "").patterns.isEmpty)
      func error(_ body: () throws -> LayerPattern<Int>) -> ValueMismatch? {
        do { _ = try body() } catch { return error as? ValueMismatch }
        return nil
      }
      #expect(error { try .decode(.integer(3)) }?.expected == "a table of patterns with integers")
      #expect(
        error { try .decode(.table(ConfigTable(fields: ["(": .integer(3)]))) }?.found.hasPrefix("'(' is not a valid regular expression: ") == true)
      #expect(error { try .decode(.table(ConfigTable(fields: ["q": .text("x")]))) }?.place == "['q']")
      #expect(error { try .decode(text: "query") }?.expected == "pattern=value, separated by commas")
    }

    @Test func startsHavePEFTsWords() throws {
      let words = ["true", "false", "gaussian", "orthogonal", "pissa", "pissa_niter_16", "olora"]
      for word in words { #expect(try LoRAStart.decode(.text(word)).word == word) }
      #expect(try LoRAStart.decode(.bool(true)) == .kaiming && LoRAStart.decode(.bool(false)) == .random)
      for bad in ["pisa", "pissa_niter_", "pissa_niter_-1", "pissa_niter_x", "pissa_niter_99999999999999999999"] {
        #expect(throws: ValueMismatch.self) { try LoRAStart.decode(.text(bad)) }
      }
    }

    /// The folder is PEFT's, and what PEFT has no words for stands beside it.
    @Test func loraFAFoldersKeepTheirVariant() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-bert")
        var method = LoRAFA()
        method.variant = .projected
        try model.attach(method).save(to: folder + "/a", baseModelName: "x")
        #expect(try AdapterFacts(folder: folder + "/a").baseDigest == nil)
        let config = try HuggingFaceConfig(folder: folder + "/a", file: "adapter_config.json")
        #expect(config["peft_type"] == "LORA" && config["variant"] == nil)
        let other = try tinyModel("tiny-bert")
        let loaded = try AttachedAdapter.load(folder: folder + "/a", into: other, headModules: other.headModules)
        #expect((loaded.method as? LoRAFA)?.variant == .projected)
        try AtomicFile.write(["adapter": ["method": "lora_fa", "variant": "both"]], to: folder + "/a/perigee.json")
        let text = message { _ = try AttachedAdapter.load(folder: folder + "/a", into: tinyModel("tiny-bert"), headModules: ["classifier"]) }
        #expect(text?.hasSuffix("'variant' must be one of 'plain', 'projected', got 'both'") == true)
      }
    }

    /// A random layer of the head goes with the adapter that adapts it; as a LoRA, with the update in its weight.
    @Test func adaptedHeadIsSavedWhole() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        var method = LoRAMini()
        (method.r, method.a, method.b) = (2, 4, 4)
        let attached = try model.attach(method)
        #expect(attached.sites.last == "classifier.dense" && attached.savedModules == ["classifier.out_proj"])
        try attached.save(to: folder + "/a", baseModelName: "x")
        let names = try SafetensorsFile(folder + "/a/adapter_model.safetensors").names
        #expect(names.contains("base_model.model.classifier.dense.base_layer.weight"))
        try attached.exportAsLoRA(to: folder + "/b", baseModelName: "x")
        let file = try SafetensorsFile(folder + "/b/adapter_model.safetensors")
        #expect(!file.names.contains { $0.hasPrefix("base_model.model.classifier") && $0.contains("lora") })
        let weight = try file.tensor("base_model.model.classifier.dense.weight").values
        let own = try #require(model.namedParameters().first { $0.name == "classifier.dense.weight" })
        #expect(weight.count == own.tensor.count && weight != own.tensor.values)
      }
    }
  }
}
