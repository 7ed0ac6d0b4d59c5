import Adapters
import Diagnostics
import Generation
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// Steps in which texts begin, fork, end and go on in another order; an encoder reads inputs of other lengths.
private let steps: [[GrowingRow]] = {
  func row(_ parent: Int?, _ tokens: Int32..., room: Int = 8) -> GrowingRow {
    GrowingRow(parent: parent, input: parent == nil ? tokens.map { $0 + 1 } + [90, tokens[0], 2] : [], tokens: tokens, room: room)
  }
  return [
    [row(nil, 5, 9, 30), row(nil, 7)],
    [row(0, 11), row(0, 12), row(1, 13), row(0, 14)],
    // The third text ends, another one begins, the second forks.
    [row(3, 21), row(1, 22), row(nil, 40, 41, 42, 43, 44), row(1, 23), row(1, 24), row(0, 25)],
    [row(5, 31), row(4, 32), row(2, 33), row(2, 34), row(0, 35), row(1, 36)],
    [row(2, 51), row(3, 52), row(0, 53), row(nil, 60)],
    [row(0, 61), row(1, 62), row(2, 63), row(3, 64)],
  ]
}()

/// The largest difference of the scores with a cache from those without one.
private func difference(_ model: TransformerModel) throws -> Double {
  let (cached, plain) = (CachedScores(model), UncachedScores(model))
  return try steps.reduce(0) { largest, rows in
    let (a, b) = (try cached.scores(rows), try plain.scores(rows))
    guard a.shape == b.shape else { return .infinity }
    return zip(a.values, b.values).reduce(largest) { $1.0 == $1.1 ? $0 : abs($1.0 - $1.1) <= $0 ? $0 : abs($1.0 - $1.1) }
  }
}

extension GenerationTests {
  @Suite struct CacheTests {
    static let models = ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "tiny-smollm2"] + encoderDecoders

    @Test(arguments: models) func scoresAreThoseWithoutACache(_ name: String) throws {
      #expect(try difference(tinyModel(name)) < 1e-5)
    }

    @Test(arguments: ["tiny-gpt2", "tiny-llama"])
    func weightsInFourBits(_ name: String) throws {
      let model = try tinyModel(name, WeightQuantization(QuantizationConfig(.nf4, blocksize: 32)))
      #expect(!model.quantizedWeights.isEmpty)
      #expect(try difference(model) < 1e-5)
    }

    /// Every method, as it is attached by default and away from its start; merged where it can be.
    @Test(arguments: ["tiny-gpt2", "tiny-llama", "tiny-bart", "tiny-t5"])
    func everyAdapter(_ name: String) throws {
      var tried: [String] = []
      for method in AdapterCatalogue.methods where method != ClassifierOnly.self {
        let model = try tinyModel(name)
        let attached: AttachedAdapter
        do {
          attached = try AttachedAdapter.attach(
            method.init(), to: model, name: "default", targets: AdapterTargets(), defaultTargets: model.architecture.defaultTargetModules,
            head: model.headModules, seed: 3)
        } catch let error as EngineError where error.kind == .argument { continue }
        for (i, parameter) in model.trainableParameters().enumerated() {
          try parameter.tensor.makeExclusive()
          try parameter.tensor.assign(
            Autograd.noGrad { try parameter.tensor.add(.randn(parameter.tensor.shape, std: 0.05, RandomSource(seed: 8, stream: UInt32(i)))) })
        }
        #expect(try difference(model) < 1e-5, "\(method.name)")
        let linears = attached.linearAdapters.map { $0.1 }
        if attached.method.isMergeable, !linears.isEmpty {
          for linear in linears { try linear.merge() }
          #expect(try difference(model) < 1e-5, "\(method.name), merged")
        }
        tried.append(method.name)
      }
      #expect(tried.contains("prefix_tuning") && tried.contains("prompt_tuning") && tried.contains("p_tuning") && tried.contains("lora"))
      #expect(tried.count >= 16, "\(tried)")
    }

    /// Rows are given back: a long run needs no more of them than the texts of one step.
    @Test(arguments: ["tiny-gpt2", "tiny-bart"]) func aCacheDoesNotGrowWithTheTextsThatEnded(_ name: String) throws {
      let model = try tinyModel(name)
      let cached = CachedScores(model)
      var sizes: [Int] = []
      for _ in 0..<20 {
        _ = try cached.scores([GrowingRow(parent: nil, input: [5, 6, 7, 8, 2], tokens: [3, 4, 5], room: 6)])
        for _ in 0..<3 { _ = try cached.scores([0, 0, 0].map { GrowingRow(parent: $0, tokens: [7], room: 1) }) }
        sizes.append(cached.capacity)
      }
      #expect(Set(sizes).count == 1, "\(sizes)")
    }
  }
}
