import Adapters
import Diagnostics
import Engine
import Files
import Foundation
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import Training
import TransformerModels

@testable import Serving

/// Models as a command names them.
@Suite(.engine, .serialized) struct LoadingTests {
  /// A body without a head, and two adapters with heads of their own, in folders.
  private func write(to folder: String) throws {
    let (base, tokenizer) = try BuiltInModel.make(BuiltInModel.name, seed: 3)
    let body = try base.languageModel(MaskedLM.self, seed: 3)
    try TrainableModel(MaskedLM(), network: body, base: base, tokenizer: tokenizer).saveModel(to: folder + "/body")
    let saved = try PretrainedModel(name: folder + "/body")
    for (name, labels) in [("kind", ["a", "b", "c"]), ("urgent", ["no", "yes"])] {
      let type = SequenceClassification(labels: labels)
      let network = try saved.make(type.head, headSeed: 4, newHead: true)
      let model = TrainableModel(type, network: network, base: saved, tokenizer: try Tokenizer.load(folder: folder + "/body"))
      var targets = AdapterTargets()
      targets.modulesToSave = ["classifier"]
      let adapter = try model.addAdapter(LoRA(), targets: targets, seed: 5)
      try Autograd.noGrad {
        let source = RandomSource(seed: 6, stream: RandomSource.stream(named: name))
        for (_, tensor) in network.trainableParameters() { try tensor.copyInPlace(Tensor.randn(tensor.shape, source).mul(0.3)) }
      }
      try model.save(adapter, to: folder + "/" + name)
    }
  }

  @Test func adaptersShareTheirBody() async throws {
    let folder = try temporaryFolder()
    defer { removeTree(folder) }
    try write(to: folder)
    let models = try ServedModels.load([folder + "/body/"], adapters: [folder + "/kind", "u=" + folder + "/urgent"], maxLength: 16, seed: 1)
    #expect(models.all.map(\.name) == ["body", "kind", "u"])
    #expect(models.all.map { $0.predictor?.labels } == [nil, ["a", "b", "c"], ["no", "yes"]])
    let frozen = models.all.map { model in model.trained.network.namedParameters().first { $0.name.hasSuffix("layer.0.output.dense.weight") }?.tensor
    }
    #expect(frozen[0] != nil && frozen[0]?.pointer == frozen[1]?.pointer && frozen[0]?.pointer == frozen[2]?.pointer)

    var options = ServerOptions()
    (options.port, options.maxLength) = (0, 16)
    let server = try Server(models, options)
    let address = try await server.start()
    for model in models.all.dropFirst() {
      // What the adapter's own folder gives when it is asked alone.
      let alone = try Session(asking: 1).trainedModel(folder + "/body", adapters: [model.root])
      guard case .label(let label, let index, let probabilities) = try Predictor(alone, maxLength: 16).predictions(for: [Predictor.Input("a dog")])[0]
      else { return }
      let answer = try await post(address, "/predict", #"{"inputs": "a dog", "model": "\#(model.name)"}"#)
      let first = answer.json?.arrayValue?[0]
      #expect(first?["label"]?.stringValue == label && abs((first?["score"]?.doubleValue ?? 0) - probabilities[index]) < 1e-6, "\(answer.body)")
    }
    // The body alone has no head that answers, but vectors.
    #expect(try await post(address, "/predict", #"{"inputs": "a", "model": "body"}"#).message.contains("needs one that classifies"))
    let vectors = try await post(address, "/v1/embeddings", #"{"input": ["a dog", "no"], "model": "body"}"#)
    let expected = try Embedder(models.all[0].trained).embeddings(of: ["a dog", "no"])
    for place in 0..<2 {
      let data = vectors.json?["data"]?.arrayValue?[place]["embedding"]?.arrayValue?.compactMap(\.doubleValue) ?? []
      expectClose("vector", data, expected.vector(place).map(Double.init), relative: 1e-5)
    }
    let first = try await post(
      address, "/v1/embeddings", #"{"input": "a dog", "model": "body", "encoding_format": "base64", "pooling": "cls", "normalize": true}"#)
    let bytes = try #require(Data(base64Encoded: first.json?["data"]?.arrayValue?[0]["embedding"]?.stringValue ?? ""))
    let numbers = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    var choice = EmbeddingOptions()
    (choice.pooling, choice.normalize) = (.cls, true)
    expectClose(
      "vector", numbers.map(Double.init), try Embedder(models.all[0].trained, choice).embeddings(of: ["a dog"]).vector(0).map(Double.init),
      relative: 1e-5)
    for (body, words) in [
      (#"{"input": "a", "model": "body", "dimensions": 3}"#, "the model's vectors have"),
      (#"{"input": ["a", ""], "model": "body"}"#, "'input[2]' is empty"),
      (#"{"input": "a", "model": "body", "pooling": "man"}"#, "did you mean 'mean'?"),
      (#"{"input": [1, 2], "model": "body"}"#, "must be a string, got 1"),
    ] {
      let answer = try await post(address, "/v1/embeddings", body)
      #expect(answer.status == 400 && answer.message.contains(words), "\(answer.body)")
    }
    await server.stop()
  }

  @Test func mistakesAreNamed() throws {
    let folder = try temporaryFolder()
    defer { removeTree(folder) }
    try write(to: folder)
    func message(_ names: [String], _ adapters: [String] = []) -> String {
      do { _ = try ServedModels.load(names, adapters: adapters, maxLength: 16, seed: 1) } catch { return "\(error)" }
      return "no error"
    }
    let body = folder + "/body"
    #expect(message([body, body]).contains("its name is 'body', as that of"))
    #expect(message([body, "b=" + body]) == "no error")
    #expect(message([body, "b=" + body], [folder + "/kind"]).contains("2 models are given, and an adapter belongs to one"))
    #expect(message([folder + "/nowhere"]).contains("nowhere"))
    #expect(message([body], [folder + "/nowhere"]).contains("nowhere"))
  }

  private func temporaryFolder() throws -> String {
    let folder = FileManager.default.temporaryDirectory.path + "/perigee-" + UUID().uuidString
    try createFolder(folder)
    return folder
  }
}
