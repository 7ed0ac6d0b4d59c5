import ArgumentParser
import Benchmarks

/// `perigee bench machine`
struct BenchMachine: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "machine",
    abstract: "The machine's limits: memory bandwidth, and multiply-adds in fp32 and bf16.",
    discussion: """
      A copy counts the bytes that it reads and those that it writes. Multiply-adds run in registers \
      alone; each counts as two operations.
      """)

  @OptionGroup var effort: EffortOptions
  @OptionGroup var buffers: BufferOptions
  @OptionGroup var options: BenchOptions

  func run() throws {
    BenchmarkSetup.configure(threads: options.threads, memory: options.limits.memory?.bytes, precision: .auto)
    try options.show("machine") {
      try MachineBenchmark.run(effort.effort, megabytes: buffers.megabytes)
    }
  }
}
