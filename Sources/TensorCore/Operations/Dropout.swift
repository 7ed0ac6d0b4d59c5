import CKernels
import Diagnostics

/// A dropout site of one training step: the probability, and where its draws come from.
public struct Dropout: Sendable {
  /// Probability of zeroing an element, in [0, 1).
  public var p: Double
  public var source: RandomSource

  public init(p: Double, source: RandomSource) {
    self.p = p
    self.source = source
  }

  /// Throws where the probability is none.
  func check() throws {
    guard p >= 0, p <= 1 else { throw EngineError(.argument, "dropout: p = \(p), expected 0 to 1") }
  }
}

extension Tensor {
  /// Inverted dropout: elements are zeroed with probability p, the others divided by 1 - p. The mask is drawn again
  /// in the backward pass, not stored.
  public func dropout(_ site: Dropout?) throws -> Tensor {
    try site?.check()
    guard let site, site.p > 0 else { return self }
    try requireActivations("dropout", [self])
    let y = try Tensor(uninitialized: shape, dtype)
    pg_dropout(dtype.kernel, count, site.p, site.source.kernel, pointer, y.pointer)
    Profile.count(.random, bytes: 2 * byteCount)
    Autograd.attach("dropout", to: y, inputs: [self]) { [dtype, shape, count] dy in
      let dy = try dy.converted(to: dtype)
      let dx = try Tensor(uninitialized: shape, dtype)
      pg_dropout(dtype.kernel, count, site.p, site.source.kernel, dy.pointer, dx.pointer)
      Profile.count(.random, bytes: 2 * dx.byteCount)
      return [dx]
    }
    return y
  }
}
