import ArgumentParser
import Benchmarks

/// `perigee bench kernels`
struct BenchKernels: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "The engine's kernels, beside the machine's limits and plain loops.",
    discussion: """
      Shapes are those of RoBERTa-base, unless other ones are given. "% of limit": the least time that \
      the machine's arithmetic or its memory allows, over the measured time; what stays in a cache can \
      exceed it. "plain ms": the same work in plain loops on one thread, and how far the result is from \
      theirs, relative to its largest value.
      """)

  @Option(
    help: ArgumentHelp("Measure only kernels with this in their name: gelu, packed, backward.", valueName: "text"))
  var filter: String?

  @Flag(help: "Leave out the plain loops, which take most of the time.")
  var noReference = false

  @Option(parsing: .unconditional, help: ArgumentHelp("Sequences in a batch.", valueName: "count"))
  var batch = 32

  @Option(parsing: .unconditional, help: ArgumentHelp("Tokens of a sequence.", valueName: "count"))
  var length = 128

  @Option(parsing: .unconditional, help: ArgumentHelp("Hidden size.", valueName: "size"))
  var hidden = 768

  @Option(parsing: .unconditional, help: ArgumentHelp("Size of the feed-forward layer.", valueName: "size"))
  var intermediate = 3072

  @Option(parsing: .unconditional, help: ArgumentHelp("Attention heads.", valueName: "count"))
  var heads = 12

  @OptionGroup var effort: EffortOptions
  @OptionGroup var buffers: BufferOptions
  @OptionGroup var options: BenchOptions

  func validate() throws {
    try check("--batch", batch, in: 1...65_536)
    try check("--length", length, in: 1...65_536)
    try check("--hidden", hidden, in: 1...65_536)
    try check("--intermediate", intermediate, in: 1...1_000_000)
    try check("--heads", heads, in: 1...65_536)
  }

  func run() throws {
    BenchmarkSetup.configure(threads: options.threads, memory: options.limits.memory?.bytes, precision: .auto)
    var shape = LayerShape()
    (shape.batch, shape.length, shape.hidden) = (batch, length, hidden)
    (shape.intermediate, shape.heads) = (intermediate, heads)
    try options.show("kernels") {
      try KernelBenchmark.run(
        shape, effort.effort, megabytes: buffers.megabytes, filter: filter, hasReference: !noReference)
    }
  }
}
