import Adapters
import Checkpoints
import Files
import Foundation
import NN
import Optimizers
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

let fixturesFolder = packageRoot + "/Tests/Fixtures"

/// A way to adapt a model, as a row of the conformance suite.
struct AdapterCase: Sendable, CustomTestStringConvertible {
  var description: String
  var method: any AdapterMethod
  /// The LoRA to train first, for methods that build on one.
  var base: LoRA?
  var targets = AdapterTargets()
  /// Families that refuse these options, though not the method, and part of what they say.
  var refusals: [String: String] = [:]

  var testDescription: String { description }

  /// Every method, with the options that change its mathematics.
  static let all: [AdapterCase] = {
    var lora = LoRA()
    (lora.r, lora.loraAlpha) = (4, 8)
    var rslora = lora
    (rslora.useRslora, rslora.initLoraWeights, rslora.r) = (true, .gaussian, 3)
    var delora = DeLoRA()
    delora.r = 4
    var diagonal = delora
    (diagonal.sigma, diagonal.initWeights, diagonal.loraAlpha) = (.diagonal, .normal, 5)
    var over = DeLoRA()
    over.over = "lora"
    var overDiagonal = over
    overDiagonal.sigma = .diagonal
    var delta = DeltaLoRA()
    delta.r = 4
    var ada = AdaLoRA()
    (ada.initR, ada.targetR, ada.loraAlpha) = (4, 2, 8)
    var dy = DyLoRA()
    (dy.r, dy.loraAlpha) = (4, 8)
    var dyFrozen = dy
    dyFrozen.frozen = true
    var glora = GLoRA()
    glora.r = 3
    var gloraVectors = glora
    (gloraVectors.configAB, gloraVectors.configC, gloraVectors.configDE) = (.vector, .vector, .vector)
    var gloraConstants = glora
    (gloraConstants.configAB, gloraConstants.configC) = (.constant, GLoRA.ColumnForm.none)
    var supernet = glora
    supernet.supernet = true
    var biased = AdapterTargets()
    biased.bias = .loraOnly
    var all = AdapterTargets()
    (all.bias, all.targetModules) = (.all, .allLinear)
    var dora = lora
    dora.useDora = true
    func started(_ start: LoRAStart) -> LoRA {
      var copy = lora
      copy.initLoraWeights = start
      return copy
    }
    var (loraFA, projected) = (LoRAFA(), LoRAFA())
    (loraFA.r, projected.r, projected.variant) = (4, 3, .projected)
    var (vera, drawn) = (VeRA(), VeRA())
    (vera.r, drawn.r, drawn.saveProjection, drawn.projectionPrngKey) = (5, 40, false, 11)
    var (mini, zeroUp) = (LoRAMini(), LoRAMini())
    (mini.r, mini.a, mini.b) = (3, 5, 6)
    (zeroUp.r, zeroUp.a, zeroUp.b, zeroUp.initWeights, zeroUp.targets) = (2, 4, 4, .zeroUp, .denseAndAttention)
    var loha = LoHa()
    (loha.r, loha.alpha) = (3, 5)
    var randomLoha = loha
    randomLoha.initWeights = false
    var (lokr, bothLokr) = (LoKr(), LoKr())
    (lokr.r, bothLokr.r, bothLokr.decomposeBoth, bothLokr.decomposeFactor) = (2, 1, true, 16)
    var dense = AdapterTargets()
    dense.targetModules = .roles([.query, .fused, .attentionOutput, .up, .gate, .down, nil])
    var feedforward = IA3()
    feedforward.feedforwardModules = ["output.dense"]
    var suffixes = AdapterTargets()
    suffixes.targetModules = .suffixes(["key", "value", "output.dense"])
    var houlsby = Houlsby()
    (houlsby.options.r, houlsby.options.initWeights) = (4, .truncatedNormal)
    var houlsbyZero = houlsby
    (houlsbyZero.options.initWeights, houlsbyZero.options.nonLinearity, houlsbyZero.options.trainLayerNorm) = (.zeroUp, .geluNew, true)
    var pfeiffer = Pfeiffer()
    pfeiffer.options.r = 5
    var norms = pfeiffer
    norms.options.trainLayerNorm = true
    var prefix = PrefixTuning()
    (prefix.numVirtualTokens, prefix.prefixDropout) = (3, 0.2)
    var projectedPrefix = PrefixTuning()
    (projectedPrefix.numVirtualTokens, projectedPrefix.prefixProjection, projectedPrefix.encoderHiddenSize) = (4, true, 6)
    var prompt = PromptTuning()
    prompt.numVirtualTokens = 3
    var words = prompt
    words.promptTuningInit = .sampleVocab
    var pTuning = PTuning()
    (pTuning.numVirtualTokens, pTuning.encoderHiddenSize) = (2, 6)
    var partial = BitFit()
    partial.biases = ["query", "intermediate", "output_layernorm"]
    var upper = FullFineTuning()
    upper.freezeEmbeddings = true
    return [
      AdapterCase(description: "lora", method: lora),
      AdapterCase(description: "rslora", method: rslora),
      AdapterCase(description: "lora, lora_only biases", method: lora, targets: biased),
      AdapterCase(description: "lora, all-linear, all biases", method: lora, targets: all),
      AdapterCase(description: "delora", method: delora),
      AdapterCase(description: "delora, diagonal", method: diagonal),
      AdapterCase(description: "delora over lora", method: over, base: rslora),
      AdapterCase(description: "delora over lora, diagonal", method: overDiagonal, base: lora),
      AdapterCase(description: "dora", method: dora),
      AdapterCase(
        description: "dora, dense, lora_only biases", method: dora,
        targets: {
          var targets = dense
          targets.bias = .loraOnly
          return targets
        }()),
      AdapterCase(description: "lora, gaussian", method: started(.gaussian)),
      AdapterCase(description: "lora, both random", method: started(.random)),
      AdapterCase(description: "lora, orthogonal", method: started(.orthogonal)),
      AdapterCase(description: "pissa", method: started(.pissa), targets: dense),
      AdapterCase(description: "pissa, 4 iterations", method: started(.pissaIterations(4))),
      AdapterCase(description: "olora", method: started(.olora)),
      AdapterCase(description: "lora_fa", method: loraFA),
      AdapterCase(description: "lora_fa, projected", method: projected, targets: dense),
      AdapterCase(description: "vera", method: vera),
      AdapterCase(description: "vera, vera_only biases", method: vera, targets: biased),
      AdapterCase(description: "vera, dense, not saved", method: drawn, targets: dense),
      AdapterCase(description: "lora_mini", method: mini),
      AdapterCase(description: "lora_mini, D+A, zero_up", method: zeroUp),
      AdapterCase(description: "loha", method: loha),
      AdapterCase(description: "loha, dense, all random", method: randomLoha, targets: dense),
      AdapterCase(description: "lokr", method: lokr, targets: dense),
      AdapterCase(description: "lokr, both products", method: bothLokr),
      AdapterCase(description: "ia3", method: IA3()),
      AdapterCase(
        description: "ia3, PEFT's layers", method: feedforward, targets: suffixes,
        refusals: Dictionary(uniqueKeysWithValues: ["GPT-2", "Llama", "BART", "T5"].map { ($0, "'key' matches no module") })),
      AdapterCase(description: "houlsby", method: houlsby),
      AdapterCase(description: "houlsby, zero up", method: houlsbyZero),
      AdapterCase(description: "pfeiffer", method: pfeiffer),
      AdapterCase(description: "pfeiffer, norms", method: norms),
      AdapterCase(description: "prefix tuning", method: prefix),
      AdapterCase(description: "prefix tuning, projection", method: projectedPrefix),
      AdapterCase(description: "prompt tuning", method: prompt),
      AdapterCase(description: "prompt tuning, vocabulary", method: words),
      AdapterCase(description: "p-tuning", method: pTuning),
      AdapterCase(description: "bitfit", method: BitFit()),
      AdapterCase(
        description: "bitfit, some biases", method: partial,
        refusals: [
          "GPT-2": "has no bias of the kind 'query'", "Llama": "none of its layers has a bias", "T5": "none of its layers has a bias",
        ]),
      AdapterCase(description: "selective", method: SelectiveFineTuning()),
      AdapterCase(description: "delta_lora", method: delta),
      AdapterCase(description: "adalora", method: ada),
      AdapterCase(description: "dylora", method: dy),
      AdapterCase(description: "dylora, frozen, all-linear", method: dyFrozen, targets: all),
      AdapterCase(description: "glora", method: glora),
      AdapterCase(description: "glora, vectors, all-linear", method: gloraVectors, targets: all),
      AdapterCase(description: "glora, constants", method: gloraConstants),
      AdapterCase(description: "glora, supernet", method: supernet),
      AdapterCase(description: "classifier", method: ClassifierOnly()),
      AdapterCase(description: "full", method: FullFineTuning()),
      AdapterCase(description: "full, frozen embeddings", method: upper),
    ]
  }()

