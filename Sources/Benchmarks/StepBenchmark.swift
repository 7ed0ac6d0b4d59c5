import Adapters
import Datasets
import Diagnostics
import Engine
import Files
import Foundation
import Pipelines
import Tasks
import TensorCore
import Tokenizers
import Training
import TransformerModels

/// `perigee bench step`: whole training steps, with the trainer that pipelines use.
public enum StepBenchmark {
  /// What is measured. Precision and threads are those that are set.
  public struct Options: Sendable {
    /// See `BenchmarkModel.base`.
    public var model = BenchmarkModel.randomRoBERTaBase
    /// Folder of a tokenizer, for real data; nil: the model's.
    public var tokenizer: String?
    /// A method's name, or "none": forward passes alone.
    public var adapter = "lora"
    public var settings: [String] = []
    public var batch = 32
    /// Synthetic data: sequences (nil: five batches), and tokens of each.
    public var sequences: Int?
    public var length = 128
    /// Synthetic data: whether every token is named from those before it, instead of sequences classified.
    public var isLanguage = false
    /// Real data: a GLUE task and its folder.
    public var task: String?
    public var data: String?
    /// Training rows that are used, from the first; nil: all.
    public var limit: Int?
    /// Tokens of an example; nil: 128.
    public var maxLength: Int?
    public var isGroupedByLength = false
    /// nil: the configuration's.
    public var dropout: Double?
    /// Measured passes over the data, and measured steps at most.
    public var epochs = 1.0
    public var steps: Int?
    /// How often as many steps are measured.
    public var repeats = 1
    public var learningRate = 5e-4
    /// What the machine can do; nil: it is measured after the run.
    public var limits: MachineLimits?
    public var seed = 42

    public init() {}
  }

  /// Trains, and reports speed, memory and time by kind of work. The first step is not counted.
  public static func run(_ options: Options) throws -> BenchmarkReport {
    let settings = try BenchmarkModel.adapter(options.adapter, settings: options.settings)
    try check(options, settings)
    let started = ContinuousClock.now
    let base = try BenchmarkModel.base(options.model, dropout: options.dropout, seed: UInt64(options.seed))
    let (task, tokenizer) = try data(options, base, labels: settings?.numLabels ?? 2)
    if options.isLanguage { try base.requireFit(CausalLM.self) }
    let network = try base.make(task.type.head, headSeed: UInt64(options.seed), newHead: !options.isLanguage)
    let longest = longestExample(options)
    guard longest <= network.maxLength else {
      throw EngineError(
        .argument, "\(options.task == nil ? "--length" : "--max-length") \(longest): the model's positions end at \(network.maxLength)")
    }
    try network.setTrainable(false)
    let model = TrainableModel(task.type, network: network, base: base, tokenizer: tokenizer)
    if let settings { try attach(settings, to: model, seed: UInt64(options.seed)) }
    var run = StepRun(model: model, task: task, arguments: arguments(options))
    run.modelSeconds = started.duration(to: .now).seconds
    let count = try run.measure(epochs: options.epochs, steps: options.steps, repeats: options.repeats, trains: settings != nil)
    return try report(options, run, count)
  }

  /// Tokens of an example at most.
  private static func longestExample(_ options: Options) -> Int {
    options.task == nil ? options.length : options.maxLength ?? 128
  }

  private static func check(_ options: Options, _ settings: AdapterSettings?) throws {
    guard (options.task == nil) == (options.data == nil) else {
      throw EngineError(.argument, "real data needs both: --task NAME and --data DIR")
    }
    guard options.task != nil else {
      if settings?.numLabels == 1 {
        throw EngineError(.argument, "--set num_labels=1: synthetic data has classes: expected at least 2")
      }
      let given = [("--tokenizer", options.tokenizer != nil), ("--max-length", options.maxLength != nil), ("--limit", options.limit != nil)]
      if let (name, _) = given.first(where: { $0.1 }) {
        throw EngineError(
          .argument, "\(name): only for real data", hint: "give --task and --data, or shape random data with --length and --sequences")
      }
      return
    }
    if options.sequences != nil {
      throw EngineError(.argument, "--sequences with --task: the data has its own", hint: "use --limit")
    }
    if options.isLanguage { throw EngineError(.argument, "--causal-lm with --task: a GLUE task classifies") }
    if options.settings.contains(where: { $0.hasPrefix("num_labels=") }) {
      throw EngineError(.argument, "--set num_labels with --task: the task has its own")
    }
  }

