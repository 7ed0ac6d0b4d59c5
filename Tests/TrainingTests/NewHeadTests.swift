import Adapters
import Diagnostics
import NN
import Tasks
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
    let fresh = try model.newHead(FrozenTask.type, seed: 9)
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

/// A DeLoRA that took the place of a LoRA, in other models.
@Suite(.engine) struct AdapterOverAnotherTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var r = 4
    var alpha = 4.0
    var isRankStabilized = false
    var ranks: [String: Int] = [:]
    var names = (lora: "default", delora: "default")
    var over = "lora"
  }

  static let rows = [
    Row(testDescription: "alpha = r", r: 8, alpha: 8),
    Row(testDescription: "another rank"),
    Row(testDescription: "odd scale", r: 3, alpha: 5, isRankStabilized: true),
    Row(testDescription: "ranks by layer", ranks: ["layer.1.attention.self.query": 2, "value": 6]),
    Row(testDescription: "names", names: ("mnli", "rte"), over: "mnli"),
    Row(testDescription: "name of the method", names: ("mnli", "rte")),
  ]

  /// A model with a trained LoRA and a trained DeLoRA over it.
  private func model(_ row: Row) throws -> TrainableModel {
    let model = try FrozenCase(testDescription: "").model()
    var (lora, delora, targets) = (LoRA(), DeLoRA(), AdapterTargets())
    (lora.r, lora.loraAlpha, lora.useRslora, lora.initLoraWeights) = (row.r, row.alpha, row.isRankStabilized, .random)
    lora.rankPattern = try LayerPattern.decode(.table(ConfigTable(fields: row.ranks.mapValues { $0.configValue })))
    targets.targetModules = .suffixes(["query", "value"])
    try model.addAdapter(lora, name: row.names.lora, targets: targets, seed: 3)
    delora.over = row.over
    let attached = try model.addAdapter(delora, name: row.names.delora, seed: 4)
    for (name, tensor) in attached.state() where name.hasSuffix("delora_sigma") {
      try Autograd.noGrad {
        try tensor.addInPlace(.randn(tensor.shape, std: 0.3, RandomSource(seed: 2, stream: RandomSource.stream(named: name))))
      }
    }
    return model
  }

  private func deltas(_ model: TrainableModel) throws -> [String: [Double]] {
    let attached = try #require(model.adapters.first { $0.method is DeLoRA })
    return Dictionary(
      uniqueKeysWithValues: try attached.linearAdapters.map { ($0.path, try #require($0.adapter as? any SummedAdapter).deltaWeight().values) })
  }

  @Test(arguments: rows) func newHeadHasItsRankAndScale(_ row: Row) throws {
    let model = try model(row)
    let next = try model.newHead(FrozenTask.type, seed: 9)
    #expect(next.adapters.map(\.name) == [row.names.delora])
    let (expected, found) = (try deltas(model), try deltas(next))
    #expect(found.count == 6 && Set(found.keys) == Set(expected.keys))
    for (path, values) in expected { #expect(found[path].map { near($0, values) } == true, "\(path)") }
    // And so has a model that was made from that one.
    #expect(try deltas(next.newHead(FrozenTask.type, seed: 10)).allSatisfy { near($1, expected[$0] ?? []) })
  }

  @Test(arguments: rows) func folderHasItsRankAndScale(_ row: Row) throws {
    try withTemporaryFolder { folder in
      let model = try model(row)
      try model.save(model.adapter(named: row.names.delora), to: folder + "/adapter")
      let other = try FrozenCase(testDescription: "").model()
      try other.loadAdapter(folder + "/adapter", name: "loaded", head: .saved)
      let (expected, found) = (try deltas(model), try deltas(other))
      #expect(Set(found.keys) == Set(expected.keys))
      for (path, values) in expected { #expect(found[path].map { near($0, values) } == true, "\(path)") }
    }
  }

  /// The rest of a LoRA of the same name would be saved nowhere; under another name it is an adapter of its own.
  @Test func restOfALoRAIsNotLost() throws {
    func model(_ names: (lora: String, delora: String)) throws -> TrainableModel {
      let model = try FrozenCase(testDescription: "").model()
      var (lora, delora, targets) = (LoRA(), DeLoRA(), AdapterTargets())
      (lora.r, lora.initLoraWeights, delora.over) = (4, .random, "lora")
      targets.targetModules = .suffixes(["query", "value"])
      try model.addAdapter(lora, name: names.lora, targets: targets, seed: 3)
      targets.targetModules = .suffixes(["query"])
      try model.addAdapter(delora, name: names.delora, targets: targets, seed: 4)
      return model
    }
    #expect {
      _ = try model(("b", "b"))
    } throws: {
      "\($0)".contains("over: adapter 'b' adapts 'roberta.encoder.layer.0.attention.self.value' too")
    }
    let parts = try model(("b", "c"))
    let values = try parts.adapter(named: "b").sites
    #expect(values.count == 3 && values.allSatisfy { $0.hasSuffix("value") })
    try withTemporaryFolder { folder in
      let other = try FrozenCase(testDescription: "").model()
      for name in ["b", "c"] {
        try parts.save(parts.adapter(named: name), to: folder + "/" + name)
        try other.loadAdapter(folder + "/" + name, name: name, head: .saved)
      }
      let probe = try parts.probe()
      #expect(try other.network.predictInFloat32(probe).difference(from: parts.network.predictInFloat32(probe), tolerance: 1e-5) == nil)
    }
    #expect(try parts.newHead(FrozenTask.type, seed: 9).adapters.last?.sites.count == 3)
  }

  private func near(_ a: [Double], _ b: [Double]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= 1e-6 * max(1, abs($1)) }
  }
}

extension LinearAdapter {
  /// What a merge makes of a layer's weight.
  fileprivate func deltaValues(_ layer: Linear) throws -> [Double] {
    try Autograd.noGrad { try merged(layer.base.weight.copy(), nil, of: layer).weight.values }
  }
}
