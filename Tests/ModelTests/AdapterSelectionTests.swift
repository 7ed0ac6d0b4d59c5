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

private func targets(_ change: (inout AdapterTargets) -> Void) -> AdapterTargets {
  var result = AdapterTargets()
  change(&result)
  return result
}

/// Which layers a row of options chooses on tiny RoBERTa: paths below `roberta.encoder.layer.`.
private struct Choice: Sendable {
  let name: String
  let targets: AdapterTargets
  let sites: [String]
}

private let linearNames = [
  "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
  "intermediate.dense",
  "output.dense",
]

private let choices = [
  Choice(
    name: "defaults", targets: AdapterTargets(),
    sites: [
      "0.attention.self.query", "0.attention.self.value", "1.attention.self.query",
      "1.attention.self.value",
    ]),
  Choice(
    name: "a dotted suffix",
    targets: targets { $0.targetModules = .suffixes(["attention.output.dense"]) },
    sites: ["0.attention.output.dense", "1.attention.output.dense"]),
  Choice(
    name: "a full path",
    targets: targets { $0.targetModules = .suffixes(["roberta.encoder.layer.1.output.dense"]) },
    sites: ["1.output.dense"]),
  Choice(
    name: "layers_to_transform",
    targets: targets { ($0.targetModules, $0.layersToTransform) = (.suffixes(["dense"]), [1]) },
    sites: ["1.attention.output.dense", "1.intermediate.dense", "1.output.dense"]),
  Choice(
    name: "exclude_modules",
    targets: targets {
      ($0.targetModules, $0.excludeModules) = (.suffixes(["dense"]), ["output.dense"])
    },
    sites: ["0.intermediate.dense", "1.intermediate.dense"]),
  Choice(
    name: "a pattern",
    targets: targets { $0.targetModules = .pattern(#".*layer\.1\..*\.(key|dense)"#) },
    sites: [
      "1.attention.self.key", "1.attention.output.dense", "1.intermediate.dense", "1.output.dense",
    ]),
  Choice(
    name: "look-ahead", targets: targets { $0.targetModules = .pattern("^(?!.*output)(?!.*self).*dense$") },
    sites: ["0.intermediate.dense", "1.intermediate.dense"]),
  Choice(
    name: "all-linear", targets: targets { $0.targetModules = .allLinear },
    sites: linearNames.map { "0." + $0 } + linearNames.map { "1." + $0 }),
]

private let mistakes: [(name: String, targets: AdapterTargets, message: String)] = [
  (
    "a misspelt target", targets { $0.targetModules = .suffixes(["qeury"]) },
    "target_modules: 'qeury' matches no module; did you mean 'query'?"
  ),
  (
    "nothing near", targets { $0.targetModules = .suffixes(["c_attn_projection"]) },
    "target_modules: 'c_attn_projection' matches no module; there are dense, key, query, value"
  ),
  (
    "an empty list", targets { $0.targetModules = .suffixes([]) },
    "target_modules is empty: expected at least one name"
  ),
  (
    "the head", targets { $0.targetModules = .suffixes(["classifier.dense"]) },
    "target_modules: 'classifier.dense' matches only 'classifier.dense', which trains whole; leave it out"
  ),
  (
    "a pattern without match", targets { $0.targetModules = .pattern(".*conv") },
    "target_modules: pattern '.*conv' matches no linear layer; there are dense, key, query, value"
  ),
  (
    "a broken pattern", targets { $0.targetModules = .pattern("(query") },
    "target_modules: '(query' is not a valid regular expression: missing ), unterminated subpattern at position 6"
  ),
  (
    "a pattern on which backtracking does not end", targets { $0.targetModules = .pattern("(([a-z.0-9]+)+)+#") },
    "target_modules: pattern '(([a-z.0-9]+)+)+#' matches no linear layer; there are dense, key, query, value"
  ),
  (
    "a pattern that needs backtracking", targets { $0.targetModules = .pattern(#"(.*)\.\1"#) },
    #"target_modules: '(.*)\.\1' is not a valid regular expression: a back-reference, which is not supported, at position 8"#
  ),
  (
    "a misspelt exclusion", targets { $0.excludeModules = ["valeu"] },
    "exclude_modules: 'valeu' matches no module; did you mean 'value'?"
  ),
  (
    "everything excluded", targets { $0.excludeModules = ["query", "value"] },
    "target_modules: no layer is left after exclude_modules and layers_to_transform"
  ),
  (
    "no such layer", targets { $0.layersToTransform = [2] },
    "target_modules: no layer is left after exclude_modules and layers_to_transform"
  ),
  (
    "no such part before the number", targets { ($0.layersToTransform, $0.layersPattern) = ([0], ["blocks"]) },
    "target_modules: no layer is left after exclude_modules and layers_to_transform"
  ),
  (
    "a misspelt saved module", targets { $0.modulesToSave = ["clasifier"] },
    "modules_to_save: 'clasifier' matches no module; did you mean 'classifier'?"
  ),
]

/// Parameter counts on RoBERTa-base, from the papers.
private let counts: [(name: String, method: any AdapterMethod, base: LoRA?, adapter: Int)] =
  [("lora", LoRA(), nil, 294_912)]
  + [8, 16, 32, 64].map { r in
    var method = DeLoRA()
    method.r = r
    return ("delora \(r)", method, nil, 24 * r * r)
  }
  + [8, 64].map { r in
    var (method, base) = (DeLoRA(), LoRA())
    (method.over, base.r) = ("lora", r)
    return ("delora over lora \(r)", method, base, 24 * r * r)
  }
  + [
    ("classifier", ClassifierOnly(), nil, 0), ("ia3", IA3(), nil, 55_296), ("bitfit", BitFit(), nil, 102_144),
    ("selective", SelectiveFineTuning(), nil, 14_155_776), ("full", FullFineTuning(), nil, 124_055_040),
    ("full, frozen embeddings", frozenEmbeddings, nil, 86_043_650 - 592_130),
  ]

  + [("houlsby 8", 8, 313_536), ("houlsby 64", 64, 2_379_264)].map { name, r, count in
    var method = Houlsby()
    method.options.r = r
    return (name, method, nil, count)
  }
  + [("pfeiffer 16", 16, 304_320), ("pfeiffer 48", 48, 894_528), ("pfeiffer 64", 64, 1_189_632)].map { name, r, count in
    var method = Pfeiffer()
    method.options.r = r
    return (name, method, nil, count)
  }
  + [true].map { trains in
    var method = Houlsby()
    (method.options.r, method.options.trainLayerNorm) = (8, trains)
    return ("houlsby with norms", method, nil, 313_536 + 25 * 2 * 768)
  }

  + [false, true].map { projects in
    var method = PrefixTuning()
    (method.numVirtualTokens, method.prefixProjection, method.encoderHiddenSize) = (20, projects, 512)
    let (size, m, out) = (768, 512, 2 * 12 * 768)
    return ("prefix tuning", method, nil, projects ? 20 * size + (size + 1) * m + (m + 1) * out : 20 * out)
  }
  + [
    ("prompt tuning", PromptTuning(), nil, 20 * 768),
    ("p-tuning", PTuning(), nil, 20 * 768 + 3 * 769 * 768),
  ]
  + stepCounts

private let frozenEmbeddings: FullFineTuning = {
  var method = FullFineTuning()
  method.freezeEmbeddings = true
  return method
}()

/// Those of methods that act in training.
private let stepCounts: [(name: String, method: any AdapterMethod, base: LoRA?, adapter: Int)] = {
  var (small, large) = (AdaLoRA(), AdaLoRA())
  (small.initR, small.targetR, large.initR) = (8, 8, 12)
  var (glora, supernet) = (GLoRA(), GLoRA())
  (glora.r, glora.configDE, supernet.r, supernet.supernet) = (4, .vector, 4, true)
  return [
    ("delta_lora", DeltaLoRA(), nil, 294_912), ("adalora 8", small, nil, 295_104), ("adalora 12", large, nil, 442_656),
    ("dylora", DyLoRA(), nil, 294_912), ("glora", glora, nil, 24 * 16_900), ("glora supernet", supernet, nil, 24 * 16_900),
  ]
}()

extension EngineTests {
  @Suite struct AdapterSelectionTests {
    /// The head alone trains over an adapter, under a name of its own.
    @Test(arguments: [LoRA() as any AdapterMethod, VeRA()])
    func classifierLeavesTheAdapterBelowFrozen(_ below: any AdapterMethod) throws {
      let model = try tinyModel("tiny-roberta")
      try model.attach(below)
      let text = message { try model.attach(ClassifierOnly()) }
      #expect(text == "adapter 'default' exists already; give the new one another adapter_name")
      let classifier = try model.attach(ClassifierOnly(), name: "head")
      #expect(model.trainableParameters().allSatisfy { $0.name.hasPrefix("classifier.") })
      #expect(classifier.state().allSatisfy { $0.name.hasPrefix("classifier.") })
    }

    @Test(arguments: choices.indices) func targetsChooseLayers(_ index: Int) throws {
      let choice = choices[index]
      let attached = try tinyModel("tiny-roberta").attach(LoRA(), targets: choice.targets)
      #expect(
        attached.sites == choice.sites.map { "roberta.encoder.layer." + $0 }, "\(choice.name)")
      #expect(attached.savedModules == ["classifier"])
    }

    @Test(arguments: mistakes.indices) func mistakesAreNamed(_ index: Int) throws {
      let row = mistakes[index]
      let model = try tinyModel("tiny-roberta")
      let text = message { try model.attach(LoRA(), targets: row.targets) }
      #expect(text == row.message, "\(row.name)")
      #expect(model.namedModules().allSatisfy { ($0.module as? Linear)?.adapters.isEmpty ?? true })
    }

    @Test(arguments: [0, -1, 33, 1 << 40]) func ranksThatDoNotFitAreRefused(_ r: Int) throws {
      let model = try tinyModel("tiny-bert")
      var (lora, delora) = (LoRA(), DeLoRA())
      (lora.r, delora.r) = (r, r)
      let expected =
        "r = \(r) for layer 'bert.encoder.layer.0.attention.self.query' of 32 x 32: expected 1 to 32"
      #expect(message { try model.attach(lora) } == expected)
      #expect(message { try model.attach(delora) } == expected)
      #expect(model.namedParameters().allSatisfy { !$0.name.contains("lora") })
    }

    @Test func namesAndBasesAreChecked() throws {
      let model = try tinyModel("tiny-bert")
      var over = DeLoRA()
      over.over = "lora"
      #expect(
        message { try model.attach(over) }?.hasSuffix("has no such adapter; add a LoRA first")
          == true)
      try model.attach(LoRA(), name: "mnli")
      #expect(
        message { try model.attach(LoRA(), name: "mnli") }
          == "adapter 'mnli' exists already; give the new one another adapter_name")
      try model.attach(LoRA(), name: "rte")
      over.over = "mnil"
      #expect(message { try model.attach(over) }?.hasSuffix("did you mean 'mnli'?") == true)
      over.over = "mnli"
      #expect(
        message { try model.attach(over, name: "rte") }?.hasPrefix("adapter 'rte' exists already")
          == true)
      try model.attach(over, name: "mnli")
    }

    @Test func biasModesTrainTheirBiases() throws {
      func biases(_ mode: AdapterTargets.Bias) throws -> [String] {
        let model = try tinyModel("tiny-roberta")
        try model.attach(LoRA(), targets: targets { $0.bias = mode })
        return model.trainableParameters().map(\.name).filter {
          $0.hasSuffix("bias") && !$0.hasPrefix("classifier.")
        }
      }
      #expect(try biases(.none).isEmpty)
      let sites = choices[0].sites.map { "roberta.encoder.layer.\($0).bias" }
      #expect(try biases(.loraOnly) == sites)
      #expect(
        try biases(.all)
          == tinyModel("tiny-roberta").namedParameters().map(\.name).filter {
            $0.hasSuffix("bias") && !$0.hasPrefix("classifier.")
          })
    }

    @Test func modulesInsideSavedOnesCountOnce() throws {
      let model = try tinyModel("tiny-bert")
      let attached = try model.attach(
        LoRA(), targets: targets { $0.modulesToSave = ["classifier", "pooler", "pooler.dense"] })
      #expect(attached.savedModules == ["bert.pooler", "classifier"])
      #expect(Set(attached.state().map(\.name)).count == attached.state().count)
    }

    @Test(
      .enabled(if: testData("configs/roberta-base") != nil, "configs/roberta-base is not there"),
      arguments: counts.indices)
    func countsAreThePapers(_ index: Int) throws {
      let row = counts[index]
      let config = try HuggingFaceConfig(folder: #require(testData("configs/roberta-base")))
      let model = try PretrainedModel.shapes(
        config, .sequence(labels: ["0", "1"]))
      func attach(_ method: any AdapterMethod) throws {
        _ = try AttachedAdapter.attach(
          method, to: model, defaultTargets: model.architecture.defaultTargetModules,
          head: model.headModules, seed: 1)
      }
      if let base = row.base { try attach(base) }
      try attach(row.method)
      #expect(model.parameterCounts().trainable == row.adapter + 592_130, "\(row.name)")
    }
  }
}
