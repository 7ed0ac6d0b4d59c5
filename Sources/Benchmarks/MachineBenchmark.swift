import CBenchmarks
import Files
import Pipelines
import TensorCore

/// What the machine can do at most: what kernels are compared with.
public struct MachineLimits: Sendable {
  /// One limit, with one thread and with all.
  public struct Limit: Sendable {
    public let name: String
    /// "GB/s" or "GFLOP/s".
    public let unit: String
    public let oneThread: Samples
    public let allThreads: Samples
  }

  public private(set) var limits: [Limit] = []
  /// Memory traffic of a copy on all threads, bytes read and written, in bytes per second.
  public private(set) var copyBandwidth = 0.0
  /// Float32 operations per second on all threads; nil where no unit was measured.
  public private(set) var fp32Speed: Double?
  /// The same with bfloat16 factors, on the fastest unit that has them.
  public private(set) var bf16Speed: Double?

  private init() {}

  /// Limits that are known.
  package init(copyBandwidth: Double, fp32Speed: Double?, bf16Speed: Double?) {
    (self.copyBandwidth, self.fp32Speed, self.bf16Speed) = (copyBandwidth, fp32Speed, bf16Speed)
  }

  /// Measures with one thread and with as many as are set.
  ///
  /// `megabytes`: size of the buffers, which should exceed all caches together.
  public static func measure(_ effort: Effort, megabytes: Int) throws -> MachineLimits {
    var result = MachineLimits()
    let threads = Threads.count
    defer { Threads.count = threads }
    func both(_ measured: () throws -> Samples) throws -> (one: Samples, all: Samples) {
      Threads.count = 1
      let one = try measured()
      Threads.count = threads
      return (one, threads == 1 ? one : try measured())
    }
    let bytes = megabytes << 20
    let (x, y) = (try Tensor.ones([bytes / 4]), try Tensor.ones([bytes / 4]))
    let read = try both { try effort.time { _ = bm_read(bytes, x.pointer) }.map { Double(bytes) / $0 } }
    result.add("memory read", "GB/s", read)
    let copy = try both { try effort.time { bm_copy(bytes, x.pointer, y.pointer) }.map { 2 * Double(bytes) / $0 } }
    result.add("memory copy", "GB/s", copy)
    result.copyBandwidth = copy.all.median
    for unit in [BM_F32, BM_BF16_VECTOR, BM_BF16_TILE] {
      guard let name = bm_unit_name(unit) else { continue }
      let rounds = 1 << 16
      let operations = bm_multiply_add(unit, 1, rounds)
      guard operations > 0 else { continue }
      let speed = try both {
        let count = Threads.count
        return try effort.time { _ = bm_multiply_add(unit, Int32(count), rounds) }.map { operations * Double(count) / $0 }
      }
      result.add(String(cString: name) + " multiply-add", "GFLOP/s", speed)
      if unit == BM_F32 {
        result.fp32Speed = speed.all.median
      } else {
        result.bf16Speed = max(result.bf16Speed ?? 0, speed.all.median)
      }
    }
    return result
  }

  private mutating func add(_ name: String, _ unit: String, _ speed: (one: Samples, all: Samples)) {
    func scaled(_ samples: Samples) -> Samples { samples.map { $0 / 1e9 } }
    limits.append(Limit(name: name, unit: unit, oneThread: scaled(speed.one), allThreads: scaled(speed.all)))
  }

  /// The least time for some work, by the roofline: arithmetic or memory, whichever takes longer.
  func leastSeconds(operations: Double, _ precision: Precision?, bytes: Double) -> Double {
    let speed = precision == .bf16 ? bf16Speed : precision == .fp32 ? fp32Speed : nil
    return max(speed.map { operations / $0 } ?? 0, copyBandwidth > 0 ? bytes / copyBandwidth : 0)
  }

  var json: JSONValue {
    .array(
      limits.map {
        ["name": .string($0.name), "unit": .string($0.unit), "one_thread": $0.oneThread.json, "all_threads": $0.allThreads.json]
      })
  }

  func table() -> Table {
    func cells(_ samples: Samples) -> [JSONValue] { [samples.median, samples.minimum, samples.maximum].map { .double($0) } }
    return Table(
      columns: [
        "limit", "unit", .init("1 thread", decimals: 1), .init("min", decimals: 1), .init("max", decimals: 1),
        .init(Threads.words, decimals: 1), .init("min", decimals: 1), .init("max", decimals: 1),
      ],
      rows: limits.map { [.string($0.name), .string($0.unit)] + cells($0.oneThread) + cells($0.allThreads) })
  }
}

/// `perigee bench machine`
public enum MachineBenchmark {
  public static func run(_ effort: Effort, megabytes: Int) throws -> BenchmarkReport {
    let limits = try MachineLimits.measure(effort, megabytes: megabytes)
    var report = BenchmarkReport("machine")
    report.add(["limits": limits.json, "megabytes": .int(megabytes)])
    report.add(limits.table())
    return report
  }
}
