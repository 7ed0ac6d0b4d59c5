import Adapters
import Checkpoints
import Diagnostics
import Foundation
import NN
import Optimizers
import TensorCore
import TestSupport
import Testing
import TransformerModels

private let fixtures = packageRoot + "/Tests/Fixtures"

/// The bars of parity in fp32: logits absolute; losses and gradients relative.
private let tolerance = 1e-4

extension EngineTests {
  @Suite struct ParityTests {
    static let cases = try? FileManager.default.contentsOfDirectory(atPath: fixtures + "/cases")
      .filter { $0.hasSuffix(".safetensors") }.sorted()

    @Test func allCasesAreThere() { #expect((Self.cases ?? []).count >= 15) }

    @Test(arguments: cases ?? []) func tinyModelMatchesTheReference(_ name: String) throws {
      let fixture = try ParityFixture(fixtures + "/cases/" + name)
      try check(fixture, folder: fixtures + "/models/" + fixture.text("model"))
    }

    @Test(
      .enabled(if: FileManager.default.fileExists(atPath: packageRoot + "/models/minilm"), "models/minilm is not there"),
      arguments: ["lora", "full", "classifier"])
    func miniLMMatchesTheReference(_ method: String) throws {
      let fixture = try ParityFixture(fixtures + "/minilm/minilm-\(method).safetensors")
      try check(fixture, folder: packageRoot + "/models/minilm")
    }

    @Test func shardedFolderIsTheSameModel() throws {
      let fixture = try ParityFixture(fixtures + "/cases/bert-lora.safetensors")
      try check(fixture, folder: fixtures + "/models/tiny-bert-sharded")
    }

    private func check(_ fixture: ParityFixture, folder: String) throws {
      let (model, adapter) = try fixture.model(folder)
      let optimizer = Optimizer(AdamW(), ParameterGroup.decaying(model, weightDecay: fixture.number("weight_decay")))
      let schedule = Schedule(
        .linear, warmupSteps: Int(fixture.number("warmup_steps")), totalSteps: Int(fixture.number("num_training_steps")))
      let losses = try fixture.tensor("losses").values
      let training = adapter.training ?? MethodTraining()
      func place(_ step: Int, scale: Double = 1) -> TrainingPlace {
        TrainingPlace(step: step, totalSteps: losses.count, seed: 1, gradientScale: scale)
      }
      try training.begin(place(0))
      for step in 0..<losses.count {
        try training.beforeStep(place(step))
        // A method may draw what it computes with for each step.
        if step == 0 {
          #expect(try compare("logits", model.predict(fixture.batch(0)), fixture.tensor("logits"), absolute: tolerance))
        }
        model.zeroGrad()
        var loss = try model.loss(fixture.batch(step))
        if let term = try training.regularization() { loss = try loss.add(term) }
        #expect(abs(try loss.item() - losses[step]) <= tolerance * abs(losses[step]), "\(fixture.name): loss of step \(step)")
        try loss.backward()
        if step == 0 { try checkGradients(of: model, fixture) }
        let scale = optimizer.clippingScale(norm: optimizer.gradientNorm(), limit: fixture.number("max_grad_norm"))
        try training.beforeUpdate(place(step, scale: scale))
        try optimizer.step(learningRate: fixture.number("learning_rate") * schedule.multiplier(step), gradientScale: scale)
        try training.afterUpdate(place(step, scale: scale))
      }
      #expect(try compare("final logits", model.predict(fixture.batch(0)), fixture.tensor("final_logits"), absolute: 10 * tolerance))
    }

    /// Every trainable parameter's gradient, and no other's. Large ones are recorded as norm and samples.
    private func checkGradients(of model: TransformerModel, _ fixture: ParityFixture) throws {
      let trainable = model.trainableParameters()
      let recorded = Set(
        fixture.file.names.compactMap { name -> String? in
          for prefix in ["grad.", "gradnorm."] where name.hasPrefix(prefix) { return String(name.dropFirst(prefix.count)) }
          return nil
        }.map { $0.replacingOccurrences(of: ".base_layer.", with: ".") })
      #expect(Set(trainable.map(\.name)) == recorded)
      // A key's bias shifts all scores of a row alike: its gradient is zero, and what is recorded is rounding.
      let zero = Set(fixture.config["float64_deviation"]?["zero_gradients"]?.arrayValue?.compactMap(\.stringValue) ?? [])
      for (name, tensor) in trainable where !zero.contains(name) {
        let gradient = try #require(tensor.grad, "\(name) has no gradient")
        let keys = [name, name.replacingOccurrences(of: ".bias", with: ".base_layer.bias")]
        if let key = keys.first(where: { fixture.file["grad." + $0] != nil }) {
          #expect(try compare(name, gradient, fixture.tensor("grad." + key), relative: tolerance))
        } else {
          let norm = try fixture.tensor("gradnorm." + name).element(0)
          #expect(abs(gradient.sumOfSquares.squareRoot() - norm) <= tolerance * norm, "\(name): norm of the gradient")
          let indices = try fixture.tensor("gradidx." + name).values.map { Int($0) }
          let samples = try Tensor(indices.map { Float(gradient.element($0)) }, [indices.count])
          #expect(
            try compare(name, samples, fixture.tensor("gradval." + name), absolute: tolerance * norm / Double(gradient.count).squareRoot() * 30))
        }
      }
    }
  }
}

/// Whether the largest difference stays below an absolute bound, or one relative to the largest expected value; prints it
/// where it does not.
func compare(_ name: String, _ actual: Tensor, _ expected: Tensor, absolute: Double? = nil, relative: Double = 0) throws -> Bool {
  guard actual.count == expected.count else {
    Issue.record("\(name): \(actual.shape), expected \(expected.shape)")
    return false
  }
  let (a, b) = (actual.values, expected.values)
  let bound = absolute ?? relative * (b.map(abs).max() ?? 0)
  guard let worst = a.indices.max(by: { abs(a[$0] - b[$0]) < abs(a[$1] - b[$1]) }) else { return true }
  if abs(a[worst] - b[worst]) <= bound { return true }
  Issue.record("\(name): largest difference \(abs(a[worst] - b[worst])) at \(worst): \(a[worst]), expected \(b[worst])")
  return false
}
