import Benchmarks
import Diagnostics
import Files
import Foundation
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import Training

/// A RoBERTa that takes milliseconds.
private let tinyConfig = """
  {"model_type": "roberta", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
   "intermediate_size": 128, "max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1}
  """

/// Those of no machine, so that nothing has to be measured.
private let knownLimits = MachineLimits(copyBandwidth: 20e9, fp32Speed: 1e12, bf16Speed: nil)

/// Runs `body` with the path of a tiny model's configuration.
private func withTinyModel<Result>(_ body: (String) throws -> Result) throws -> Result {
  try withTemporaryFolder { folder in
    try tinyConfig.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    return try body(folder)
  }
}

@Suite(.engine) struct SampleTests {
  @Test(arguments: [
    ([3.0], 3.0, 3.0, 3.0), ([4, 1, 2], 2, 1, 4), ([4, 1, 2, 3], 2.5, 1, 4),
  ])
  func median(values: [Double], median: Double, minimum: Double, maximum: Double) {
    let samples = Samples(values)
    #expect((samples.median, samples.minimum, samples.maximum) == (median, minimum, maximum))
    // Another unit may turn the order around.
    let inverse = samples.map { 1 / $0 }
    #expect((inverse.minimum, inverse.maximum) == (1 / maximum, 1 / minimum))
  }

  @Test func processFacts() throws {
    let first = ProcessFacts.secondsSinceStart()
    #expect(first > 0 && first < 24 * 3600)
    #expect(ProcessFacts.secondsSinceStart() >= first)
    #expect(ProcessFacts.peakResidentBytes() > 1 << 20)
  }
}

@Suite(.engine) struct StepBenchmarkTests {
  private func run(_ change: (inout StepBenchmark.Options) -> Void) throws -> JSONValue {
    try withTinyModel { model in
      var options = StepBenchmark.Options()
      (options.model, options.batch, options.length, options.limits) = (model, 4, 16, knownLimits)
      change(&options)
      BenchmarkSetup.configure(threads: 2, precision: .fp32)
      return .object(try StepBenchmark.run(options).json)
    }
  }

  @Test(arguments: [
    // lora: 4 layers of r (in + out), and the head's 64 * 64 + 64 + 2 * 64 + 2.
    ("lora", ["r=4", "target_modules=query,value"], 4 * 4 * 128 + 4290), ("classifier", [], 4290),
    ("delora", ["r=4"], 4 * 16 + 4290), ("delora", ["r=4", "over=lora"], 4 * 16 + 4290), ("full", [], 94_850), ("none", [], 0),
  ])
  func reportsWhatItTrained(adapter: String, settings: [String], trainable: Int) throws {
    let report = try run {
      ($0.adapter, $0.settings, $0.sequences, $0.repeats) = (adapter, settings, 12, 2)
    }
    #expect(report["method"]?.stringValue == adapter)
    #expect(report["trainable"]?.intValue == trainable)
    #expect(report["steps"]?.intValue == 3)
    #expect(report["steps_per_epoch"]?.intValue == 3)
    #expect(report["repeats"]?.intValue == 2)
    // The first step is not counted.
    #expect(report["tokens"]?.intValue == 2 * 12 * 16)
    let numbers = [
      "tokens_per_s", "tokens_per_s_min", "tokens_per_s_max", "s_per_step", "s_per_step_min", "s_per_step_max",
      "s_per_epoch", "startup_s", "peak_rss_mb", "loss_first", "loss_last",
    ]
    for name in numbers {
      let value = try #require(report[name]?.doubleValue, "\(name)")
      #expect(value > 0 && value.isFinite, "\(name)")
    }
    let step = try #require(report["s_per_step"]?.doubleValue)
    #expect(abs((report["s_per_epoch"]?.doubleValue ?? 0) - 3 * step) < 1e-9)
    let speeds = (report["tokens_per_s_by_repeat"]?.arrayValue ?? []).compactMap(\.doubleValue)
    #expect(speeds.count == 2)
    #expect(report["tokens_per_s_min"]?.doubleValue == speeds.min())
    #expect(report["tokens_per_s_max"]?.doubleValue == speeds.max())
    let shares = try #require(report["share_by_kind"]?.objectValue)
    let sum = shares.values.reduce(0) { $0 + ($1.doubleValue ?? .nan) }
    #expect(abs(sum - 1) < 1e-6)
    #expect((shares["products"]?.doubleValue ?? 0) > 0)
    #expect((shares["optimizer"] != nil) == (adapter != "none"))
    // Kinds are counted within the measured steps.
    let seconds = try #require(report["profiled_seconds"]?.doubleValue)
    #expect(seconds < 24 * 3600 && seconds >= step)
  }

