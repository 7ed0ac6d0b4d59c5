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

/// A tiny model that drops, with a cache's batches of its own data set.
private func droppingModel(_ name: String, dropout: Double, head: HeadKind = .sequence(labels: ["a", "b", "c"])) throws -> TransformerModel {
  let path = fixturesFolder + "/models/\(name)/config.json"
  var config = try #require(JSONValue(file: path).objectValue)
  config["num_hidden_layers"] = 3
  config["hidden_dropout_prob"] = .double(dropout)
  config["attention_probs_dropout_prob"] = .double(dropout)
  return try PretrainedModel(config: HuggingFaceConfig(config, path: path), name: "tiny", seed: 5)
    .make(head, headSeed: 1)
}

/// What a step came to, bit for bit.
private struct Step: Equatable {
  var loss: Double
  var gradients: [String: [Double]]

  init(_ model: TransformerModel, _ batch: Batch) throws {
    model.zeroGrad()
    let loss = try model.loss(batch)
    self.loss = try loss.item()
    try loss.backward()
    gradients = Dictionary(model.namedParameters().compactMap { name, tensor in tensor.grad.map { (name, $0.values) } }) { a, _ in a }
  }
}

private let mistakes: [(name: String, method: any AdapterMethod, targets: AdapterTargets, message: String)] = {
  var (bias, empty) = (BitFit(), BitFit())
  (bias.biases, empty.biases) = (["quary"], [])
  var selective = SelectiveFineTuning()
  selective.parameters = ["qurey.weight"]
  var ia3 = IA3()
  ia3.feedforwardModules = ["dense.output"]
  var text = PromptTuning()
  text.promptTuningInit = .text
  var noTokens = text
  noTokens.promptTuningInitText = "a film"
  var (query, first) = (AdapterTargets(), AdapterTargets())
  query.targetModules = .suffixes(["query"])
  first.layersToTransform = [0]
  var ninth = AdapterTargets()
  ninth.layersToTransform = [8]
  let names = BitFit.Biases.allCases.map(\.rawValue).joined(separator: ", ")
  return [
    ("an unknown bias", bias, .init(), "biases: 'quary' is unknown, expected some of \(names); did you mean 'query'?"),
    ("no bias", empty, .init(), "biases is empty: expected some of \(names)"),
    (
      "an unknown parameter", selective, .init(),
      "parameters: 'qurey.weight' matches no parameter outside the head; did you mean 'query.weight'?"
    ),
    ("no target layer", ia3, .init(), "feedforward_modules: 'dense.output' is none of the target layers; did you mean 'dense'?"),
    (
      "TEXT without a text", text, .init(),
      "prompt_tuning_init = \"TEXT\" without prompt_tuning_init_text; \"TEXT\" takes a text, and nothing else does"
    ),
    ("a text without tokens", noTokens, .init(), "prompt_tuning_init_text: the text has no tokens, expected at least one"),
    (
      "targets of no linear layer", Houlsby(), query,
      "target_modules, exclude_modules: method 'houlsby' is not attached to linear layers; leave them out"
    ),
    (
      "a prefix in one layer", PrefixTuning(), first,
      "prefix_tuning: 1 of the model's 2 layers, expected all; leave layers_to_transform out"
    ),
    ("no such layer", Pfeiffer(), ninth, "method 'pfeiffer': the model has no place for it, or layers_to_transform leaves none"),
  ]
}()

extension EngineTests {
  /// Methods that act elsewhere than on linear layers, beside what the encoder does to save work.
  @Suite struct PlacementTests {
    /// Layers that are computed again in the backward pass draw the same and give the same gradients.
    @Test(arguments: tinyModels, AdapterCase.all) func checkpointsChangeNothing(_ name: String, _ row: AdapterCase) throws {
      func step(checkpointed: Bool) throws -> Step {
        let model = try droppingModel(name, dropout: 0.2)
        try perturb(row.attach(to: model))
        (model.context.isTraining, model.context.gradientCheckpointing) = (true, checkpointed)
        return try Step(model, tinyBatch())
      }
      let before = Precision.current
      defer { Precision.current = before }
      for precision in Precision.allCases {
        Precision.current = precision
        let plain = try step(checkpointed: false)
        let isSame = try step(checkpointed: true) == plain
        #expect(isSame && plain.gradients.count >= 2, "\(precision)")
      }
    }