  /// What only some families have a place for.
  static let ofFusedLayers: [AdapterCase] = {
    var keys = LoRAFused()
    (keys.r, keys.parts) = (3, ["key"])
    return [AdapterCase(description: "lora_fused", method: LoRAFused()), AdapterCase(description: "lora_fused, keys", method: keys)]
  }()

  /// Those with an adapter to save.
  static let saved = all.filter { type(of: $0.method).peftType != nil }
  /// Those that adapt linear layers.
  static let linear = all.filter { if case .linear = $0.method.placement { true } else { false } }
  /// Those whose update is a product of two factors.
  static let lowRank = linear.filter(\.isLowRank)
  /// Those whose folders PEFT reads; of a random part of the weight it draws another.
  static let peft = saved.filter {
    !($0.method.peftType ?? "").hasPrefix("PERIGEE_") && ($0.method as? LoRA)?.initLoraWeights.isDrawn != true
  }
  /// Whether a plain LoRA equals it.
  var isLowRank: Bool {
    guard case .linear = method.placement else { return false }
    return !(method is GLoRA || method is LoKr || method is IA3) && (method as? LoRA)?.useDora != true
  }
  /// Those that attach something.
  static let attached = all.filter(\.method.hasSites)

  /// Attaches the case's method; with a base, random values in that first.
  func attach(to model: TransformerModel, name: String = "default") throws -> AttachedAdapter {
    if let base {
      try perturb(model.attach(base, targets: targets))
    }
    return try model.attach(method, name: name, targets: targets)
  }
}

