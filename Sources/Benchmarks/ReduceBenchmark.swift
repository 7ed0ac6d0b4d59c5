import Diagnostics
import Files
import Foundation
import Pipelines
import TensorCore
import Training

/// `perigee bench reduce`: an update's gradients, added up by several processes that sleep instead of computing them.
public struct ReduceBenchmark {
  /// Bytes of one set of gradients, in float32; at least four for each parameter.
  public var bytes: Int
  /// Parameters that they belong to.
  public var parameters: Int
  /// Pieces of an update.
  public var pieces: Int
  /// How long a piece is "computed", in seconds.
  public var computeSeconds: Double
  /// Updates that are measured.
  public var steps: Int

  public init(bytes: Int, parameters: Int, pieces: Int, computeSeconds: Double, steps: Int) {
    (self.bytes, self.parameters, self.pieces, self.computeSeconds, self.steps) = (bytes, parameters, pieces, computeSeconds, steps)
  }

  /// Measures; every process of `group` has to call it.
  ///
  /// Throws `EngineError` (`.data`) where a sum is not that of one process, bit for bit, and what the group throws.
  public func run(_ group: any ProcessGroup) throws -> BenchmarkReport {
    let sizes = (0..<parameters).map { i in bytes / 4 * (i + 1) / parameters - bytes / 4 * i / parameters }
    let leaves = try sizes.map { size in
      let leaf = try Tensor.zeros([size])
      leaf.requiresGrad = true
      return leaf
    }
    // A few sets of values that pieces take in turn: filling them is not what is measured.
    let sets = try (0..<min(pieces, 4)).map { try Self.values(sizes, set: $0) }
    let expected = try SingleProcess().sum(sets, pieces, into: leaves, seconds: 0).gradients
    var (times, sleeps) = ([Double](), [Double]())
    for step in 0...steps {
      try Interrupt.check()
      // All begin together.
      _ = try group.allGather([])
      let started = ContinuousClock.now
      let (slept, gradients) = try group.sum(sets, pieces, into: leaves, seconds: computeSeconds)
      let time = started.duration(to: .now).seconds
      guard step > 0 else {
        try Self.compare(gradients, expected, "process \(group.rank + 1) of \(group.count)")
        continue
      }
      times.append(time)
      sleeps.append(slept)
    }
    return report(group, times, sleeps)
  }

  /// Numbers whose sums depend on the order.
  private static func values(_ sizes: [Int], set: Int) throws -> [Tensor] {
    var state = UInt32(truncatingIfNeeded: set &* 2_654_435_761 &+ 1)
    return try sizes.map { size in
      let tensor = try Tensor(uninitialized: [size])
      let pointer = tensor.pointer.assumingMemoryBound(to: Float.self)
      for i in 0..<size {
        state = state &* 1_664_525 &+ 1_013_904_223
        pointer[i] = Float(state >> 8) / 8_388_608 - 1
      }
      return tensor
    }
  }

  private static func compare(_ sums: [Tensor], _ expected: [Tensor], _ process: String) throws {
    for (sum, other) in zip(sums, expected) where memcmp(sum.pointer, other.pointer, sum.count * sum.dtype.size) != 0 {
      throw EngineError(
        .data, "\(process): the sum of the gradients is not that of one process",
        hint: "the network, the MPI library or the memory changes what is sent")
    }
  }

  private func report(_ group: any ProcessGroup, _ times: [Double], _ sleeps: [Double]) -> BenchmarkReport {
    let (step, compute) = (Samples(times), Samples(sleeps))
    let communication = Samples(zip(times, sleeps).map { $0 - $1 })
    let efficiency = step.median > 0 ? compute.median / step.median : 0
    var report = BenchmarkReport("reduce")
    report.add([
      "processes": .int(group.count), "pieces": .int(pieces), "bytes": .int(bytes), "parameters": .int(parameters), "steps": .int(steps),
      "step_seconds": step.json, "compute_seconds": compute.json, "communication_seconds": communication.json, "efficiency": .double(efficiency),
    ])
    func row(_ name: String, _ samples: Samples) -> [JSONValue] {
      [.string(name)] + [samples.median, samples.minimum, samples.maximum].map { .double($0 * 1e3) }
    }
    report.add(
      Table(
        columns: ["ms per update", .init("median", decimals: 2), .init("min", decimals: 2), .init("max", decimals: 2)],
        rows: [row("all", step), row("computing", compute), row("adding up", communication)]),
      title: "\(group.count) processes, \(pieces) pieces of \(bytes) bytes; efficiency \(String(format: "%.3f", efficiency))")
    return report
  }
}

extension ProcessGroup {
  /// One update: the seconds that this process slept, and the sums.
  fileprivate func sum(_ sets: [[Tensor]], _ pieces: Int, into leaves: [Tensor], seconds: Double) throws -> (slept: Double, gradients: [Tensor]) {
    var slept = 0.0
    _ = try sum(of: 0..<pieces, into: leaves, separately: true) { piece in
      let started = ContinuousClock.now
      if seconds > 0 { Thread.sleep(forTimeInterval: seconds) }
      slept += started.duration(to: .now).seconds
      for (leaf, gradient) in zip(leaves, sets[piece % sets.count]) { leaf.grad = gradient }
      return 0
    }
    return (slept, leaves.compactMap(\.grad))
  }
}
