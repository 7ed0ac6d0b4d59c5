import Bindings

/// What every benchmark needs first.
public enum BenchmarkSetup {
  /// Sets threads (nil: all cores of the process) and precision, as `perigee run` does.
  public static func configure(threads: Int?, precision: PrecisionChoice) {
    _ = ProcessFacts.secondsSinceStart()
    Runner.configure(threads: threads, precision: precision)
  }
}
