import Adapters
import NN
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

@testable import Training

/// A model for another task has what the adapters learnt, wherever that is.
@Suite(.engine) struct CarriedAdapterTests {
  static let methods: [any AdapterMethod] = {
    var prefix = PrefixTuning()
    (prefix.numVirtualTokens, prefix.prefixProjection) = (2, true)
    var text = PromptTuning()
    (text.numVirtualTokens, text.promptTuningInit, text.promptTuningInitText) = (3, .text, "good film")
    return [IA3(), Houlsby(), Pfeiffer(), prefix, text, PTuning(), BitFit(), SelectiveFineTuning()]
  }()

  @Test(arguments: methods.indices) func adaptersAreCarriedOver(_ index: Int) throws {
    let method = Self.methods[index]
    let plain = try FrozenCase(testDescription: "").model()
    let model = TrainableModel(
      FrozenTask.type, network: try plain.base.make(FrozenTask.type.head, headSeed: 6), base: plain.base, tokenizer: plain.tokenizer)
    let attached = try model.addAdapter(method, seed: 3)
    #expect(!attached.carriedParameters.isEmpty)
    for (name, tensor) in attached.carriedParameters {
      try Autograd.noGrad {
        try tensor.addInPlace(.randn(tensor.shape, std: 0.3, RandomSource(seed: 4, stream: RandomSource.stream(named: name))))
      }
    }
    let next = try model.newHead(SequenceClassification(labels: ["a", "b", "c"]), seed: 7)
    let copy = try #require(next.adapters.first)
    #expect(copy.carriedParameters.map(\.name) == attached.carriedParameters.map(\.name))
    for (a, b) in zip(attached.carriedParameters, copy.carriedParameters) { #expect(a.tensor.values == b.tensor.values, "\(a.name)") }
    #expect(next.network.maxLength == model.network.maxLength)
    #expect(Set(next.network.trainableParameters().map(\.name)) == Set(next.network.headParameters.map(\.name)))
    // What was learnt is the adapter's, not the body's.
    #expect(!model.trainsBody)
  }

  @Test func textsAreTokenized() throws {
    let plain = try FrozenCase(testDescription: "").model()
    let model = TrainableModel(
      FrozenTask.type, network: try plain.base.make(FrozenTask.type.head, headSeed: 6), base: plain.base, tokenizer: plain.tokenizer)
    var text = PromptTuning()
    (text.numVirtualTokens, text.promptTuningInit, text.promptTuningInitText) = (9, .text, "good film")
    let prompt = try #require(try model.addAdapter(text, seed: 3).carriedParameters.first).tensor
    let table = try #require(model.network.namedParameters().first { $0.name.hasSuffix("word_embeddings.weight") }).tensor
    let ids = try plain.tokenizer.encode("good film").ids
    #expect(try prompt.values == table.gatherRows((0..<9).map { ids[$0 % ids.count] }).values)
  }
}
