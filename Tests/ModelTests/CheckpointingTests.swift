import Adapters
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// Layers that are computed again in the backward pass: the same loss and gradients, bit by bit, and less memory.
@Suite(.engine) struct CheckpointingTests {
  private struct Step: Equatable {
    var loss: Double
    var gradients: [String: [Double]]
    var savedBytes = 0
  }

  private func step(_ name: String, checkpointed: Bool, trainsBody: Bool) throws -> Step {
    let model = try tinyModel(name)
    try model.setTrainable(trainsBody)
    if !trainsBody {
      var lora = LoRA()
      lora.loraDropout = 0.2
      try perturb(model.attach(lora))
    }
    model.context.isTraining = true
    model.context.gradientCheckpointing = checkpointed
    let batch = try tinyBatch()
    _ = try model.predict(batch)  // lays out frozen weights, which is memory of its own
    let before = Memory.liveBytes
    let loss = try model.loss(batch)
    let saved = Memory.liveBytes - before
    try loss.backward()
    let gradients = model.namedParameters().compactMap { name, tensor in tensor.grad.map { (name, $0.values) } }
    return Step(loss: try loss.item(), gradients: Dictionary(gradients) { a, _ in a }, savedBytes: saved)
  }

  @Test(arguments: tinyModels, Precision.allCases) func equalsPlainTraining(name: String, precision: Precision) throws {
    let previous = Precision.current
    Precision.current = precision
    defer { Precision.current = previous }
    for trainsBody in [false, true] {
      let plain = try step(name, checkpointed: false, trainsBody: trainsBody)
      let again = try step(name, checkpointed: true, trainsBody: trainsBody)
      #expect(plain.loss == again.loss)
      #expect(!plain.gradients.isEmpty)
      #expect(plain.gradients == again.gradients)
      #expect(again.savedBytes < plain.savedBytes * 3 / 4, "\(again.savedBytes) of \(plain.savedBytes)")
    }
  }
}
