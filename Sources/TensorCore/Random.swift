import CKernels
import Diagnostics

/// Names a sequence of random numbers: every draw is a function of (seed, stream, step, index), with Philox 4x32.
/// Nothing is consumed, so a resumed run draws what the unbroken run would have drawn.
public struct RandomSource: Sendable, Equatable {
  public var seed: UInt64
  /// Which consumer draws: one dropout site, one initialiser.
  public var stream: UInt32
  /// Which training step draws.
  public var step: UInt64

  public init(seed: UInt64, stream: UInt32 = 0, step: UInt64 = 0) {
    self.seed = seed
    self.stream = stream
    self.step = step
  }

  var kernel: pg_random { pg_random(seed: seed, stream: stream, step: step) }

  /// A stream number for a name, such as a parameter's: the same on every machine (FNV-1a).
  public static func stream(named name: String) -> UInt32 {
    name.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
  }

  /// `count` uniform 32-bit numbers.
  public func bits(_ count: Int) -> [UInt32] {
    [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
      pg_random_bits(count, kernel, buffer.baseAddress)
      initialized = count
    }
  }

  /// A permutation of `0..<count` (Fisher and Yates, one 32-bit draw for each exchange).
  public func permutation(_ count: Int) -> [Int] {
    var result = Array(0..<count)
    guard count > 1 else { return result }
    let draws = bits(count)
    for i in stride(from: count - 1, to: 0, by: -1) {
      // In Swift, shifts bind tighter than products.
      result.swapAt(i, Int((UInt64(draws[i]) * UInt64(i + 1)) >> 32))
    }
    return result
  }
}

extension Tensor {
  /// Independent normal draws.
  public static func randn(
    _ shape: [Int], mean: Double = 0, std: Double = 1, _ source: RandomSource, _ dtype: DType = .float32
  ) throws -> Tensor {
    guard dtype.isComputed else { throw EngineError(.argument, "randn: expected float32 or float64, got \(dtype.rawValue)") }
    let result = try Tensor(uninitialized: shape, dtype)
    pg_random_normal(dtype.kernel, result.count, source.kernel, mean, std, result.pointer)
    return result
  }

  /// Independent uniform draws from (low, high).
  public static func rand(
    _ shape: [Int], low: Double = 0, high: Double = 1, _ source: RandomSource, _ dtype: DType = .float32
  ) throws -> Tensor {
    guard dtype.isComputed else { throw EngineError(.argument, "rand: expected float32 or float64, got \(dtype.rawValue)") }
    let result = try Tensor(uninitialized: shape, dtype)
    pg_random_uniform(dtype.kernel, result.count, source.kernel, low, high, result.pointer)
    return result
  }
}
