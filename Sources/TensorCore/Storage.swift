import CKernels
import Diagnostics

/// A block of bytes that tensors share. Own blocks come from the kernels' allocator (64-byte aligned, reused
/// from step to step); borrowed ones belong to an owner that the storage keeps alive, such as a mapped file.
public final class Storage {
  public let pointer: UnsafeMutableRawPointer
  public let byteCount: Int
  private let owner: AnyObject?
  /// Whether the bytes may be written.
  public let isWritable: Bool
  private let whenUnneeded: (() -> Void)?
  /// Counts writes to the bytes, through whichever tensor.
  package var version = 0

  /// Uninitialised bytes. Throws where memory is exhausted.
  public init(byteCount: Int) throws {
    guard let pointer = pg_allocate(byteCount) else {
      throw EngineError(.argument, "out of memory: \(byteCount) bytes wanted, \(pg_live_bytes()) in use")
    }
    self.pointer = pointer
    self.byteCount = byteCount
    owner = nil
    isWritable = true
    whenUnneeded = nil
  }

  /// Bytes that belong to `owner`. They must never be written through this storage.
  ///
  /// - Parameter whenUnneeded: called when the bytes have been read and will not be read again soon; a mapped file gives
  ///   its pages back.
  public init(borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject, whenUnneeded: (() -> Void)? = nil) {
    pointer = UnsafeMutableRawPointer(mutating: bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64)!)
    byteCount = bytes.count
    self.owner = owner
    isWritable = false
    self.whenUnneeded = whenUnneeded
  }

  /// Bytes that belong to `owner` and may be written, such as those of a scratch file.
  public init(mapping bytes: UnsafeMutableRawBufferPointer, owner: AnyObject) {
    pointer = bytes.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 64)!
    byteCount = bytes.count
    self.owner = owner
    isWritable = true
    whenUnneeded = nil
  }

  /// Tells the owner that the bytes will not be read again soon. Reading them stays possible.
  package func giveBack() { whenUnneeded?() }

  deinit {
    if owner == nil { pg_free(pointer, byteCount) }
  }
}

/// What the engine's tensors hold.
public enum Memory {
  /// Bytes of live tensors.
  public static var liveBytes: Int { pg_live_bytes() }
  /// The highest `liveBytes` since the start, or since `resetPeak()`.
  public static var peakBytes: Int { pg_peak_bytes() }
  public static func resetPeak() { pg_reset_peak() }
  /// Gives the blocks that are kept for reuse back to the system.
  public static func trim() { pg_trim() }
}

/// The one pool of threads that every parallel loop and product runs on.
public enum Threads {
  /// Number of threads; the default is the number of cores in the process's affinity mask.
  public static var count: Int {
    get { Int(pg_threads()) }
    set { pg_set_threads(Int32(clamping: max(1, newValue))) }
  }

  private final class Job {
    let body: (Range<Int>) -> Void
    init(_ body: @escaping (Range<Int>) -> Void) { self.body = body }
  }

  /// Runs `body` on chunks of `0..<count`, in any order, on all threads. Chunks depend on `chunk` alone.
  public static func parallelFor(_ count: Int, chunk: Int, _ body: @Sendable @escaping (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let job = Job(body)
    withExtendedLifetime(job) {
      pg_parallel_for(count, max(1, chunk), { context, begin, end in
        guard let context else { return }
        Unmanaged<Job>.fromOpaque(context).takeUnretainedValue().body(begin..<end)
      }, Unmanaged.passUnretained(job).toOpaque())
    }
  }
}
