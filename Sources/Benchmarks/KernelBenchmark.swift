import Diagnostics
import Files
import Pipelines
import TensorCore

/// `perigee bench kernels`
public enum KernelBenchmark {
  /// One line of the result.
  private struct Row {
    var kernel: KernelCase
    /// Seconds of one call.
    var seconds: Samples
    /// Seconds that plain loops on one thread would take for the same work.
    var referenceSeconds: Double?
    /// Largest difference from the plain loops' result, relative to its largest value.
    var difference: Double?
    /// The roofline's least time over the measured one.
    var shareOfLimit: Double
  }

  /// Measures every kernel whose name contains `filter`, beside plain loops and the machine's limits.
  ///
  /// Throws `EngineError` for shapes that are none and for a filter that matches nothing.
  public static func run(
    _ shape: LayerShape, _ effort: Effort, megabytes: Int, filter: String? = nil, hasReference: Bool = true
  ) throws -> BenchmarkReport {
    guard shape.hidden % shape.heads == 0 else {
      throw EngineError(.argument, "--hidden \(shape.hidden) is not divisible by --heads \(shape.heads)")
    }
    let all =
      KernelCase.products(shape) + KernelCase.attention(shape) + KernelCase.normalisation(shape)
      + KernelCase.elementwise(shape) + KernelCase.optimizer(shape)
    let chosen = filter.map { text in all.filter { $0.name.contains(text) } } ?? all
    guard !chosen.isEmpty else {
      let words = Set(all.flatMap { $0.name.split(whereSeparator: { !$0.isLetter && $0 != "_" }).map(String.init) })
      throw EngineError(
        .argument, "--filter \(filter ?? ""): no kernel's name contains it",
        hint: suggestion(for: filter ?? "", among: words.sorted()))
    }
    let limits = try MachineLimits.measure(Effort(repeats: 3, seconds: effort.seconds), megabytes: megabytes)
    let before = Precision.current
    defer { Precision.current = before }
    let rows = try chosen.map { try measure($0, effort, limits, hasReference: hasReference) }
    var report = BenchmarkReport("kernels")
    report.add([
      "shape": [
        "batch": .int(shape.batch), "length": .int(shape.length), "hidden": .int(shape.hidden),
        "intermediate": .int(shape.intermediate), "heads": .int(shape.heads),
      ],
      "limits": limits.json, "kernels": .array(rows.map(json)),
    ])
    report.add(limits.table())
    report.add(table(rows))
    return report
  }

  private static func measure(
    _ kernel: KernelCase, _ effort: Effort, _ limits: MachineLimits, hasReference: Bool
  ) throws -> Row {
    Precision.current = kernel.precision ?? .fp32
    let work = try kernel.prepare()
    let seconds = try effort.time(kernel.kind) { _ = try work.body() }
    let least = limits.leastSeconds(operations: kernel.operations, kernel.precision, bytes: kernel.bytes)
    var row = Row(kernel: kernel, seconds: seconds, shareOfLimit: least / max(seconds.median, 1e-12))
    guard hasReference, let reference = work.reference else { return row }
    let plain = try Effort(repeats: min(3, effort.repeats), seconds: 0).time { reference.body() }
    row.referenceSeconds = plain.median / reference.share
    if let expected = reference.output { row.difference = relativeDifference(try work.body(), expected) }
    return row
  }

  /// The largest difference of the first elements, relative to the largest of `expected`.
  private static func relativeDifference(_ actual: Tensor, _ expected: Tensor) -> Double {
    var (largest, difference): (Float, Float) = (0, 0)
    for (a, b) in zip(actual.floats, expected.floats) {
      largest = max(largest, abs(b))
      // A difference that is not a number must show.
      difference = abs(a - b) <= difference ? difference : abs(a - b)
    }
    return largest > 0 ? Double(difference / largest) : Double(difference)
  }

  private static func json(_ row: Row) -> JSONValue {
    let kernel = row.kernel
    func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
    return [
      "name": .string(kernel.name), "shape": .string(kernel.shape),
      "precision": kernel.precision.map { .string($0.rawValue) } ?? "fp32", "seconds": row.seconds.json,
      "gflop_per_s": number(kernel.operations > 0 ? kernel.operations / row.seconds.median / 1e9 : nil),
      "gb_per_s": .double(kernel.bytes / row.seconds.median / 1e9), "share_of_limit": .double(row.shareOfLimit),
      "reference_seconds": number(row.referenceSeconds), "speedup": number(row.referenceSeconds.map { $0 / row.seconds.median }),
      "difference": number(row.difference),
    ]
  }

  private static func table(_ rows: [Row]) -> Table {
    func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
    return Table(
      columns: [
        "kernel", "shape", "type", .init("ms", decimals: 3), .init("min", decimals: 3), .init("max", decimals: 3),
        .init("GFLOP/s", decimals: 1), .init("GB/s", decimals: 1), .init("% of limit", decimals: 0),
        .init("plain ms", decimals: 1), .init("x faster", decimals: 1), "difference",
      ],
      rows: rows.map { row in
        let kernel = row.kernel
        let ms = row.seconds.map { $0 * 1e3 }
        return [
          .string(kernel.name), .string(kernel.shape), .string((kernel.precision ?? .fp32).rawValue), .double(ms.median),
          .double(ms.minimum), .double(ms.maximum),
          number(kernel.operations > 0 ? kernel.operations / row.seconds.median / 1e9 : nil),
          .double(kernel.bytes / row.seconds.median / 1e9), .double(row.shareOfLimit * 100),
          number(row.referenceSeconds.map { $0 * 1e3 }), number(row.referenceSeconds.map { $0 / row.seconds.median }),
          number(row.difference),
        ]
      })
  }
}