    /// States that are kept of frozen layers are those that would be computed, wherever the adapter sits.
    @Test(arguments: tinyModels, AdapterCase.all) func keptStatesAreThoseOfTheModel(_ name: String, _ row: AdapterCase) throws {
      let texts: [[Int32]] = [[3, 17, 45, 4], [3, 8, 4], [3, 111, 60, 77, 9, 4], [3, 51, 99, 4]]
      func batch(_ examples: [Int], _ cache: HiddenStateCache?) throws -> Batch {
        var batch = try Batch(
          ids: examples.flatMap { texts[$0] }, offsets: Offsets(lengths: examples.map { texts[$0].count }),
          labels: Tensor(examples.map { Int32($0 % 3) }, [examples.count]), examples: examples)
        batch.hiddenStates = cache
        return batch
      }
      for head in [true, false] {
        let model = try droppingModel(name, dropout: 0)
        let attached = try row.attach(to: model)
        try perturb(attached)
        try model.setTrainable(false)
        let heads = model.namedParameters().filter { entry in model.headModules.contains { entry.name.hasPrefix($0 + ".") } }
        let top = head ? heads : attached.state()
        for (_, tensor) in top { try tensor.setTrainable(true) }
        model.context.isTraining = true
        // One sequence at a time: products of other shapes may round otherwise.
        let cache = HiddenStateCache(
          groups: texts.indices.map { [$0] }, budget: .init(bytes: 1 << 20, folder: nil)
        ) { try batch($0, nil) }
        func compare(_ examples: [Int]) throws {
          // Both passes draw the same.
          model.context.resume(after: 0)
          let plain = try Step(model, batch(examples, nil))
          model.context.resume(after: 0)
          let isSame = try Step(model, batch(examples, cache)) == plain
          #expect(isSame, "\(examples)")
        }
        for examples in [[1], [3], [1], [2], [3]] { try compare(examples) }
        let parameters = attached.state()
        for (i, entry) in parameters.enumerated() where i % max(1, parameters.count / 10) == 0 {
          try entry.tensor.makeExclusive()
          try Autograd.noGrad { try entry.tensor.mulInPlace(1.5) }
          try compare([1])
        }
      }
    }

    /// What layers share may train alone.
    @Test func sharedParametersTrainThroughCheckpoints() throws {
      func gradients(checkpointed: Bool) throws -> Step {
        let model = try droppingModel("tiny-roberta", dropout: 0.1)
        var prefix = PrefixTuning()
        (prefix.numVirtualTokens, prefix.prefixProjection) = (3, true)
        try model.attach(prefix)
        for (name, tensor) in model.namedParameters() { try tensor.setTrainable(name.hasPrefix("prefix_encoder.")) }
        (model.context.isTraining, model.context.gradientCheckpointing) = (true, checkpointed)
        return try Step(model, tinyBatch())
      }
      let plain = try gradients(checkpointed: false)
      let isSame = try gradients(checkpointed: true) == plain
      #expect(isSame && plain.gradients.count == 3)
    }

    /// A fresh adapter that changes nothing takes no draws from what the model itself drops, unless it drops too.
    @Test(arguments: tinyModels, AdapterCase.all) func draws(_ name: String, _ row: AdapterCase) throws {
      guard row.method.freshEqualsBase, row.base == nil else { return }
      func loss(_ attach: (TransformerModel) throws -> Void) throws -> Double {
        let model = try droppingModel(name, dropout: 0.3)
        try attach(model)
        model.context.isTraining = true
        return try model.loss(tinyBatch()).item()
      }
      if case .linear = row.method.placement { return }
      let base = try loss { _ in }
      #expect(abs(try loss { _ = try row.attach(to: $0) } - base) < 1e-5)
    }

    /// Masked language models compute the rows of masked tokens alone, behind prompts too.
    @Test(arguments: tinyModels, AdapterCase.all) func scoredRowsAreThoseOfAllLogits(_ name: String, _ row: AdapterCase) throws {
      let model = try droppingModel(name, dropout: 0, head: .language)
      try perturb(row.attach(to: model), std: 0.1)
      let batch = try tinyBatch()
      let all = try model.predict(batch)
      #expect(all.shape == [15, 120])
      let some = try Autograd.noGrad { try model.logits(batch, rows: .some([1, 5, 6, 11, 14])) }
      #expect(try compare("rows", some, all.gatherRows([1, 5, 6, 11, 14]), absolute: 1e-4))
    }

    @Test(arguments: mistakes.indices) func mistakesAreNamed(_ index: Int) throws {
      let row = mistakes[index]
      let model = try tinyModel("tiny-roberta")
      let trained = model.trainableParameters().map(\.name)
      #expect(message { try model.attach(row.method, targets: row.targets) } == row.message, "\(row.name)")
      #expect(model.namedModules().allSatisfy { ($0.module as? AdapterHost)?.adapters.isEmpty ?? true })
      #expect(model.trainableParameters().map(\.name) == trained)
    }

    @Test func namesAreTakenEverywhere() throws {
      let model = try tinyModel("tiny-bert")
      try model.attach(LoRA())
      #expect(message { try model.attach(Houlsby()) } == "adapter 'default' exists already; give the new one another adapter_name")
      try model.attach(Houlsby(), name: "other")
    }

