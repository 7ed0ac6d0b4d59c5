import ArgumentParser
import Benchmarks
import Engine
import Training

/// `perigee bench reduce`
struct BenchReduce: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reduce",
    abstract: "Adding up gradients by the processes of mpirun or srun.",
    discussion: """
      Every process sleeps instead of computing, and then all add up their gradients as a training by \
      several processes does. The sums are compared with those of one process, bit for bit.

        mpirun -n 4 perigee bench reduce --bytes 3500000 --compute-seconds 1
      """)

  @Option(parsing: .unconditional, help: ArgumentHelp("Bytes of the gradients.", valueName: "count"))
  var bytes = 3_500_000

  @Option(parsing: .unconditional, help: ArgumentHelp("Parameters that they belong to.", valueName: "count"))
  var parameters = 52

  @Option(parsing: .unconditional, help: ArgumentHelp("Pieces of an update. (default: one for each process)", valueName: "count"))
  var pieces: Int?

  @Option(parsing: .unconditional, help: ArgumentHelp("How long a piece is computed.", valueName: "s"))
  var computeSeconds = 0.1

  @Option(parsing: .unconditional, help: ArgumentHelp("Updates that are measured, after one that is not.", valueName: "count"))
  var steps = 10

  @OptionGroup var options: BenchOptions

  func validate() throws {
    try check("--bytes", bytes, in: 4...1 << 32)
    try check("--parameters", parameters, in: 1...bytes / 4)
    try check("--pieces", pieces, in: 1...65_536)
    try check("--steps", steps, in: 1...100_000)
    guard computeSeconds >= 0, computeSeconds <= 3600 else {
      throw ValidationError("--compute-seconds \(computeSeconds): expected a number from 0 to 3600")
    }
  }

  func run() throws {
    let group = try MPIProcessGroup.launched()
    BenchmarkSetup.configure(threads: options.threads ?? 1, memory: options.limits.memory?.bytes, precision: .fp32)
    let benchmark = ReduceBenchmark(
      bytes: bytes, parameters: parameters, pieces: pieces ?? group.count, computeSeconds: computeSeconds, steps: steps)
    do {
      if group.rank == 0 {
        try options.show("reduce") { try benchmark.run(group) }
      } else {
        _ = try benchmark.run(group)
      }
    } catch {
      (group as? MPIProcessGroup)?.abort(error)
      throw error
    }
    (group as? MPIProcessGroup)?.close()
  }
}
