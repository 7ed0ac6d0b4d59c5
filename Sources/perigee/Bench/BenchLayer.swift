import ArgumentParser
import Benchmarks

/// `perigee bench layer`
struct BenchLayer: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layer",
    abstract: "One encoder layer, forward and backward.",
    discussion: """
      The layer has the sizes of --model and random weights, and an input that wants a gradient, as \
      every layer has that is not the first.
      """)

  @OptionGroup var training: TrainingOptions
  @OptionGroup var effort: EffortOptions
  @OptionGroup var options: BenchOptions

  func run() throws {
    BenchmarkSetup.configure(threads: options.threads, memory: options.limits.memory?.bytes, precision: training.precision)
    var layer = LayerBenchmark.Options()
    (layer.model, layer.adapter, layer.settings) = (training.model, training.adapter, training.allSettings)
    (layer.batch, layer.length, layer.dropout) = (training.batch, training.length, training.dropout)
    layer.seed = training.seed
    try options.show("layer") {
      try LayerBenchmark.run(layer, effort.effort)
    }
  }
}