  /// A forward pass over 4 x 16 tokens, layer by layer: 2 operations for each weight and token, and in attention 4 for each element of a
  /// query and key. Of the last layer, only keys and values are computed for all tokens, all else for the first of each sequence.
  @Test func countsTheStepsArithmetic() throws {
    let report = try run { ($0.adapter, $0.steps) = ("none", 2) }
    let (block, inner) = (64 * 64, 2 * 64 * 128)
    let products = 2 * 64 * (4 * block + inner) + 2 * 64 * 2 * block + 2 * 4 * (2 * block + inner) + 2 * 4 * (block + 2 * 64)
    let attention = 4 * 64 * (4 * 16 * 16 + 4 * 16)
    let gflop = try #require(report["gflop_per_step"]?.doubleValue)
    #expect(abs(gflop * 1e9 - Double(products + attention)) < 0.5)
    let seconds = try #require(report["profiled_seconds"]?.doubleValue)
    let utilisation = try #require(report["model_flops_utilisation"]?.doubleValue)
    #expect(abs(utilisation - 2 * gflop * 1e9 / seconds / 1e12) < 1e-9)
    #expect(report["peak_gflop_per_s"]?.doubleValue == 1000)
    #expect(report["slowest_part"]?.stringValue?.contains(" a step") == true)
  }

  /// Work without data must not be easier than work with it: one token for all would stay in a cache.
  @Test func syntheticTokensAndLabelsVary() throws {
    let task = TrainingTask.synthetic(count: 64, length: 32, vocabulary: 5..<300, labels: 2, seed: 1)
    let tokenizer = try BPETrainer.train(corpus: [], vocabularySize: 258, specialTokens: ["<s>", "</s>"])
    var arguments = TrainingArguments()
    arguments.trainBatchSize = 48
    let batches = try task.batches(arguments, tokenizer: tokenizer)
    #expect(Set(batches.map(\.offsets.count)) == [48, 16])
    #expect(batches.allSatisfy { Set($0.offsets.lengths) == [32] })
    let ids = batches.flatMap(\.ids)
    // 2,048 draws leave about one id in a thousand out.
    #expect(Set(ids).count > 280)
    #expect((ids.min() ?? 0) >= 5 && (ids.max() ?? 0) < 300)
    let labels = batches.flatMap { $0.labels?.values ?? [] }
    let ones = labels.count { $0 == 1 }
    #expect(labels.count == 64 && ones > 16 && ones < 48)
  }

  @Test func stepsAndEpochs() throws {
    let two = try run { ($0.sequences, $0.epochs) = (8, 1.5) }
    #expect(two["steps"]?.intValue == 3)
    #expect(two["tokens"]?.intValue == 3 * 4 * 16)
    #expect(try run { ($0.sequences, $0.steps) = (8, 1) }["steps"]?.intValue == 1)
    #expect(try run { $0.adapter = "classifier" }["steps"]?.intValue == 5)
  }

  @Test func theSameSeedGivesTheSameLosses() throws {
    func losses(_ seed: Int) throws -> [Double?] {
      let report = try run { ($0.adapter, $0.seed, $0.steps) = ("lora", seed, 3) }
      return [report["loss_first"]?.doubleValue, report["loss_last"]?.doubleValue]
    }
    #expect(try losses(1) == losses(1))
    #expect(try losses(1) != losses(2))
  }

  @Test func dropoutTakesThePlaceOfTheConfigurations() throws {
    let (with, without) = (try run { $0.steps = 1 }, try run { ($0.steps, $0.dropout) = (1, 0) })
    #expect(with["dropout"]?.doubleValue == 0.1)
    #expect(without["dropout"]?.doubleValue == 0)
    #expect(with["loss_first"] != without["loss_first"])
  }

  @Test(.enabled(if: testData("glue/RTE") != nil && testData("tokenizers/roberta-base") != nil))
  func trainsOnRealData() throws {
    let report = try withTemporaryFolder { folder in
      let config = tinyConfig.replacingOccurrences(of: "300", with: "50265")
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      var options = StepBenchmark.Options()
      (options.model, options.batch, options.maxLength) = (folder, 4, 32)
      (options.task, options.data, options.limit) = ("rte", testData("glue/RTE"), 10)
      (options.tokenizer, options.limits) = (testData("tokenizers/roberta-base"), knownLimits)
      BenchmarkSetup.configure(threads: 2, precision: .fp32)
      return JSONValue.object(try StepBenchmark.run(options).json)
    }
    #expect(report["steps"]?.intValue == 3)
    let tokens = try #require(report["tokens"]?.intValue)
    #expect(tokens > 100 && tokens <= 3 * 4 * 32)
  }

