import Diagnostics
import Engine
import Files
import Generation
import Pipelines
import Tasks
import TensorCore
import Tokenizers

/// `perigee bench generate`: how fast a model writes, with the generator that scripts use.
public enum GenerateBenchmark {
  /// What is measured. Precision and threads are those that are set.
  public struct Options {
    /// See `BenchmarkModel.base`.
    public var model = BenchmarkModel.randomRoBERTaBase
    /// Prompts, and random tokens of each.
    public var prompts = 1
    public var length = 32
    /// A file with a prompt in each line, of which the first `prompts` are taken; the tokenizer is the model's. nil: random tokens.
    public var texts: String?
    /// No token ends a text, unless `eos_token_id` says so.
    public var generation = GenerationOptions()
    /// How often all prompts are continued.
    public var repeats = 1
    public var seed = 42

    public init() {}
  }

  /// Continues one prompt by a few tokens to warm up, and then all of them `repeats` times.
  public static func run(_ options: Options) throws -> BenchmarkReport {
    let base = try BenchmarkModel.base(options.model, dropout: nil, seed: UInt64(options.seed))
    let network = try base.languageModel(CausalLM.self, seed: UInt64(options.seed))
    let prompts = try prompts(options, vocabulary: network.layout.embeddings.vocabulary, tokenizer: base.folder)
    func generate(_ prompts: [[Int32]], _ generation: GenerationOptions) throws -> Int {
      let generator = try TokenGenerator(network, generation, seed: UInt64(options.seed))
      return try generator.generate(prompts).joined().reduce(0) { $0 + $1.tokens.count }
    }
    var short = options.generation
    (short.maxNewTokens, short.maxLength, short.minNewTokens, short.minLength) = (2, nil, nil, 0)
    _ = try generate([prompts[0]], short)
    let startup = ProcessFacts.secondsSinceStart()
    Memory.resetPeak()
    let measurement = Profile.start()
    var (seconds, tokens): ([Double], [Int]) = ([], [])
    for _ in 0..<options.repeats {
      let start = ContinuousClock.now
      tokens.append(try generate(prompts, options.generation))
      seconds.append(start.duration(to: .now).seconds)
    }
    let profile = measurement.stop()
    let speed = Samples(zip(tokens, seconds).map { Double($0) / $1 })
    let megabyte = 1024.0 * 1024
    var report = BenchmarkReport("generate")
    let measured: JSONObject = [
      "model": .string(options.model), "precision": .string(Precision.current.rawValue), "prompts": .int(prompts.count),
      "prompt_tokens": .int(prompts.reduce(0) { $0 + $1.count }), "num_beams": .int(options.generation.numBeams),
      "batch_size": .int(options.generation.batchSize), "tokens": .int(tokens.reduce(0, +)), "repeats": .int(options.repeats),
      "tokens_per_s": .double(speed.median), "tokens_per_s_min": .double(speed.minimum), "tokens_per_s_max": .double(speed.maximum),
      "prompts_per_s": .double(Double(prompts.count) / Samples(seconds).median), "startup_s": .double(startup),
      "peak_rss_mb": .int(Int(Double(ProcessFacts.peakResidentBytes()) / megabyte)),
      "peak_tensor_mb": .int(Int(Double(Memory.peakBytes) / megabyte)), "seed": .int(options.seed),
    ]
    report.add(measured)
    report.add(values: measured, measured.members.map(\.0))
    report.add(profile, per: "token", count: tokens.reduce(0, +))
    return report
  }

  private static func prompts(_ options: Options, vocabulary: Int, tokenizer folder: String?) throws -> [[Int32]] {
    guard let path = options.texts else {
      let draws = RandomSource(seed: UInt64(options.seed), stream: 1).bits(options.prompts * options.length)
      let ids = draws.map { Int32((UInt64($0) * UInt64(vocabulary)) >> 32) }
      return (0..<options.prompts).map { Array(ids[$0 * options.length..<($0 + 1) * options.length]) }
    }
    guard let folder else { throw EngineError(.argument, "--texts \(path): \(options.model) has no tokenizer", hint: "give a model folder with one") }
    let tokenizer = try Tokenizer.load(folder: folder)
    let lines = try readText(path).split(whereSeparator: \.isNewline).prefix(options.prompts)
    guard !lines.isEmpty else { throw EngineError(.data, "\(path): has no lines, expected one prompt in each") }
    return try lines.map { line in
      let (start, ids) = try tokenizer.encodePrompt(String(line))
      return start + ids
    }
  }
}
