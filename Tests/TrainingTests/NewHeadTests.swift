import Adapters
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

@testable import Training

private let methods: [(name: String, method: any AdapterMethod)] = {
  var (dora, pissa, drawn) = (LoRA(), LoRA(), LoRA())
  (dora.useDora, pissa.initLoraWeights, drawn.initLoraWeights) = (true, .pissa, .pissaIterations(2))
  return [
    ("lora", LoRA()), ("dora", dora), ("pissa", pissa), ("pissa, drawn", drawn), ("lora_fa", LoRAFA()), ("vera", VeRA()),
    ("lora_mini", LoRAMini()), ("loha", LoHa()), ("lokr", LoKr()),
  ]
}()

/// A model for another task on an adapted body.
@Suite(.engine) struct NewHeadTests {
  @Test(arguments: ["tiny-bert", "tiny-roberta"], methods.indices) func adaptersGoWithTheBody(_ family: String, _ index: Int) throws {
    let model = try FrozenCase(testDescription: "", family: family).model()
    let row = methods[index]
    let attached = try model.addAdapter(row.method, name: "first", seed: 3)
    for (name, tensor) in attached.state() where tensor.requiresGrad {
      try Autograd.noGrad {
        try tensor.addInPlace(.randn(tensor.shape, std: 0.1, RandomSource(seed: 2, stream: RandomSource.stream(named: name))))
      }
    }
    let fresh = try model.newHead(FrozenTask.task.modelTask, seed: 9)
    let copy = try #require(fresh.adapters.first)
    #expect(copy.sites == attached.sites.filter { !attached.isInHead($0) }, "\(row.name)")
    for (path, _, adapter) in copy.linearAdapters {
      let source = try #require(attached.linearAdapters.first { $0.path == path })
      #expect(try adapter.deltaValues(source.linear) == source.adapter.deltaValues(source.linear), "\(row.name): \(path)")
    }
    // The new head trains, and nothing else.
    let head = Set(fresh.network.headParameters.map(\.name))
    #expect(Set(fresh.network.trainableParameters().map(\.name)) == head && !head.isEmpty)
  }
}

extension LinearAdapter {
  /// What a merge makes of a layer's weight.
  fileprivate func deltaValues(_ layer: Linear) throws -> [Double] {
    try Autograd.noGrad { try merged(layer.base.weight.copy(), nil, of: layer).weight.values }
  }
}