let tinyModels = ["tiny-bert", "tiny-roberta"]

func tinyModel(_ name: String, labels: Int = 3, headSeed: UInt64 = 1) throws -> TransformerModel {
  let names = (0..<labels).map { "LABEL_\($0)" }
  return try PretrainedModel(name: fixturesFolder + "/models/" + name)
    .make(.sequence(labels: names), headSeed: headSeed)
}

/// The tiny model that a folder of `peft` was made for, and PEFT's word for what it does.
func modelOfRecord(_ folder: String) throws -> (model: TransformerModel, taskType: String) {
  let facts = try JSONValue(parsing: SafetensorsFile(folder + "/expected.safetensors").metadata["config"] ?? "{}", source: folder)
  let name = facts["model"]?.stringValue ?? ""
  let taskType = facts["task_type"]?.stringValue ?? "SEQ_CLS"
  guard taskType == "SEQ_CLS" else {
    return (try PretrainedModel(name: fixturesFolder + "/models/" + name).make(.language, headSeed: 1), taskType)
  }
  return (try tinyModel(name), taskType)
}

/// A packed batch that the reference implementation computed logits of, and these.
func recordedLogits(_ path: String) throws -> (batch: Batch, logits: Tensor) {
  let file = try SafetensorsFile(path)
  func ints(_ name: String) throws -> [Int32] { try file.tensor(name).values.map { Int32($0) } }
  var batch = try Batch(ids: ints("input_ids"), tokenTypes: ints("token_type_ids"), offsets: Offsets(values: ints("offsets")))
  if file["target_offsets"] != nil { batch.targets = try (ints("labels"), Offsets(values: ints("target_offsets"))) }
  return (batch, try file.tensor("logits"))
}

