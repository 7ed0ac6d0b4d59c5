import CKernels
import Diagnostics

/// What the engine's tensors hold.
public enum Memory {
  /// Bytes of live tensors.
  public static var liveBytes: Int { pg_live_bytes() }
  /// The highest `liveBytes` since the start, or since `resetPeak()`.
  public static var peakBytes: Int { pg_peak_bytes() }
  public static func resetPeak() { pg_reset_peak() }
  /// What tensors, and the blocks kept for reuse, may take together. By default nine tenths of the machine's memory, or of
  /// what its control group may use.
  public static var limitBytes: Int {
    get { pg_memory_limit() }
    set { pg_set_memory_limit(max(1, newValue)) }
  }

  /// Throws where a kernel says that it had no working memory: its result is not to be used.
  package static func require(_ isDone: Bool) throws {
    if !isDone { throw exhausted() }
  }

  /// The error for the last request that was refused.
  package static func exhausted() -> EngineError {
    let wanted = Int(clamping: pg_refused_bytes())
    let request = "out of memory: \(byteCount(wanted)) wanted, \(byteCount(liveBytes)) in use by tensors"
    if let (reason, remedy) = AddressSpace.shortage(wanted) { return EngineError(.argument, "\(request); \(reason)", hint: remedy) }
    return EngineError(
      .argument, "\(request), of \(byteCount(limitBytes)) allowed (--memory)",
      hint: "use smaller batches or a smaller model, or allow more with --memory")
  }

  /// Gives the blocks that are kept for reuse back to the system.
  public static func trim() { pg_trim() }
}

extension Memory {
  /// The part of `liveBytes` that some tensors have: their elements, unless a file has them, and their layouts for products.
  /// What they share counts once.
  public static func bytes(of tensors: [Tensor]) -> Int {
    var known: Set<ObjectIdentifier> = []
    return tensors.reduce(0) { sum, tensor in
      var own = known.insert(ObjectIdentifier(tensor.storage)).inserted ? tensor.storage.heldBytes : 0
      if let layouts = tensor.packed, known.insert(ObjectIdentifier(layouts)).inserted { own += layouts.byteCount }
      return sum + own
    }
  }
}
