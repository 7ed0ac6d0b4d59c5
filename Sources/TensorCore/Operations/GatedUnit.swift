import CKernels
import Diagnostics

extension Tensor {
  /// A gated unit: `operation(self) * up`, without a tensor for the first factor.
  ///
  /// - `self` (the gate), `up`: the same shape and dtype, bfloat16 included.
  /// - `operation`: `silu`, `gelu`, `geluTanh` or `relu`.
  ///
  /// Paper: Shazeer 2020, arXiv 2002.05202.
  public func gating(_ up: Tensor, by operation: UnaryOperation) throws -> Tensor {
    guard shape == up.shape else {
      throw EngineError(.shape, "gated unit: gate \(shape), other factor \(up.shape): expected the same shape")
    }
    guard [.silu, .gelu, .geluTanh, .relu].contains(operation) else {
      throw EngineError(.argument, "gated unit: '\(operation.rawValue)', expected silu, gelu, gelu_tanh or relu")
    }
    try requireActivations("gated unit", [self, up])
    let y = try Tensor(uninitialized: shape, dtype)
    pg_gated(dtype.kernel, operation.kernel, count, pointer, up.pointer, y.pointer)
    Profile.count(.elementwise, bytes: 3 * byteCount)
    Autograd.attach("gated unit", to: y, inputs: [self, up], saving: [self, up]) { [gate = detach(), up = up.detach()] dy in
      let dy = try dy.converted(to: gate.dtype)
      let (dGate, dUp) = (try Tensor(uninitialized: gate.shape, gate.dtype), try Tensor(uninitialized: gate.shape, gate.dtype))
      pg_gated_backward(
        gate.dtype.kernel, operation.kernel, gate.count, gate.pointer, up.pointer, dy.pointer, dGate.pointer, dUp.pointer)
      Profile.count(.elementwise, bytes: 5 * gate.byteCount)
      return [dGate, dUp]
    }
    return y
  }
}
