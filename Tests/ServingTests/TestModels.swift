import Adapters
import Checkpoints
import Engine
import Files
import Foundation
import Tasks
import TensorCore
import Training
import TransformerModels

@testable import Serving

/// Tiny models with random weights: two classifiers and a regression on one body, and a model that writes.
enum TestModels {
  static func make() throws -> ServedModels {
    let (base, tokenizer) = try BuiltInModel.make(BuiltInModel.name, seed: 3)
    var models: [ServedModel] = []
    for (name, type) in [
      ("three", SequenceClassification(labels: ["x", "y", "z"])), ("two", SequenceClassification(labels: ["no", "yes"])), ("number", Regression()),
    ] as [(String, any SequenceTaskType)] {
      let network = try base.make(type.head, headSeed: 4)
      // Heads begin with weights so small that all classes are equally probable.
      let source = RandomSource(seed: 5, stream: RandomSource.stream(named: name))
      try Autograd.noGrad {
        for (_, tensor) in network.headParameters { try tensor.copyInPlace(Tensor.randn(tensor.shape, source).mul(0.5)) }
      }
      models.append(
        try ServedModel(name: name, root: name, TrainableModel(type, network: network, base: base, tokenizer: tokenizer), maxLength: 24))
    }
    let config = HuggingFaceConfig(
      [
        "model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 48, "vocab_size": .int(tokenizer.vocabularySize),
        "initializer_range": 0.4,
      ], path: "gpt")
    let writer = try PretrainedModel(config: config, name: "gpt", seed: 7)
    let network = try writer.languageModel(CausalLM.self, seed: 7)
    models.append(
      try ServedModel(name: "writer", root: "gpt", TrainableModel(CausalLM(), network: network, base: writer, tokenizer: tokenizer), maxLength: 24))
    return ServedModels(all: models)
  }

  static subscript(_ models: ServedModels, _ name: String) -> ServedModel { models.all.first { $0.name == name } ?? models.all[0] }

  /// A server on a free port, for the time of `body`.
  static func serve(
    _ change: (inout ServerOptions) -> Void = { _ in }, limits: Listener.Limits = Listener.Limits(),
    _ body: (Server, _ address: String) async throws -> Void
  ) async throws {
    var options = ServerOptions()
    (options.port, options.maxLength) = (0, 24)
    change(&options)
    let server = try Server(try make(), options, limits: limits)
    let address = try await server.start()
    do { try await body(server, address) } catch {
      await server.stop()
      throw error
    }
    await server.stop()
  }
}

/// Keeps the model thread busy, so that requests wait for each other.
final class Obstacle: Work, @unchecked Sendable {
  let group: String? = nil
  let isOver = false
  private let gate = Gate()

  /// Returns when the thread does nothing else.
  init(_ server: Server) async throws {
    try server.thread.add(self)
    try await waitWhile { server.thread.waitingCount > 0 }
  }

  func fail(_ error: any Error) {}
  func turn(with others: [any Work], between: () -> Void) throws -> [any Work] {
    gate.wait()
    return []
  }
  func open() { gate.open() }
}

/// Lets through once it is open.
final class Gate: @unchecked Sendable {
  private let condition = NSCondition()
  private var isOpen = false

  func wait() {
    condition.lock()
    defer { condition.unlock() }
    while !isOpen { condition.wait() }
  }

  func open() {
    condition.lock()
    defer { condition.unlock() }
    isOpen = true
    condition.broadcast()
  }
}
