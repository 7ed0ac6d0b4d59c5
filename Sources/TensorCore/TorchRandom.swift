/// The random numbers of torch's CPU generator (a 32-bit Mersenne Twister), for values that PEFT's folders leave out because torch
/// draws them again from a seed. Everything else draws from `RandomSource`.
///
/// Paper: Matsumoto and Nishimura 1998, "Mersenne Twister".
public struct TorchRandom {
  private static let size = 624
  private static let shift = 397
  private var state: [UInt32]
  private var next = TorchRandom.size

  /// As `torch.Generator().manual_seed(seed)`, which takes the seed's low 32 bits.
  public init(seed: UInt64) {
    state = [UInt32(truncatingIfNeeded: seed)]
    state.reserveCapacity(Self.size)
    for i in 1..<Self.size {
      let last = state[i - 1]
      state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(i))
    }
  }

  /// The next 32 bits.
  public mutating func bits() -> UInt32 {
    if next == Self.size { refill() }
    var y = state[next]
    next += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9d2c_5680
    y ^= (y << 15) & 0xefc6_0000
    return y ^ (y >> 18)
  }

  private mutating func refill() {
    state.withUnsafeMutableBufferPointer { state in
      for i in 0..<Self.size {
        let y = (state[i] & 0x8000_0000) | (state[(i + 1) % Self.size] & 0x7fff_ffff)
        state[i] = state[(i + Self.shift) % Self.size] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_b0df)
      }
    }
    next = 0
  }

  /// A float32 tensor as `torch.empty(shape).uniform_(low, high, generator=...)` fills it.
  public mutating func uniform(_ shape: [Int], low: Double, high: Double) throws -> Tensor {
    let result = try Tensor(uninitialized: shape)
    let (from, to) = (Float(low), Float(high))
    let elements = result.floats
    for i in elements.indices {
      let unit = Float(bits() & 0xff_ffff) * 0x1p-24
      // Torch's kernels round product and sum at once.
      elements[i] = from.addingProduct(unit, to - from)
    }
    return result
  }
}
