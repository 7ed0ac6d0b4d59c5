import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore
import TestSupport
import Testing

@testable import TransformerModels

/// Models with an encoder and a decoder: what the two have to do with each other. What they compute is compared with Transformers
/// in `ParityTests`.
@Suite(.engine) struct EncoderDecoderTests {
  static let models = ["tiny-bart", "tiny-t5", "tiny-t5v11"]

  private func model(_ name: String, _ head: HeadKind = .language) throws -> TransformerModel {
    try PretrainedModel(name: fixturesFolder + "/models/" + name).make(head, headSeed: 1)
  }

  private static let inputs: [[Int32]] = [[5, 17, 45, 99, 2], [3, 8, 23, 51, 60, 77, 2], [111, 2]]
  private static let targets: [[Int32]] = [[7, 9, 2], [30, 2], [4, 90, 66, 12, 2]]

  private func batch(_ inputs: [[Int32]] = inputs, _ targets: [[Int32]]? = targets) throws -> Batch {
    var batch = try Batch(ids: inputs.flatMap { $0 }, offsets: Offsets(lengths: inputs.map(\.count)))
    guard let targets else { return batch }
    let ids = targets.flatMap { $0 }
    batch.targets = (ids, Offsets(lengths: targets.map(\.count)))
    batch.labels = try Tensor(ids, [ids.count])
    return batch
  }

  /// Each sequence sees its own encoder's tokens, and no other's.
  @Test(arguments: models) func packedSequencesAreApart(name: String) throws {
    let model = try model(name)
    let together = try model.predict(batch())
    var row = 0
    for (input, target) in zip(Self.inputs, Self.targets) {
      let alone = try model.predict(batch([input], [target]))
      #expect(try compare(name, together.slice(0, row, row + target.count), alone, absolute: 2e-5))
      row += target.count
    }
    #expect(row == together.rows)
  }