func tinyBatch() throws -> Batch {
  let ids: [Int32] = [3, 17, 45, 99, 4, 3, 8, 23, 51, 60, 77, 4, 3, 111, 4]
  return try Batch(
    ids: ids, offsets: Offsets(values: [0, 5, 12, 15]), labels: Tensor([0, 2, 1] as [Int32], [3]))
}

/// The tiny batch as a model takes it: with targets where an encoder reads it, and end tokens where a classifier looks for them.
func tinyBatch(for model: TransformerModel) throws -> Batch {
  var batch = try tinyBatch()
  guard model.encoderLayout != nil else { return batch }
  if model.head.isSequence {
    let end = Int32(try model.config.int("eos_token_id", in: 0...10))
    for last in batch.offsets.values.dropFirst() { batch.ids[Int(last) - 1] = end }
  } else {
    let targets: [Int32] = [7, 9, 2, 30, 2, 4, 90, 66, 12, 2]
    batch.targets = (targets, Offsets(lengths: [3, 2, 5]))
    batch.labels = try Tensor(targets, [targets.count])
  }
  return batch
}

/// Random values in everything that trains, so that nothing is zero by accident.
func perturb(_ attached: AttachedAdapter, seed: UInt64 = 5, std: Double = 0.2) throws {
  for (name, tensor) in attached.state() where tensor.requiresGrad {
    let noise = try Tensor.randn(
      tensor.shape, std: std, RandomSource(seed: seed, stream: RandomSource.stream(named: name)))
    try Autograd.noGrad { try tensor.addInPlace(noise) }
  }
}

/// Updates with what the adapter's method does in training; `steps` of `total`. `before` is called ahead of each optimizer
/// step, when gradients are there.
func train(
  _ model: TransformerModel, _ attached: AttachedAdapter, steps: Range<Int>, of total: Int, learningRate: Double = 0.01,
  before: (Int) throws -> Void = { _ in }
) throws {
  let optimizer = Optimizer(AdamW(), ParameterGroup.decaying(model, weightDecay: 0.01))
  let training = attached.training ?? MethodTraining()
  func place(_ step: Int) -> TrainingPlace { TrainingPlace(step: step, totalSteps: total, seed: 7) }
  model.context.isTraining = true
  defer { model.context.isTraining = false }
  try training.begin(place(steps.lowerBound))
  for step in steps {
    try training.beforeStep(place(step))
    model.zeroGrad()
    var loss = try model.loss(tinyBatch())
    if let term = try training.regularization() { loss = try loss.add(term) }
    try loss.backward()
    try training.beforeUpdate(place(step))
    try before(step)
    try optimizer.step(learningRate: learningRate)
    try training.afterUpdate(place(step))
  }
  model.zeroGrad()
}

extension TransformerModel {
  /// The loss of the type of task that the head and the labels are for.
  func loss(_ batch: Batch) throws -> Tensor {
    guard head.isSequence else { return try MaskedLM().loss(self, batch) }
    return try batch.labels?.dtype == .float32 ? Regression().loss(self, batch) : SequenceClassification(labels: labels).loss(self, batch)
  }

  @discardableResult
  func attach(
    _ method: any AdapterMethod, name: String = "default",
    targets: AdapterTargets = AdapterTargets(), seed: UInt64 = 1
  ) throws -> AttachedAdapter {
    try AttachedAdapter.attach(
      method, to: self, name: name, targets: targets,
      defaultTargets: architecture.defaultTargetModules, head: headModules,
      seed: seed)
  }
}

/// The message of the error that `body` throws; nil where it throws none.
func message(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch { return String(describing: error) }
}

extension AttachedAdapter {
  /// Whether every update is a product of two factors, so that it can be written as a plain LoRA.
  var isLowRank: Bool { !linearAdapters.isEmpty && linearAdapters.allSatisfy { $0.adapter is any LowRankUpdate } }
}
