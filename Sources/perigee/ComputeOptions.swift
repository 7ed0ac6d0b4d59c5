import ArgumentParser
import Engine

/// How a command that asks a trained model computes.
struct ComputeOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Arithmetic of products with frozen weights.", valueName: "type"))
  var precision = PrecisionChoice.auto

  @Option(parsing: .unconditional, help: ArgumentHelp("Threads to compute with. (default: one per core)", valueName: "count"))
  var threads: Int?

  @OptionGroup var limits: MemoryOption

  func validate() throws { try check("--threads", threads, in: 1...1024) }

  /// Sets the engine up accordingly.
  func configure() { EngineSetup.configure(threads: threads, memory: limits.memory?.bytes, precision: precision) }
}