  @Test func builtInModelTrains() throws {
    let report = try run { ($0.model, $0.steps) = ("builtin:tiny", 1) }
    #expect(report["tokens"]?.intValue == 4 * 16)
  }

  @Test func mistakes() throws {
    let table: [(String, (inout StepBenchmark.Options) -> Void)] = [
      ("--adapter lorra: no such method; did you mean 'lora'?", { $0.adapter = "lorra" }),
      ("--set x=1: no option 'x'; did you mean 'r'?", { $0.settings = ["x=1"] }),
      ("--set r=1: --adapter none has no options", { ($0.adapter, $0.settings) = ("none", ["r=1"]) }),
      ("--length 65: the model's positions end at 64", { $0.length = 65 }),
      ("real data needs both: --task NAME and --data DIR", { $0.task = "rte" }),
      ("real data needs both: --task NAME and --data DIR", { $0.data = "x" }),
      ("x: no such folder; expected the folder of rte with train.tsv in it", { ($0.task, $0.data) = ("rte", "x") }),
      ("GLUE has no task 'rt'; did you mean 'rte'?", { ($0.task, $0.data) = ("rt", "x") }),
      ("--sequences with --task: the data has its own; use --limit", { ($0.task, $0.data, $0.sequences) = ("rte", "x", 1) }),
      ("--set num_labels=1: synthetic data has classes", { $0.settings = ["num_labels=1"] }),
      ("--model random:bert: no such model; expected random:roberta-base", { $0.model = "random:bert" }),
      ("builtin:tny: no such built-in model; did you mean 'builtin:tiny'?", { $0.model = "builtin:tny" }),
      ("nowhere/config.json: ", { $0.model = "nowhere/config.json" }),
      ("--tokenizer: only for real data; give --task and --data", { $0.tokenizer = "x" }),
      ("--max-length: only for real data", { $0.maxLength = 32 }), ("--limit: only for real data", { $0.limit = 1 }),
    ]
    for (message, change) in table {
      do {
        _ = try run(change)
        Issue.record("no error: expected '\(message)'")
      } catch let error as EngineError {
        #expect("\(error)".hasPrefix(message), "\(error)")
      }
    }
  }
}

@Suite(.engine) struct KernelBenchmarkTests {
  private static let shape: LayerShape = {
    var shape = LayerShape()
    (shape.batch, shape.length, shape.hidden, shape.intermediate, shape.heads) = (2, 12, 64, 96, 4)
    return shape
  }()
  private static let effort = Effort(repeats: 1, seconds: 0)

  /// The kernels compute what plain loops do; that is what makes their times comparable.
  @Test func kernelsAgreeWithPlainLoops() throws {
    let report = JSONValue.object(try KernelBenchmark.run(Self.shape, Self.effort, megabytes: 1).json)
    let kernels = try #require(report["kernels"]?.arrayValue)
    #expect(kernels.count >= 20)
    var compared = 0
    for kernel in kernels {
      let name = kernel["name"]?.stringValue ?? ""
      let seconds = try #require(kernel["seconds"]?["median"]?.doubleValue, "\(name)")
      #expect(seconds > 0, "\(name)")
      guard let difference = kernel["difference"]?.doubleValue else { continue }
      compared += 1
      #expect(difference <= (kernel["precision"]?.stringValue == "bf16" ? 0.02 : 1e-5), "\(name)")
    }
    #expect(compared >= 12)
  }

