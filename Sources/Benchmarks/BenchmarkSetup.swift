import Engine

/// What every benchmark needs first.
public enum BenchmarkSetup {
  /// Sets threads (nil: all cores of the process), the bytes that tensors may take (nil: as the machine has them) and
  /// precision, as `perigee run` does.
  public static func configure(threads: Int?, memory: Int? = nil, precision: PrecisionChoice) {
    _ = ProcessFacts.secondsSinceStart()
    EngineSetup.configure(threads: threads, memory: memory, precision: precision)
  }
}
