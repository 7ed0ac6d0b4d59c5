import ArgumentParser
import Benchmarks
import Files

/// `perigee bench`
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure speed and memory on this machine.",
    discussion: """
      Times are medians, with the smallest and largest of --repeat measurements beside them. Close \
      other programs first.

        perigee bench machine
        perigee bench kernels --filter gelu
        perigee bench step --adapter lora --set r=8 --targets query,value
        perigee bench step --model models/roberta-base --task rte --data glue_data/RTE --max-length 256
        perigee bench generate --model models/gpt2 --prompts 16 --set num_beams=10
        mpirun -n 4 perigee bench reduce --bytes 3500000
      """,
    subcommands: [BenchMachine.self, BenchKernels.self, BenchLayer.self, BenchStep.self, BenchGenerate.self, BenchReduce.self])

  static let commandNames = configuration.subcommands.compactMap { $0.configuration.commandName }
}

/// What all benchmarks have in common.
struct BenchOptions: ParsableArguments {
  @Flag(help: "Print one JSON object instead of tables.")
  var json = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Threads to compute with. (default: one per core)", valueName: "count"))
  var threads: Int?

  @Option(
    help: ArgumentHelp("Show the ratios to an earlier report of the same benchmark, written with --json.", valueName: "file"),
    completion: .file())
  var compare: String?

  @OptionGroup var limits: MemoryOption

  func validate() throws {
    try check("--threads", threads, in: 1...1024)
  }

  /// Measures and prints. An earlier report is read first, so that a mistake in it does not cost a measurement.
  ///
  /// `benchmark`: the command's name.
  func show(_ benchmark: String, _ measure: () throws -> BenchmarkReport) throws {
    let earlier = try compare.map { (report: try ReportComparison.earlier($0, of: benchmark), path: $0) }
    var report = try measure()
    if let earlier { report.compare(with: earlier.report, path: earlier.path) }
    print(json ? JSONValue.object(report.json).encoded(.line) : report.text, terminator: json ? "\n" : "")
  }
}

/// How long to measure, for those benchmarks whose work has no length of its own.
struct EffortOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: ArgumentHelp("How often each time is measured.", valueName: "count"))
  var `repeat` = 5

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Least length of a measurement; short work runs many times in it.", valueName: "s"))
  var seconds = 0.1

  func validate() throws {
    try check("--repeat", `repeat`, in: 1...1000)
    guard seconds >= 0, seconds <= 60 else {
      throw ValidationError("--seconds \(seconds): expected a number from 0 to 60")
    }
  }

  var effort: Effort { Effort(repeats: `repeat`, seconds: seconds) }
}

/// Size of the buffers that memory is measured with.
struct BufferOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Size of the buffers for memory speed; more than all caches together.", valueName: "MiB"))
  var megabytes = 256

  func validate() throws {
    try check("--megabytes", megabytes, in: 1...65_536)
  }
}

/// Throws unless a number, if it was given, is in a range.
func check(_ option: String, _ value: Int?, in range: ClosedRange<Int>) throws {
  guard let value, !range.contains(value) else { return }
  throw ValidationError("\(option) \(value): expected a number from \(range.lowerBound) to \(range.upperBound)")
}