  @Test func filter() throws {
    func names(_ filter: String) throws -> [String] {
      let report = try KernelBenchmark.run(Self.shape, Self.effort, megabytes: 1, filter: filter, hasReference: false)
      return (report.json["kernels"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
    }
    #expect(try names("gelu") == ["gelu forward", "gelu backward"])
    #expect(throws: EngineError(.argument, "--filter glu: no kernel's name contains it", hint: "did you mean 'gelu'?")) {
      try names("glu")
    }
  }

  @Test func precisionAndThreadsAreAsBefore() throws {
    BenchmarkSetup.configure(threads: 2, precision: .fp32)
    _ = try KernelBenchmark.run(Self.shape, Self.effort, megabytes: 1, filter: "query forward", hasReference: false)
    #expect(Precision.current == .fp32)
    #expect(Threads.count == 2)
  }

  @Test func machine() throws {
    let report = JSONValue.object(try MachineBenchmark.run(Effort(repeats: 2, seconds: 0), megabytes: 1).json)
    let limits = try #require(report["limits"]?.arrayValue)
    #expect(limits.compactMap { $0["name"]?.stringValue }.prefix(2) == ["memory read", "memory copy"])
    for limit in limits {
      for threads in ["one_thread", "all_threads"] {
        let (median, least) = (limit[threads]?["median"]?.doubleValue ?? 0, limit[threads]?["min"]?.doubleValue ?? 0)
        #expect(least > 0 && median >= least && median.isFinite)
      }
    }
  }
}

/// A GPT-2 that takes milliseconds.
private let tinyDecoder = """
  {"model_type": "gpt2", "vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 48}
  """

@Suite(.engine) struct DecoderBenchmarkTests {
  private func withDecoder<Result>(_ body: (String) throws -> Result) throws -> Result {
    try withTemporaryFolder { folder in
      try tinyDecoder.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      return try body(folder)
    }
  }

  @Test(arguments: [(1, 1), (3, 4)]) func writes(prompts: Int, beams: Int) throws {
    try withDecoder { model in
      var options = GenerateBenchmark.Options()
      (options.model, options.prompts, options.length, options.repeats) = (model, prompts, 5, 2)
      (options.generation.maxNewTokens, options.generation.numBeams) = (7, beams)
      BenchmarkSetup.configure(threads: 2, precision: .fp32)
      let report = JSONValue.object(try GenerateBenchmark.run(options).json)
      #expect(report["tokens"]?.intValue == 2 * 7 * prompts)
      #expect(report["prompt_tokens"]?.intValue == 5 * prompts)
      #expect((report["tokens_per_s"]?.doubleValue ?? 0) > 0)
      #expect((report["share_by_kind"]?["attention"]?.doubleValue ?? 0) > 0)
      options.texts = model + "/config.json"
      #expect(throws: EngineError.self) { try GenerateBenchmark.run(options) }
    }
  }

  @Test func trainsLanguageModels() throws {
    try withDecoder { model in
      var options = StepBenchmark.Options()
      (options.model, options.batch, options.length, options.isLanguage) = (model, 4, 16, true)
      (options.settings, options.dropout, options.limits) = (["r=4", "target_modules=c_attn"], 0, knownLimits)
      let report = JSONValue.object(try StepBenchmark.run(options).json)
      #expect(report["trainable"]?.intValue == 2 * 4 * (32 + 96))
      // Random tokens: the logarithm of the vocabulary's size.
      #expect(abs((report["loss_first"]?.doubleValue ?? 0) - 5.7) < 0.3)
    }
  }
}

@Suite(.engine) struct LayerBenchmarkTests {
  @Test(arguments: [("lora", ["r=4"], 2 * 4 * 128), ("none", [], 0), ("full", [], 33_472)])
  func reportsBothPasses(adapter: String, settings: [String], trainable: Int) throws {
    try withTinyModel { model in
      var options = LayerBenchmark.Options()
      (options.model, options.batch, options.length) = (model, 2, 16)
      (options.adapter, options.settings) = (adapter, settings)
      let report = JSONValue.object(try LayerBenchmark.run(options, Effort(repeats: 2, seconds: 0)).json)
      #expect(report["trainable"]?.intValue == trainable)
      #expect(report["tokens"]?.intValue == 32)
      for pass in ["forward_seconds", "backward_seconds", "seconds"] {
        #expect((report[pass]?["min"]?.doubleValue ?? 0) > 0, "\(pass)")
      }
      let shares = try #require(report["share_by_kind"]?.objectValue)
      #expect((shares["attention"]?.doubleValue ?? 0) > 0)
    }
  }

  @Test func mistakes() throws {
    for (adapter, settings, message) in [
      ("classifier", [], "--adapter classifier: a layer alone has no head to train"),
      ("delora", ["over=lora"], "--set over: a layer alone has no adapter to build on"),
      ("lora", ["target_modules=qery"], "target_modules: 'qery' matches no module; did you mean 'query'?"),
    ] as [(String, [String], String)] {
      var options = LayerBenchmark.Options()
      (options.adapter, options.settings) = (adapter, settings)
      do {
        _ = try withTinyModel { model in
          options.model = model
          return try LayerBenchmark.run(options, Effort(repeats: 1, seconds: 0))
        }
        Issue.record("no error: expected '\(message)'")
      } catch let error as EngineError {
        #expect("\(error)".contains(message), "\(error)")
      }
    }
  }
}
