import CKernels

/// The arithmetic of layers.
public enum Precision: String, Sendable, CaseIterable {
  /// Activations and the factors of products in bfloat16; sums, statistics, adapters, heads and optimizers in float32.
  case bf16
  /// float32 throughout: the mode in which parity with reference implementations is checked.
  case fp32

  /// What layers use from now on. Set once, before the first product.
  nonisolated(unsafe) public static var current = Precision.fp32

  /// Whether this CPU has bfloat16 products (AVX512-BF16 or AMX) that this build can use. Without them bf16 works, rounds
  /// as it should and multiplies in float32, which is slower than fp32.
  public static var hasBFloat16Units: Bool { pg_has_bf16() }
  /// Whether the build has oneDNN.
  public static var hasOneDNN: Bool { pg_has_onednn() }

  /// What multiplies: "AVX-512" (the engine's own kernels), "oneDNN" or "OpenBLAS".
  public var provider: String { String(cString: pg_provider_name(self == .bf16 ? PG_BF16 : PG_F32)) }

  /// The faster precision for a layer's product on this machine, and how many times faster than fp32 bf16 is; nil where
  /// nothing was measured, because there are no bfloat16 units. Takes a few milliseconds.
  ///
  /// bf16 has to win clearly: its results have fewer digits, and a choice that flipped would train stages anew.
  public static func measured() -> (choice: Precision, ratio: Double?) {
    guard hasBFloat16Units, let fp32 = fp32.secondsOfLayer(), let bf16 = bf16.secondsOfLayer(), bf16 > 0 else {
      return (hasBFloat16Units ? .bf16 : .fp32, nil)
    }
    let ratio = fp32 / bf16
    return (ratio > 1.2 ? .bf16 : .fp32, ratio)
  }

  /// The least time of one product of 192 tokens with a frozen weight of 768 by 768.
  private func secondsOfLayer() -> Double? {
    let (tokens, size) = (192, 768)
    guard let weight = try? Tensor.full([size, size], 0.01),
      let x = try? Tensor.full([tokens, size], 0.5, self == .bf16 ? .bfloat16 : .float32),
      let y = try? Tensor(uninitialized: [tokens, size], x.dtype),
      let packed = pg_pack(weight.floats.baseAddress, size, size, false, self == .bf16)
    else { return nil }
    defer { pg_packed_free(packed) }
    let clock = ContinuousClock()
    let times = (0..<8).map { _ in
      clock.measure {
        pg_packed_multiply(packed, tokens, x.dtype.kernel, x.pointer, nil, 0, y.dtype.kernel, y.pointer)
      }
    }
    return times.min().map { Double($0.components.attoseconds) * 1e-18 + Double($0.components.seconds) }
  }
}
