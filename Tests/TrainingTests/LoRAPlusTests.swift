import Diagnostics
import NN
import Optimizers
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Which parameters LoRA+ puts into which group, as PEFT's `create_loraplus_optimizer`.
@Suite(.engine) struct LoRAPlusTests {
  private let members: [(name: String, shape: [Int], group: String)] = [
    ("bert.encoder.layer.0.attention.self.query.lora_A.weight", [2, 8], "A"),
    ("bert.encoder.layer.0.attention.self.query.lora_B.weight", [8, 2], "B"),
    ("bert.encoder.layer.0.attention.self.query.lora_magnitude_vector", [8], "B"),
    ("bert.encoder.layer.0.attention.self.query.bias", [8], "B without decay"),
    ("bert.encoder.layer.0.output.LayerNorm.weight", [8], "B without decay"),
    ("bert.encoder.layer.0.output.LayerNorm.bias", [8], "B without decay"),
    ("bert.embeddings.word_embeddings.lora_embedding_A", [2, 9], "embedding"),
    ("bert.embeddings.word_embeddings.lora_embedding_B", [8, 2], "embedding"),
    ("classifier.weight", [3, 8], "A"),
    ("classifier.bias", [3], "B without decay"),
  ]

  @Test func groupsAreThoseOfPEFT() throws {
    var arguments = TrainingArguments()
    (arguments.loraplusLRRatio, arguments.loraplusLREmbedding) = (16, 3e-6)
    let parameters = try members.map { ($0.name, try Tensor.zeros($0.shape)) }
    let norms = Set(parameters.filter { $0.0.contains("LayerNorm") }.map { ObjectIdentifier($0.1) })
    let plus = try #require(LoRAPlus(arguments))
    let groups = plus.groups(of: parameters, norms: norms, learningRate: 2e-4, factor: 0.5, weightDecay: 0.1)
    let expected: [(group: String, rate: Double?, decay: Double)] = [
      ("A", nil, 0.1), ("embedding", 1.5e-6, 0.1), ("B", 16 * 2e-4, 0.1), ("B without decay", 16 * 2e-4, 0),
    ]
    #expect(groups.count == expected.count)
    for (group, wanted) in zip(groups, expected) {
      #expect(group.parameters.map(\.name) == members.filter { $0.group == wanted.group }.map(\.name), "\(wanted.group)")
      #expect(group.learningRate == wanted.rate && group.weightDecay == wanted.decay, "\(wanted.group)")
    }
    #expect(LoRAPlus(TrainingArguments()) == nil)
    arguments.loraplusLREmbedding = nil
    #expect(LoRAPlus(arguments)?.embedding == 1e-6)
  }

  @Test func contradictionsAreErrors() throws {
    let changes: [((inout TrainingArguments) -> Void, String)] = [
      (
        { $0.parameterGroups = [ParameterGroupOptions()] },
        "'loraplus_lr_ratio' and 'parameter_groups' exclude each other: LoRA+ makes the groups; give the group of 'lora_B' a learning_rate instead"
      ),
      ({ $0.loraplusLRRatio = .infinity }, "'loraplus_lr_ratio' must be a finite number"),
      ({ ($0.loraplusLRRatio, $0.loraplusLREmbedding) = (nil, 1) }, "'loraplus_lr_embedding' needs 'loraplus_lr_ratio'"),
      (
        { ($0.optim, $0.optimArgs.fields) = (OptimizerName(Adafactor.self), ["relative_step": .bool(true)]) },
        "'loraplus_lr_ratio' has no meaning with relative_step = true: the optimizer sets the step size itself"
      ),
    ]
    for (change, message) in changes {
      var arguments = TrainingArguments()
      arguments.loraplusLRRatio = 16
      try arguments.validate()
      change(&arguments)
      let error = #expect(throws: EngineError.self) { try arguments.validate() }
      #expect(error?.description == message)
    }
  }
}