  /// The task, and a tokenizer for it.
  private static func data(
    _ options: Options, _ base: PretrainedModel, labels: Int
  ) throws -> (task: TrainingTask, tokenizer: Tokenizer) {
    guard let name = options.task, let folder = options.data else {
      let vocabulary = try base.config.int("vocab_size", in: 1...10_000_000)
      // A trainer wants a tokenizer, but no text goes through it: single bytes will do.
      let special = ["<s>", "</s>"]
      let size = 256 + special.count
      guard vocabulary >= size else {
        throw EngineError(.data, "\(options.model): vocab_size \(vocabulary): expected at least \(size) for synthetic tokens")
      }
      let tokenizer = try BPETrainer.train(corpus: [], vocabularySize: size, specialTokens: special)
      let task = TrainingTask.synthetic(
        count: options.sequences ?? 5 * options.batch, length: options.length,
        vocabulary: 5..<Int32(min(30_000, vocabulary)), type: options.isLanguage ? CausalLM() : nil, labels: labels, seed: UInt64(options.seed))
      return (task, tokenizer)
    }
    let definition = try GLUE.read(name, folder: folder)
    var train = definition.train
    train.examples = Array(train.examples.prefix(options.limit ?? train.examples.count))
    let task = try TrainingTask(
      TaskDefinition(
        name: definition.name, labels: definition.labels, labelNames: definition.labelNames,
        metricNames: definition.metricNames, metricForBestModel: definition.metricForBestModel, train: train, evaluation: []))
    guard let place = options.tokenizer ?? base.folder else {
      throw EngineError(.argument, "\(options.model): has no tokenizer", hint: "give --tokenizer DIR")
    }
    return (task, try Tokenizer.load(folder: place))
  }

  private static func attach(_ settings: AdapterSettings, to model: TrainableModel, seed: UInt64) throws {
    if let delora = settings.method as? DeLoRA, let over = delora.over {
      // Its time and memory do not depend on what the LoRA below it has learnt.
      var lora = LoRA()
      lora.r = delora.r
      try model.addAdapter(lora, name: over, targets: settings.targets, seed: seed)
    }
    try model.addAdapter(settings.method, targets: settings.targets, seed: seed)
  }

  private static func arguments(_ options: Options) -> TrainingArguments {
    var arguments = TrainingArguments()
    arguments.trainBatchSize = options.batch
    arguments.learningRate = options.learningRate
    arguments.lrSchedulerType = .constant
    arguments.maxGradNorm = 0
    arguments.evalStrategy = .no
    arguments.loggingSteps = 1_000_000_000
    arguments.maxLength = longestExample(options)
    arguments.trainSamplingStrategy = options.isGroupedByLength ? .groupByLength : .sequential
    arguments.seed = options.seed
    return arguments
  }

  private static func report(_ options: Options, _ run: StepRun, _ stepsPerEpoch: Int) throws -> BenchmarkReport {
    let (seconds, tokens) = (run.seconds, run.tokens)
    let speed = Samples(zip(tokens, seconds).map { Double($0) / $1 })
    let perStep = Samples(run.stepSeconds)
    let (allSeconds, allSteps) = (seconds.reduce(0, +), run.stepSeconds.count)
    let mean = allSeconds / Double(max(1, allSteps))
    let megabyte = 1024.0 * 1024
    let dropout = (try? run.model.network.config.double("hidden_dropout_prob", default: 0.1)) ?? 0
    var report = BenchmarkReport("step")
    let measured: JSONObject = [
      "model": .string(options.model), "method": .string(options.adapter), "precision": .string(Precision.current.rawValue),
      "batch": .int(options.batch), "dropout": .double(dropout), "steps": .int(allSteps / seconds.count),
      "steps_per_epoch": .int(stepsPerEpoch), "repeats": .int(seconds.count),
      "trainable": .int(run.model.network.parameterCounts().trainable),
      "total": .int(run.model.network.parameterCounts().total), "tokens": .int(tokens.reduce(0, +)),
      "tokens_per_s": .double(speed.median), "tokens_per_s_min": .double(speed.minimum),
      "tokens_per_s_max": .double(speed.maximum),
      "tokens_per_s_by_repeat": .array(zip(tokens, seconds).map { .double(Double($0) / $1) }), "s_per_step": .double(mean),
      "s_per_step_median": .double(perStep.median),
      "s_per_step_min": .double(perStep.minimum), "s_per_step_max": .double(perStep.maximum),
      "s_per_epoch": .double(mean * Double(stepsPerEpoch)), "tokenise_s": .double(run.dataSeconds),
      "model_s": .double(run.modelSeconds), "startup_s": .double(run.startupSeconds),
      "peak_rss_mb": .int(Int(Double(ProcessFacts.peakResidentBytes()) / megabyte)),
      "peak_tensor_mb": .int(Int(Double(Memory.peakBytes) / megabyte)), "loss_first": .double(run.losses.first ?? .nan),
      "loss_last": .double(run.losses.last ?? .nan), "seed": .int(options.seed),
    ]
    report.add(measured)
    let names = [
      "model", "method", "precision", "batch", "dropout", "steps", "trainable", "tokens", "tokens_per_s", "tokens_per_s_min",
      "tokens_per_s_max", "s_per_step", "s_per_step_min", "s_per_step_max", "s_per_epoch", "tokenise_s", "startup_s",
      "peak_rss_mb", "peak_tensor_mb", "loss_first", "loss_last",
    ]
    report.add(values: measured, names)
    if let profile = run.profile {
      // In the same minute: a machine's speed changes with what its neighbours do. Memory was read above.
      Memory.trim()
      let limits = try options.limits ?? MachineLimits.measure(Effort(repeats: 3, seconds: 0.05), megabytes: 64)
      report.add(profile, per: "step", count: allSteps, Utilisation(profile, limits, Precision.current))
    }
    return report
  }
}