    @Test func virtualTokensShortenTheText() throws {
      let model = try tinyModel("tiny-roberta")
      #expect(model.maxLength == 64)
      var prefix = PrefixTuning()
      prefix.numVirtualTokens = 40
      try model.attach(prefix)
      var prompt = PromptTuning()
      prompt.numVirtualTokens = 14
      try model.attach(prompt, name: "prompt")
      #expect(model.maxLength == 10)
      func batch(_ length: Int) throws -> Batch {
        try Batch(ids: [Int32](repeating: 7, count: length), offsets: Offsets(lengths: [length]))
      }
      _ = try model.predict(batch(10))
      #expect(
        message { _ = try model.predict(batch(11)) }
          == "a sequence of 11 tokens: the model's positions end at 64, and adapters take 54 of them; set max_length to 10 or less")
      try model.setAdapters(enabled: false)
      #expect(model.maxLength == 64)
      try model.setAdapters(enabled: true)
      var more = prompt
      more.numVirtualTokens = 30
      #expect(
        message { try model.attach(more, name: "more") }
          == "30 virtual tokens for a model of 64 positions, of which other adapters take 54: none would be left for a text; "
          + "set num_virtual_tokens to 7 or less")
      #expect(model.maxLength == 10)
      more.numVirtualTokens = 7
      try model.attach(more, name: "more")
      #expect(model.maxLength == 3)
      #expect(message { try model.attach(prefix, name: "last") }?.hasSuffix("disable or delete the other adapters first") == true)
    }

    @Test func virtualTokensLeavePositionsForAText() throws {
      for count in [62, 64, 65, 129, 65_536] {
        let model = try tinyModel("tiny-roberta")
        var (prompt, prefix, encoder) = (PromptTuning(), PrefixTuning(), PTuning())
        (prompt.numVirtualTokens, prefix.numVirtualTokens, encoder.numVirtualTokens) = (count, count, count)
        for method in [prompt, prefix, encoder] as [any AdapterMethod] {
          #expect(
            message { try model.attach(method) }
              == "\(count) virtual tokens for a model of 64 positions: none would be left for a text; set num_virtual_tokens to 61 or less")
        }
        #expect(model.maxLength == 64)
      }
    }

    @Test func adaptersOfSomeLayersComeBack() throws {
      try withTemporaryFolder { folder in
        var targets = AdapterTargets()
        targets.layersToTransform = [1]
        for method in [Houlsby(), Pfeiffer()] as [any AdapterMethod] {
          let model = try tinyModel("tiny-bert")
          let attached = try model.attach(method, targets: targets)
          #expect(attached.sites.allSatisfy { $0.contains("layer.1.") } && !attached.sites.isEmpty)
          try perturb(attached)
          let path = folder + "/" + type(of: method).name
          try attached.save(to: path, baseModelName: "x")
          let other = try tinyModel("tiny-bert", headSeed: 9)
          let loaded = try AttachedAdapter.load(folder: path, into: other, headModules: other.headModules)
          #expect(loaded.sites == attached.sites)
          #expect(try compare("loaded", other.predict(tinyBatch()), model.predict(tinyBatch()), absolute: 1e-6))
        }
      }
    }

    /// Two sets of biases on one model: each comes back when its adapter does.
    @Test func chosenParametersAreSwitched() throws {
      let model = try tinyModel("tiny-roberta")
      let first = try model.attach(BitFit(), name: "first")
      try perturb(first)
      let one = try model.predict(tinyBatch())
      try first.stashParameters()
      let second = try model.attach(BitFit(), name: "second")
      #expect(first.sharesParameters(with: second))
      try perturb(second, seed: 6)
      let two = try model.predict(tinyBatch())
      #expect(two.values != one.values)
      try second.stashParameters()
      try first.restoreParameters()
      #expect(try model.predict(tinyBatch()).values == one.values)
      try first.stashParameters()
      try second.restoreParameters()
      #expect(try model.predict(tinyBatch()).values == two.values)
    }

    @Test func promptsStartAsTheyAreTold() throws {
      let model = try tinyModel("tiny-bert")
      let table = try #require(model.namedParameters().first { $0.name.hasSuffix("word_embeddings.weight") }).tensor
      func start(_ prompt: PromptTuning, name: String) throws -> Tensor {
        let attached = try model.attach(prompt, name: name)
        return try #require(attached.state().first { $0.name.hasSuffix("prompt_embeddings") }).tensor
      }
      var text = PromptTuning()
      (text.numVirtualTokens, text.promptTuningInit, text.promptTuningInitText) = (5, .text, "good film")
      text = try text.tokenized { $0 == "good film" ? [4, 9, 2] : [] }
      #expect(try start(text, name: "text").values == table.gatherRows([4, 9, 2, 4, 9]).values)
      text.numVirtualTokens = 2
      #expect(try start(text, name: "cut").values == table.gatherRows([4, 9]).values)
      var words = PromptTuning()
      (words.numVirtualTokens, words.promptTuningInit) = (8, .sampleVocab)
      let rows = try start(words, name: "words")
      let known = (0..<table.rows).map { i in Array(table.values[(i * 32)..<((i + 1) * 32)]) }
      let drawn = (0..<8).map { i in Array(rows.values[(i * 32)..<((i + 1) * 32)]) }
      #expect(drawn.allSatisfy(known.contains) && Set(drawn).count > 4)
    }
  }
}