  /// The encoder's states of one input serve several continuations, without a copy.
  @Test(arguments: models) func continuationsShareAnEncoder(name: String) throws {
    let model = try model(name)
    let (input, start) = (Self.inputs[1], try #require(model.encoderLayout).startToken)
    let apart = try model.predict(batch([input, input, input], Self.targets))
    let shared = try Autograd.noGrad {
      let encoded = try #require(try model.encode(batch([input], nil)))
      let ranges = KeyRanges(sharedBy: Self.targets.count, count: input.count)
      let read = Self.targets.map { [start] + $0.dropLast() }
      return try model.logits(
        Batch(ids: read.flatMap { $0 }, offsets: Offsets(lengths: read.map(\.count))), rows: .all,
        over: EncoderStates(#require(encoded.states), ranges))
    }
    #expect(try compare(name, shared, apart, absolute: 2e-5))
  }

  /// A decoder's token depends on what stands before it and on all of the encoder's tokens.
  @Test(arguments: models) func whatTokensSee(name: String) throws {
    let model = try model(name)
    let plain = try model.predict(batch())
    func differences(_ change: (inout [[Int32]], inout [[Int32]]) -> Void) throws -> [Bool] {
      var (inputs, targets) = (Self.inputs, Self.targets)
      change(&inputs, &targets)
      let changed = try model.predict(batch(inputs, targets))
      return (0..<plain.rows).map { row in
        (0..<plain.columns).contains { plain.floats[row * plain.columns + $0] != changed.floats[row * plain.columns + $0] }
      }
    }
    // The third sequence's second target is read in its third row.
    #expect(try differences { $1[2][1] = 50 } == (0..<10).map { $0 >= 7 })
    // Nobody reads a last target.
    #expect(try differences { $1[0][2] = 50 }.allSatisfy { !$0 })
    #expect(try differences { inputs, _ in inputs[0][4] = 50 } == (0..<10).map { $0 < 3 })
  }

  /// Layers that are computed again in the backward pass, the encoder's states and the relative positions among what they read. What
  /// several layers read has its gradient added up in another order.
  @Test(arguments: models, [false, true]) func checkpointingChangesNothing(name: String, trainsBody: Bool) throws {
    func step(_ isCheckpointed: Bool) throws -> (loss: Double, gradients: [String: Tensor], saved: Int) {
      let model = try model(name)
      try model.setTrainable(trainsBody)
      if !trainsBody { try perturb(model.attach(LoRA())) }
      model.context.isTraining = true
      model.context.gradientCheckpointing = isCheckpointed
      let batch = try batch()
      _ = try model.predict(batch)
      let before = Memory.liveBytes
      let loss = try model.loss(batch)
      let saved = Memory.liveBytes - before
      try loss.backward()
      return (
        try loss.item(), Dictionary(uniqueKeysWithValues: model.namedParameters().compactMap { name, tensor in tensor.grad.map { (name, $0) } }),
        saved
      )
    }
    let (plain, again) = (try step(false), try step(true))
    #expect(plain.loss == again.loss && plain.gradients.keys == again.gradients.keys && !plain.gradients.isEmpty)
    let largest = plain.gradients.values.flatMap(\.values).map(abs).max() ?? 0
    for (name, gradient) in plain.gradients {
      #expect(try compare(name, #require(again.gradients[name]), gradient, absolute: 1e-6 * largest))
    }
    #expect(again.saved < plain.saved, "\(again.saved) of \(plain.saved)")
  }

  /// Adapters of one stack alone: the other has no gradient, and those of the encoder have one through the decoder.
  @Test(arguments: models, ["encoder", "decoder"]) func adaptersOfOneStack(name: String, stack: String) throws {
    let model = try model(name)
    var targets = AdapterTargets()
    targets.targetModules = .pattern(".*\\b" + stack + "\\..*\\.(q_proj|q)")
    try perturb(model.attach(LoRA(), targets: targets))
    try model.loss(batch()).backward()
    let trained = model.trainableParameters()
    #expect(!trained.isEmpty && trained.allSatisfy { $0.name.contains(stack + ".") })
    for (name, tensor) in trained { #expect(try #require(tensor.grad, "\(name)").sumOfSquares > 0, "\(name)") }
  }

  /// What a folder holds comes back, values that are no parameters and heads of their own included.
  @Test(arguments: models) func foldersComeBack(name: String) throws {
    let model = try model(name)
    let expected = try model.predict(batch())
    try withTemporaryFolder { folder in
      try model.save(to: folder + "/saved")
      try model.load(model.savedParameters(in: folder + "/saved"))
      let base = try PretrainedModel(name: folder + "/saved")
      #expect(try base.make(.language, headSeed: 9).predict(batch()).values == expected.values)
      #expect(base.lastReport == PretrainedModel.LoadReport())
    }
  }

  /// A classifier takes its body from a language model's folder, whatever it is called there, and comes back from its own.
  @Test(arguments: ["tiny-bart", "tiny-t5"]) func classifiersTakeTheBody(name: String) throws {
    let (writer, classifier) = (try model(name), try model(name, .sequence(labels: ["a", "b"])))
    let body = Dictionary(uniqueKeysWithValues: writer.namedParameters().map { ($0.name, $0.tensor.values) })
    for (name, tensor) in classifier.namedParameters() where !name.hasPrefix("classification_head.") {
      let plain = name.hasPrefix("transformer.") ? String(name.dropFirst("transformer.".count)) : name
      #expect(body[plain] == tensor.values, "\(name)")
    }
    let end = try classifier.config.int("eos_token_id", in: 0...10)
    let inputs: [[Int32]] = Self.inputs.map { Array($0.dropLast()) + [Int32(end)] }
    try withTemporaryFolder { folder in
      try classifier.save(to: folder + "/saved")
      let again = try PretrainedModel(name: folder + "/saved").make(classifier.head, headSeed: 9)
      #expect(try again.predict(batch(inputs, nil)).values == classifier.predict(batch(inputs, nil)).values)
    }
    let error = message { _ = try classifier.predict(batch([[3, 4]], nil)) }
    #expect(error?.contains("a sequence without the token \(end) (eos_token_id)") == true, "\(error ?? "")")
  }

  @Test func streamsMustFit() throws {
    let model = try model("tiny-bart")
    let error = message { _ = try model.predict(batch(Self.inputs, Array(Self.targets.dropLast()))) }
    #expect(error?.contains("2 sequences of targets, 5 ids, for 3 of the encoder") == true, "\(error ?? "")")
    let long = [[Int32](repeating: 7, count: 65)]
    for (inputs, targets) in [(long, [[5]]), ([[5]], long)] {
      let error = message { _ = try model.predict(batch(inputs, targets)) }
      #expect(error?.contains("a sequence of 65 tokens: the model's positions end at 64") == true, "\(error ?? "")")
    }
  }

  @Test(
    arguments: [
      ("tiny-bart", ["encoder_layerdrop": 0.1], "encoder_layerdrop is not 0"),
      ("tiny-bart", ["normalize_before": true], "normalize_before = true is not supported, expected false"),
      ("tiny-bart", ["decoder_attention_heads": 5], "d_model 32 is not divisible by decoder_attention_heads 5"),
      ("tiny-t5", ["feed_forward_proj": "gated-swing"], "feed_forward_proj"),
      ("tiny-t5", ["relative_attention_max_distance": 2], "leaves no distances for half of 8 buckets"),
    ] as [(String, JSONObject, String)])
  func configurationsThatAreNotSupported(_ name: String, _ changes: JSONObject, _ expected: String) throws {
    let config = try HuggingFaceConfig(folder: fixturesFolder + "/models/" + name).changed(changes)
    let error = message { _ = try PretrainedModel.shapes(config, .language) }
    #expect(error?.contains(expected) == true, "\(error ?? "nothing is wrong")")
  }

  /// The buckets of distances far beyond those of the fixtures' sequences, as Transformers has them.
  @Test(arguments: [false, true]) func distancesShareBuckets(isCausal: Bool) throws {
    let file = try SafetensorsFile(fixturesFolder + "/t5_buckets.safetensors")
    let expected = try file.tensor(isCausal ? "decoder" : "encoder").values.map { Int32($0) }
    let positions = try T5Positions(ParameterBuilder(seed: 1), buckets: 32, farthest: 128, isCausal: isCausal, heads: 2, std: 1)
    let reach = expected.count / 2
    #expect((-reach...reach).map(positions.bucket) == expected)
  }
}
