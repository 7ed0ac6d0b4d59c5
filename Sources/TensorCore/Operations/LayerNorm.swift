import CKernels
import Diagnostics

extension Tensor {
  /// Layer normalisation over the last axis of `residual + dropout(self)`: one pass over memory.
  ///
  /// `z = residual + dropout(x)`, `y = (z - mean(z)) / sqrt(var(z) + eps) * weight + bias` with the biased variance.
  /// - `self`, `residual`: [..., C] (`residual` may be nil); `weight`, `bias`: [C].
  ///
  /// Paper: Ba, Kiros and Hinton 2016, arXiv 1607.06450.
  public func layerNorm(
    residual: Tensor? = nil, _ weight: Tensor, _ bias: Tensor, eps: Double = 1e-5, dropout: Dropout? = nil
  ) throws -> Tensor {
    guard weight.shape == [columns], bias.shape == [columns], residual.map({ $0.shape == shape }) ?? true else {
      throw EngineError(
        .shape,
        "layer_norm: input \(shape), residual \(residual?.shape ?? shape), weight \(weight.shape), bias \(bias.shape): "
          + "expected weight and bias of [\(columns)] and a residual like the input")
    }
    try dropout?.check()
    try requireActivations("layer_norm", [self] + (residual.map { [$0] } ?? []), weights: [weight, bias])
    let (rows, cols) = (self.rows, columns)
    let inputs = [self, weight, bias] + (residual.map { [$0] } ?? [])
    let isRecorded = Autograd.records(inputs)
    let y = try Tensor(uninitialized: shape, dtype)
    let normalized = isRecorded ? try Tensor(uninitialized: shape, dtype) : nil
    let rstd = isRecorded ? try Tensor(uninitialized: [rows], dtype.besideActivations) : nil
    let p = dropout?.p ?? 0
    let random = (dropout?.source ?? RandomSource(seed: 0)).kernel
    try Memory.require(
      pg_dropout_add_layer_norm(
        dtype.kernel, rows, cols, pointer, residual?.pointer, p, random, weight.pointer, bias.pointer, eps, y.pointer,
        normalized?.pointer, rstd?.pointer))
    Profile.count(.normalisation, bytes: (2 + (residual == nil ? 0 : 1) + (isRecorded ? 1 : 0)) * byteCount)
    let (needsX, needsResidual) = (requiresGrad, residual?.requiresGrad ?? false)
    let hasResidual = residual != nil
    let trainsWeight = weight.requiresGrad || bias.requiresGrad
    Autograd.attach("layer_norm", to: y, inputs: inputs, saving: [weight]) { [dtype, shape] dy in
      guard let normalized, let rstd else { preconditionFailure("layer_norm recorded without its statistics") }
      let dy = try dy.converted(to: dtype)
      var result: [Tensor?] = [nil, nil, nil] + (hasResidual ? [nil] : [])
      if needsX || needsResidual {
        let dz = try Tensor(uninitialized: shape, dtype)
        let dx = needsX && p > 0 ? try Tensor(uninitialized: shape, dtype) : nil
        try Memory.require(
          pg_dropout_add_layer_norm_backward(
            dtype.kernel, rows, cols, dy.pointer, weight.pointer, normalized.pointer, rstd.pointer, p, random, dz.pointer,
            dx?.pointer))
        Profile.count(.normalisation, bytes: (dx == nil ? 3 : 4) * dz.byteCount)
        if needsX { result[0] = dx ?? dz }
        if needsResidual { result[3] = dz }
      }
      if trainsWeight {
        let (dWeight, dBias) = (try Tensor(uninitialized: [cols], rstd.dtype), try Tensor(uninitialized: [cols], rstd.dtype))
        pg_layer_norm_weight_backward(
          dtype.kernel, rows, cols, dy.pointer, normalized.pointer, dWeight.pointer, dBias.pointer)
        (result[1], result[2]) = (dWeight, dBias)
      }
      return result
    }
    return y
  }
}
