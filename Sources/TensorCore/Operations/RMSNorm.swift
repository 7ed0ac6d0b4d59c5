import CKernels
import Diagnostics

extension Tensor {
  /// Root-mean-square normalisation over the last axis: `y = x / sqrt(mean(x^2) + eps) * weight`.
  ///
  /// - `self`: [..., C]; `weight`: [C], float32 beside bfloat16 activations.
  /// - The backward pass keeps `self`, which a residual stream keeps anyway, and one number a row.
  ///
  /// Paper: Zhang and Sennrich 2019, arXiv 1910.07467.
  public func rmsNorm(_ weight: Tensor, eps: Double = 1e-6) throws -> Tensor {
    guard rank > 0, weight.shape == [columns] else {
      throw EngineError(.shape, "rms_norm: input \(shape), weight \(weight.shape): expected a weight of [\(columns)]")
    }
    try requireActivations("rms_norm", [self], weights: [weight])
    let (x, inputs) = (self, [self, weight])
    let (rows, cols) = (self.rows, columns)
    let y = try Tensor(uninitialized: shape, dtype)
    let rstd = Autograd.records(inputs) ? try Tensor(uninitialized: [rows], dtype.besideActivations) : nil
    try Memory.require(pg_rms_norm(dtype.kernel, rows, cols, pointer, weight.pointer, eps, y.pointer, rstd?.pointer))
    Profile.count(.normalisation, bytes: 2 * byteCount)
    let (trainsX, trainsWeight) = (requiresGrad, weight.requiresGrad)
    Autograd.attach("rms_norm", to: y, inputs: inputs, saving: inputs) { [x = x.detach(), weight = weight.detach()] dy in
      guard let rstd else { preconditionFailure("rms_norm recorded without its statistics") }
      let dy = try dy.converted(to: x.dtype)
      let dx = trainsX ? try Tensor(uninitialized: x.shape, x.dtype) : nil
      let dWeight = trainsWeight ? try Tensor(uninitialized: [cols], rstd.dtype) : nil
      if let dx {
        try Memory.require(
          pg_rms_norm_backward(
            x.dtype.kernel, rows, cols, x.pointer, dy.pointer, weight.pointer, rstd.pointer, dx.pointer))
        Profile.count(.normalisation, bytes: 3 * dx.byteCount)
      }
      if let dWeight {
        pg_rms_norm_weight_backward(x.dtype.kernel, rows, cols, x.pointer, dy.pointer, rstd.pointer, dWeight.pointer)
      }
      return [dx, dWeight]
    }
    return y
  }
}
