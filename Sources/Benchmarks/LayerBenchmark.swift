import Adapters
import Diagnostics
import Engine
import Files
import NN
import Pipelines
import TensorCore
import TransformerModels

/// `perigee bench layer`
public enum LayerBenchmark {
  /// What is measured.
  public struct Options: Sendable {
    public var model = BenchmarkModel.randomRoBERTaBase
    public var adapter = "lora"
    public var settings: [String] = []
    public var batch = 32
    public var length = 128
    /// nil: the configuration's.
    public var dropout: Double?
    public var seed = 42

    public init() {}
  }

  /// Times one encoder layer with random weights, forward and backward to its input and its trainable parameters.
  ///
  /// Precision and threads are those that are set.
  public static func run(_ options: Options, _ effort: Effort) throws -> BenchmarkReport {
    let settings = try BenchmarkModel.adapter(options.adapter, settings: options.settings)
    let config = try BenchmarkModel.config(of: options.model, dropout: options.dropout)
    let family = try ModelCatalogue.architecture(of: config)
    let layout = try (family.encoder(config)?.stack ?? family.body(config)).layer
    let layer = try TransformerLayer(ParameterBuilder(seed: UInt64(options.seed)).scope("layer"), layout)
    try layer.setTrainable(false)
    if let settings {
      if let delora = settings.method as? DeLoRA, delora.over != nil {
        throw EngineError(.argument, "--set over: a layer alone has no adapter to build on")
      }
      guard type(of: settings.method).name != ClassifierOnly.name else {
        throw EngineError(.argument, "--adapter \(ClassifierOnly.name): a layer alone has no head to train")
      }
      _ = try AttachedAdapter.attach(
        settings.method, to: layer, targets: settings.targets, defaultTargets: family.defaultTargetModules, head: [],
        seed: UInt64(options.seed))
    }
    let tokens = options.batch * options.length
    let offsets = Offsets(lengths: [Int](repeating: options.length, count: options.batch))
    let x = try KernelCase.random([tokens, layout.size], "x").requiresGrad(true)
    let dy = try KernelCase.random([tokens, layout.size], "dy")
    let context = ForwardContext(seed: UInt64(options.seed))
    context.isTraining = true

    func forward() throws -> Tensor {
      context.begin()
      return try layer(x, LayerRows(offsets), context)
    }
    func backward(_ y: Tensor) throws {
      layer.zeroGrad()
      x.grad = nil
      try y.backward(gradient: dy)
    }
    try backward(forward())
    let rounds = try rounds(effort) { try backward(forward()) }
    var (forwards, backwards): ([Double], [Double]) = ([], [])
    let measurement = Profile.start()
    for _ in 0..<effort.repeats {
      try Interrupt.check()
      var (there, back) = (0.0, 0.0)
      for _ in 0..<rounds {
        let started = ContinuousClock.now
        let y = try forward()
        let middle = ContinuousClock.now
        try backward(y)
        there += started.duration(to: middle).seconds
        back += middle.duration(to: .now).seconds
      }
      forwards.append(there / Double(rounds))
      backwards.append(back / Double(rounds))
    }
    let profile = measurement.stop()
    return report(
      options, layout, tokens, forward: Samples(forwards), backward: Samples(backwards),
      both: Samples(zip(forwards, backwards).map(+)), profile, count: rounds * effort.repeats, layer)
  }

  /// How often the layer runs for one sample.
  private static func rounds(_ effort: Effort, _ body: () throws -> Void) throws -> Int {
    let started = ContinuousClock.now
    try body()
    let once = max(started.duration(to: .now).seconds, 1e-7)
    return Int(min(max((effort.seconds / once).rounded(.up), 1), 10_000))
  }

  private static func report(
    _ options: Options, _ layout: LayerLayout, _ tokens: Int, forward: Samples, backward: Samples, both: Samples,
    _ profile: Profile, count: Int, _ layer: TransformerLayer
  ) -> BenchmarkReport {
    var report = BenchmarkReport("layer")
    report.add([
      "model": .string(options.model), "method": .string(options.adapter), "precision": .string(Precision.current.rawValue),
      "batch": .int(options.batch), "length": .int(options.length), "tokens": .int(tokens), "hidden": .int(layout.size),
      "dropout": .double(layout.dropout), "trainable": .int(layer.parameterCounts().trainable),
      "forward_seconds": forward.json, "backward_seconds": backward.json, "seconds": both.json,
      "tokens_per_s": .double(Double(tokens) / both.median),
    ])
    report.add(
      Table(
        columns: [
          "pass", .init("ms", decimals: 2), .init("min", decimals: 2), .init("max", decimals: 2),
          .init("tokens/s", decimals: 0),
        ],
        rows: [("forward", forward), ("backward", backward), ("both", both)].map { name, seconds in
          let ms = seconds.map { $0 * 1e3 }
          return [
            .string(name), .double(ms.median), .double(ms.minimum), .double(ms.maximum),
            .double(Double(tokens) / seconds.median),
          ]
        }))
    report.add(profile, per: "pass", count: count)
    return report
  }
}
