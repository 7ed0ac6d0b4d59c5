import Adapters
import Checkpoints
import Datasets
import Files
import Foundation
import NN
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import TransformerModels

@testable import Training

/// A way to train the upper part of a tiny model.
struct FrozenCase: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var family = "tiny-roberta"
  /// Layers with a LoRA that trains.
  var topLayers: [Int] = []
  /// Whether a frozen LoRA sits in all layers.
  var hasFrozenLoRA = false
  var dropout = 0.0
  var keepsDropout = true
  var sampling = TrainingArguments.Sampling.random
  var accumulation = 1
  var checkpoints = false

  static let all = [
    FrozenCase(testDescription: "classifier, BERT", family: "tiny-bert"),
    FrozenCase(testDescription: "classifier, RoBERTa, by length", sampling: .groupByLength),
    FrozenCase(testDescription: "classifier, accumulation", accumulation: 3),
    FrozenCase(testDescription: "classifier, dropout above", dropout: 0.2, keepsDropout: false),
    FrozenCase(testDescription: "classifier, dropout everywhere", dropout: 0.2),
    FrozenCase(testDescription: "LoRA in the last layer", topLayers: [2]),
    FrozenCase(testDescription: "LoRA in two layers, dropout above", family: "tiny-bert", topLayers: [1, 2], dropout: 0.1, keepsDropout: false),
    FrozenCase(
      testDescription: "LoRA in the last layer, checkpoints, dropout above", topLayers: [2], dropout: 0.1, keepsDropout: false,
      checkpoints: true),
    FrozenCase(testDescription: "LoRA in all layers", topLayers: [0, 1, 2]),
    FrozenCase(testDescription: "classifier over a frozen LoRA", hasFrozenLoRA: true),
    FrozenCase(testDescription: "classifier over a frozen LoRA, dropout above", hasFrozenLoRA: true, dropout: 0.1, keepsDropout: false),
  ]

  func model() throws -> TrainableModel {
    let path = packageRoot + "/Tests/Fixtures/models/\(family)/config.json"
    var config = try #require(JSONValue(file: path).objectValue)
    config["num_hidden_layers"] = 3
    config["vocab_size"] = .int(FrozenTask.tokenizer.vocabularySize)
    config["hidden_dropout_prob"] = .double(dropout)
    config["attention_probs_dropout_prob"] = .double(dropout)
    let base = try PretrainedModel(config: HuggingFaceConfig(config, path: path), name: "tiny", seed: 5)
    let model = TrainableModel(
      FrozenTask.type, network: try base.make(FrozenTask.type.head, headSeed: 5), base: base, tokenizer: FrozenTask.tokenizer)
    var lora = LoRA()
    (lora.r, lora.loraAlpha, lora.loraDropout) = (4, 8, dropout)
    if hasFrozenLoRA {
      try model.addAdapter(lora, name: "old", seed: 7)
      for (name, tensor) in model.network.namedParameters() where name.contains("lora_B") {
        try tensor.assign(.randn(tensor.shape, std: 0.2, RandomSource(seed: 8, stream: RandomSource.stream(named: name))))
      }
    }
    if topLayers.isEmpty {
      try model.addAdapter(ClassifierOnly(), seed: 9)
    } else {
      var targets = AdapterTargets()
      targets.layersToTransform = topLayers
      try model.addAdapter(lora, targets: targets, seed: 9)
    }
    return model
  }

  var arguments: TrainingArguments {
    var arguments = TrainingArguments()
    (arguments.numTrainEpochs, arguments.trainBatchSize, arguments.evalBatchSize) = (3, 4, 5)
    (arguments.learningRate, arguments.maxLength, arguments.saveSeconds) = (1e-2, 32, 1e9)
    (arguments.trainSamplingStrategy, arguments.gradientAccumulationSteps) = (sampling, accumulation)
    (arguments.frozenLayerDropout, arguments.loggingSteps) = (keepsDropout, 1)
    arguments.gradientCheckpointing = checkpoints
    return arguments
  }
}

/// Sentences of five to fourteen words with two labels.
enum FrozenTask {
  private static let words = ["good", "bad", "fine", "film", "plot", "music", "the", "was", "very", "not"]

