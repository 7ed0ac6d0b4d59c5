import CKernels

/// The one pool of threads that every parallel loop and product runs on.
public enum Threads {
  /// Number of threads. The default is the number of cores in the process's affinity mask, or what the quota of its control
  /// group comes to, rounded up, if that is less.
  public static var count: Int {
    get { Int(pg_threads()) }
    set { pg_set_threads(Int32(clamping: max(1, newValue))) }
  }

  /// "2 threads".
  public static var words: String { "\(count) thread\(count == 1 ? "" : "s")" }

  private final class Job {
    let body: (Range<Int>) -> Void
    init(_ body: @escaping (Range<Int>) -> Void) { self.body = body }
  }

  /// Runs `body` on chunks of `0..<count`, in any order, on all threads. Chunks depend on `chunk` alone.
  public static func parallelFor(_ count: Int, chunk: Int, _ body: @Sendable @escaping (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let job = Job(body)
    withExtendedLifetime(job) {
      pg_parallel_for(
        count, max(1, chunk),
        { context, begin, end in
          guard let context else { return }
          Unmanaged<Job>.fromOpaque(context).takeUnretainedValue().body(begin..<end)
        }, Unmanaged.passUnretained(job).toOpaque())
    }
  }
}
