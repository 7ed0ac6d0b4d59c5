import Diagnostics
import Files
import TensorCore

/// Several measurements of one thing.
public struct Samples: Sendable, Equatable {
  /// In ascending order; not empty.
  private let sorted: [Double]

  /// `values`: at least one.
  public init(_ values: [Double]) {
    precondition(!values.isEmpty)
    sorted = values.sorted()
  }

  public var minimum: Double { sorted[0] }
  public var maximum: Double { sorted[sorted.count - 1] }
  /// The middle one, or the mean of the two in the middle.
  public var median: Double { (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2 }

  /// The same measurements in another unit.
  public func map(_ convert: (Double) -> Double) -> Samples { Samples(sorted.map(convert)) }

  public var json: JSONValue {
    ["median": .double(median), "min": .double(minimum), "max": .double(maximum)]
  }
}

/// How long and how often something is measured.
public struct Effort: Sendable {
  /// Samples that are taken; at least 1.
  public var repeats: Int
  /// Seconds that a sample takes at least: what is measured runs as often as that needs.
  public var seconds: Double

  public init(repeats: Int, seconds: Double) {
    self.repeats = max(1, repeats)
    self.seconds = seconds
  }

  /// Seconds of one call of `body`. The first call warms up and is not counted.
  func time(_ body: () throws -> Void) throws -> Samples {
    try sample { count in
      let started = ContinuousClock.now
      for _ in 0..<count { try body() }
      return started.duration(to: .now).seconds
    }
  }

  /// Seconds that one call of `body` spends in kernels of a kind. The first call is not counted.
  func time(_ kind: Profile.Kind, _ body: () throws -> Void) throws -> Samples {
    try sample { count in
      let measurement = Profile.start()
      for _ in 0..<count { try body() }
      return measurement.stop()[kind].seconds
    }
  }

  private func sample(_ run: (_ count: Int) throws -> Double) throws -> Samples {
    _ = try run(1)
    let once = max(try run(1), 1e-7)
    let count = Int(min(max((seconds / once).rounded(.up), 1), 10_000))
    return Samples(
      try (0..<repeats).map { _ in
        try Interrupt.check()
        return try run(count) / Double(count)
      })
  }
}
