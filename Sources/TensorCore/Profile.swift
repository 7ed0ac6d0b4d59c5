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
    /// Floating-point operations; counted for products and attention alone.
    public var operations = 0.0
    /// Bytes that had to be read or written at least; counted for the activations, norms, dropout and AdamW of layers alone.
    public var bytes = 0.0

    public init(seconds: Double = 0, calls: Int = 0, operations: Double = 0, bytes: Double = 0) {
      (self.seconds, self.calls, self.operations, self.bytes) = (seconds, calls, operations, bytes)
    }
  }

  private var entries = [Entry](repeating: Entry(), count: Kind.allCases.count)
  /// From `start()` to `stop()`.
  public private(set) var seconds = 0.0

  private init() {}

  /// What a measurement of `seconds` found.
  package init(seconds: Double, _ entries: [Kind: Entry]) {
    self.seconds = seconds
    for (kind, entry) in entries { self.entries[Int(kind.rawValue)] = entry }
  }

  /// The kernels of one kind.
  public subscript(kind: Kind) -> Entry { entries[Int(kind.rawValue)] }

  /// Whether this thread's kernels are measured.
  static var isRunning: Bool { pg_is_profiling() }

  /// Notes that kernels of a kind have to do so much.
  static func count(_ kind: Kind, operations: Double = 0, bytes: Int = 0) {
    pg_profile_add(pg_kind(kind.rawValue), operations, Double(bytes))
  }

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
      profile.entries = sums.map {
        Entry(seconds: Double($0.nanoseconds) * 1e-9, calls: Int(clamping: $0.calls), operations: $0.operations, bytes: $0.bytes)
      }
      return profile
    }
  }
}

extension Duration {
  /// As a number of seconds.
  public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
