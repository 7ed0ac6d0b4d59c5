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

extension DyLoRA {
  static let quick: DyLoRA = {
    var method = DyLoRA()
    method.r = 4
    return method
  }()
}

extension EngineTests {
  @Suite struct DyLoRATests {
    private func layers(_ attached: AttachedAdapter) -> [DyLoRAAdapter] {
      attached.linearAdapters.compactMap { $0.adapter as? DyLoRAAdapter }
    }

    /// Rows with a gradient, of A and of B's columns.
    private func rows(_ adapter: DyLoRAAdapter) throws -> [[Int]] {
      try [(adapter.a, 1), (adapter.b, 0)].map { factor, axis in
        let sizes = try #require(factor.grad).unary(.abs).sum([axis]).values
        return sizes.indices.filter { sizes[$0] > 0 }
      }
    }

    @Test(arguments: [false, true]) func onlyRowsInUseHaveAGradient(_ isFrozen: Bool) throws {
      var method = DyLoRA.quick
      (method.frozen, method.ranks) = (isFrozen, [3, 1, 4])
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(method)
      try perturb(attached)
      try train(model, attached, steps: 0..<3, of: 3) { step in
        let rank = method.ranks[step]
        for adapter in layers(attached) {
          let found = try rows(adapter)
          #expect(found == [[Int]](repeating: Array((isFrozen ? rank - 1 : 0)..<rank), count: 2))
        }
      }
    }

    @Test func allRanksAreDrawn() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(DyLoRA.quick)
      let training = try #require(attached.training)
      var counts = [Int](repeating: 0, count: 5)
      for step in 0..<400 {
        try training.beforeStep(TrainingPlace(step: step, totalSteps: 400, seed: 3))
        let ranks = Set(layers(attached).map(\.rank))
        #expect(ranks.count == 1)
        counts[ranks.first ?? 0] += 1
      }
      #expect(counts[0] == 0 && counts[1...].allSatisfy { 70...130 ~= $0 }, "\(counts)")
    }

    /// Each rank is a LoRA of that rank.
    @Test(arguments: 1...4) func everyRankIsALoRA(_ rank: Int) throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        let attached = try model.attach(DyLoRA.quick)
        try perturb(attached)
        try attached.setRank(rank)
        try attached.exportAsLoRA(to: folder + "/lora", baseModelName: "x")
        try attached.save(to: folder + "/own", baseModelName: "x")
        for part in ["lora", "own"] {
          let other = try tinyModel("tiny-roberta", headSeed: 9)
          let loaded = try AttachedAdapter.load(folder: folder + "/" + part, into: other, headModules: other.headModules)
          #expect(try compare(part, other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-5))
          if let lora = loaded.method as? LoRA { #expect(lora.r == rank && lora.loraAlpha == 8) }
        }
        if rank < 4 {
          let before = try model.predict(tinyBatch()).values
          try attached.setRank(rank + 1)
          #expect(try model.predict(tinyBatch()).values != before)
        }
      }
    }

    /// The head is the model's own: a folder that is refused has not touched it.
    @Test func aRankThatIsNoneLeavesTheModelAsItWas() throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        let attached = try model.attach(DyLoRA.quick)
        try #require(model.namedParameters().first { $0.name.hasSuffix("dylora_rank") }).tensor.fill(2.5)
        try attached.save(to: folder + "/a", baseModelName: "x")
        let other = try tinyModel("tiny-roberta", headSeed: 9)
        let before = other.namedParameters().map { ($0.name, $0.tensor.values) }
        let problem = message {
          _ = try AttachedAdapter.load(folder: folder + "/a", into: other, headModules: other.headModules)
        }
        #expect(problem?.hasSuffix("dylora_rank' is 2.5, expected a whole number from 1 to 4") == true, "\(problem ?? "")")
        #expect(other.namedParameters().elementsEqual(before) { $0.name == $1.0 && $0.tensor.values == $1.1 })
      }
    }

    @Test func mistakesAreNamed() throws {
      let model = try tinyModel("tiny-roberta")
      let attached = try model.attach(DyLoRA.quick)
      #expect(message { try attached.setRank(5) } == "set_rank: r = 5: expected 1 to 4")
      try model.merge()
      #expect(message { try attached.setRank(1) }?.contains("is merged into") == true)
      let lora = try model.attach(LoRA(), name: "lora")
      #expect(message { try lora.setRank(1) } == "set_rank: adapter 'lora' is of method 'lora', expected 'dylora'")
      var method = DyLoRA.quick
      method.ranks = [5]
      #expect(message { try model.attach(method, name: "x") } == "dylora options: ranks: 5 is more than r = 4")
    }
  }
}