  private static func split(_ name: String, _ count: Int) -> Split {
    Split(
      name: name, path: name + ".tsv",
      examples: (0..<count).map { i in
        let text = (0..<(5 + i * 7 % 10)).map { words[(3 * i + 7 * $0 + i * $0) % 10] }.joined(separator: " ")
        return Example([text], target: .label(i % 3 == 0 ? 1 : 0), line: i + 2)
      })
  }

  static let tokenizer: Tokenizer = {
    do {
      return try BPETrainer.train(
        corpus: [words.joined(separator: " ")], vocabularySize: 280, specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    } catch {
      fatalError("\(error)")
    }
  }()

  static let train = split("train", 26)
  static let dev = split("dev", 13)

  static let type = SequenceClassification(labels: ["no", "yes"])

  /// `onBatch`: called with the number of the batch, from 1, evaluations not counted.
  static func task(evaluation: [Split] = [dev], onBatch: ((Int) -> Void)? = nil) -> TrainingTask {
    TrainingTask(
      name: "frozen", type: onBatch.map { RecordedType($0) } ?? type, metricNames: ["accuracy"], metricForBestModel: "accuracy",
      identity: .null, train: train, evaluation: evaluation)
  }
}

/// Masked language modelling of sentences.
func maskedTask(_ name: String, train: Split, evaluation: [Split]) -> TrainingTask {
  TrainingTask(
    name: name, type: MaskedLM(), metricNames: ["accuracy"], metricForBestModel: "accuracy", identity: .null, train: train,
    evaluation: evaluation)
}

/// The type of `FrozenTask`; a test can look in whenever a batch is made.
private final class RecordedType: TaskType, @unchecked Sendable {
  static let name = "recorded"
  private let plain = FrozenTask.type
  private let onBatch: (Int) -> Void
  private var count = 0

  init(_ onBatch: @escaping (Int) -> Void) { self.onBatch = onBatch }

  var head: HeadKind { plain.head }
  var summary: String { plain.summary }
  func match(_ model: any TaskType) -> LabelMatch? { plain.match(model) }
  func loss(_ logits: Tensor, _ labels: Tensor, labelSmoothing: Double, divisor: Double?) throws -> Tensor {
    try plain.loss(logits, labels, labelSmoothing: labelSmoothing, divisor: divisor)
  }
  func answers(_ logits: Tensor) -> [Answer] { plain.answers(logits) }
  func references(_ batch: Batch, of data: EncodedDataset) throws -> [Answer] { try plain.references(batch, of: data) }

  func prepare(_ batch: inout Batch, of data: EncodedDataset, _ preparation: Preparation) throws {
    try plain.prepare(&batch, of: data, preparation)
    guard data.source == "train.tsv" else { return }
    count += 1
    onBatch(count)
  }
}

/// States in a folder; scratch files too, unless `hasScratch` is false.
final class FolderStore: TrainerStore {
  let folder: String
  let hasScratch: Bool

  init(_ folder: String, hasScratch: Bool = true) {
    self.folder = folder
    self.hasScratch = hasScratch
  }

  var scratchFolder: String? { hasScratch ? folder : nil }

  func saveState(_ write: (String) throws -> Void) throws {
    try AtomicFolder.write(to: folder + "/state") { try write($0) }
  }

  func stateFolder() throws -> String? {
    FileManager.default.fileExists(atPath: folder + "/state") ? folder + "/state" : nil
  }
}

/// What a training came to, bit for bit.
struct Outcome: Equatable {
  /// Loss and gradient norm of each update.
  var steps: [[Double]] = []
  /// Metrics of each evaluation.
  var evaluations: [[String: Double]] = []
  var weights: [String: [Double]] = [:]

  /// The largest difference of any number, relative to 1 or the number.
  func distance(to other: Outcome) -> Double {
    func flat(_ outcome: Outcome) -> [Double] {
      outcome.steps.joined() + outcome.evaluations.flatMap { $0.sorted { $0.key < $1.key }.map(\.value) }
        + outcome.weights.sorted { $0.key < $1.key }.flatMap(\.value)
    }
    let (a, b) = (flat(self), flat(other))
    guard a.count == b.count else { return .infinity }
    return zip(a, b).map { abs($0 - $1) / max(1, abs($0)) }.max() ?? 0
  }
}
