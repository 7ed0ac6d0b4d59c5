import CKernels
import Foundation

/// The arithmetic of layers.
public enum Precision: String, Sendable, CaseIterable {
  /// Activations and the factors of products in bfloat16; sums, statistics, adapters, heads and optimizers in float32.
  case bf16
  /// float32 throughout: the mode in which parity with reference implementations is checked.
  case fp32

  /// What layers use from now on. Set once, before the first product.
  nonisolated(unsafe) public static var current = Precision.fp32

  /// Whether frozen weights are laid out for products, and stay so.
  nonisolated(unsafe) static var packsWeights = true

  /// Runs `body` in float32, with weights as they are: for a comparison that bfloat16's rounding would hide. Nothing is laid
  /// out for it, so it needs little memory and is slow.
  public static func inFloat32<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = (current, packsWeights)
    (current, packsWeights) = (.fp32, false)
    defer { (current, packsWeights) = before }
    return try body()
  }

  /// Whether this CPU has bfloat16 products (AVX512-BF16 or AMX) that this build can use. Without them bf16 works, rounds
  /// as it should and multiplies in float32, which is slower than fp32.
  public static var hasBFloat16Units: Bool { pg_has_bf16() }
  /// Whether the CPU has AMX, and the system does not let this process use it.
  public static var isAMXRefused: Bool { pg_is_amx_refused() }
  /// Whether the build has oneDNN.
  public static var hasOneDNN: Bool { pg_has_onednn() }

  /// What multiplies: "AMX", "AVX-512" or "AVX2" (the engine's own kernels), "oneDNN" or "OpenBLAS".
  public var provider: String { String(cString: pg_provider_name(self == .bf16 ? PG_BF16 : PG_F32)) }

  /// Whether what multiplies wants frozen weights laid out once: all but OpenBLAS.
  public var packsFrozenWeights: Bool { pg_packs_frozen(self == .bf16 ? PG_BF16 : PG_F32) }

  /// The faster precision for a layer's product on this machine, and how many times faster than fp32 bf16 is; nil where
  /// nothing was measured, because there are no bfloat16 units. Takes a few milliseconds.
  ///
  /// A choice that flipped would train stages anew, and other programs run meanwhile: so one thread's processor time
  /// counts, and the best of many.
  public static func measured() -> (choice: Precision, ratio: Double?) {
    let threads = Threads.count
    Threads.count = 1
    defer { Threads.count = threads }
    guard hasBFloat16Units, let fp32 = LayerProduct(.fp32), let bf16 = LayerProduct(.bf16) else {
      return (hasBFloat16Units ? .bf16 : .fp32, nil)
    }
    var least = (fp32: Double.infinity, bf16: Double.infinity)
    for _ in 0..<20 {
      least = (min(least.fp32, fp32.seconds()), min(least.bf16, bf16.seconds()))
    }
    let ratio = least.fp32 / max(least.bf16, 1e-9)
    return (ratio > 1.1 ? .bf16 : .fp32, ratio)
  }
}

/// The product of 96 tokens with a frozen weight of 768 by 768.
private final class LayerProduct {
  private let x, y: Tensor
  private let packed: OpaquePointer

  init?(_ precision: Precision) {
    let (tokens, size) = (96, 768)
    guard let weight = try? Tensor.full([size, size], 0.01),
      let x = try? Tensor.full([tokens, size], 0.5, precision == .bf16 ? .bfloat16 : .float32),
      let y = try? Tensor(uninitialized: [tokens, size], x.dtype),
      let packed = pg_pack(weight.factor, size, size, false, precision == .bf16)
    else { return nil }
    (self.x, self.y, self.packed) = (x, y, packed)
  }

  deinit { pg_packed_free(packed) }

  /// Processor time of one product on this thread.
  func seconds() -> Double {
    let start = Self.now()
    // Without memory the times say nothing, and what follows will report it.
    _ = pg_packed_multiply(packed, x.rows, x.dtype.kernel, x.pointer, x.columns, nil, 0, y.dtype.kernel, y.pointer)
    return Self.now() - start
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
