import CKernels

/// Where time goes by kind of work: what the kernels took that one thread called between `start()` and `stop()`.
///
/// A kernel's time is its wall time to its return, on all threads of the pool; kernels inside other kernels count as
/// their callers' kind, and what other threads call counts nowhere. So the kinds add up to at most `seconds`; the rest was
/// spent outside kernels: memory, the graph, batches.
public struct Profile: Sendable {
  /// What a kernel does. The order is the one of reports.
  public enum Kind: UInt32, Sendable, CaseIterable {
    case products, attention, normalisation, elementwise, random, rows, optimizer, copies, other

    /// What reports call it.
    public var name: String {
      switch self {
      case .products: "products"
      case .attention: "attention"
      case .normalisation: "normalisation"
      case .elementwise: "elementwise"
      case .random: "dropout/random"
      case .rows: "rows/embedding"
      case .optimizer: "optimizer"
      case .copies: "conversion/copies"
      case .other: "other kernels"
      }
    }
  }

  /// The kernels of one kind.
  public struct Entry: Sendable, Equatable {
    public var seconds = 0.0
    public var calls = 0
    /// Floating-point operations; counted for products alone.
    public var operations = 0.0
  }

  private var entries = [Entry](repeating: Entry(), count: Kind.allCases.count)
  /// From `start()` to `stop()`.
  public private(set) var seconds = 0.0

  /// The kernels of one kind.
  public subscript(kind: Kind) -> Entry { entries[Int(kind.rawValue)] }

  /// Time that no kernel took.
  public var secondsOutside: Double { seconds - entries.reduce(0) { $0 + $1.seconds } }

  /// Begins a measurement of what this thread calls; one at a time, an earlier one ends.
  public static func start() -> Measurement {
    let started = ContinuousClock.now
    pg_profile_start()
    return Measurement(started: started)
  }

  /// A measurement under way.
  public struct Measurement {
    fileprivate let started: ContinuousClock.Instant

    /// Ends it. To be called on the thread that began it.
    public func stop() -> Profile {
      pg_profile_stop()
      var profile = Profile()
      profile.seconds = started.duration(to: .now).seconds
      var sums = [pg_profile_entry](repeating: pg_profile_entry(), count: profile.entries.count)
      sums.withUnsafeMutableBufferPointer { pg_profile_read($0.baseAddress) }
      profile.entries = sums.map { Entry(seconds: Double($0.nanoseconds) * 1e-9, calls: Int(clamping: $0.calls), operations: $0.operations) }
      return profile
    }
  }
}

extension Duration {
  /// As a number of seconds.
  public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
