import CKernels
import Diagnostics

/// Which product a packed layout serves, and in which precision.
package struct PackedLayout: Hashable {
  let isTransposed: Bool
  let precision: Precision

  /// Whether products in that precision have layouts at all.
  var isUsed: Bool { pg_packs_frozen(precision == .bf16 ? PG_BF16 : PG_F32) }
}

/// A frozen weight laid out for products.
package final class PackedMatrix {
  let handle: OpaquePointer
  /// The weight's version when it was packed.
  let version: Int

  /// Nil where weights are multiplied as they lie.
  init?(_ weight: Tensor, _ layout: PackedLayout) throws {
    guard weight.dtype == .float32, weight.rank == 2, layout.isUsed else { return nil }
    let handle = pg_pack(
      weight.storage.stored?.factor ?? weight.factor, weight.shape[0], weight.shape[1], layout.isTransposed, layout.precision == .bf16)
    // Another product in its place would round differently.
    guard let handle else { throw Memory.exhausted() }
    self.handle = handle
    version = weight.version
    weight.storage.giveBack()
  }

  /// A matrix in 4 bits, for one product.
  init?(_ matrix: QuantizedMatrix, _ layout: PackedLayout) throws {
    guard layout.isUsed else { return nil }
    guard let handle = try matrix.packed(layout) else { throw Memory.exhausted() }
    self.handle = handle
    version = 0
  }

  deinit { pg_packed_free(handle) }
}

/// The packed layouts of one frozen weight.
package final class PackedLayouts {
  package var matrices: [PackedLayout: PackedMatrix] = [:]
  var byteCount: Int { matrices.values.reduce(0) { $0 + pg_packed_bytes($1.handle) } }
}

extension Tensor {
  /// The packed layout of a frozen parameter; nil where the weight trains, is small, is not to be packed, or oneDNN is missing.
  func packedMatrix(transposed: Bool) throws -> PackedMatrix? {
    guard Precision.packsWeights, !requiresGrad, rank == 2, shape[0] >= 32, shape[1] >= 32 else { return nil }
    let layout = PackedLayout(isTransposed: transposed, precision: Precision.current)
    if let quantized {
      // Kept layouts of all layers would take the memory that 4 bits save, and so would elements that somebody read.
      storage.giveBack()
      return try PackedMatrix(quantized, layout)
    }
    guard let packed else { return nil }
    if let matrix = packed.matrices[layout], matrix.version == version { return matrix }
    let matrix = try PackedMatrix(self, layout)
    packed.matrices[layout] = matrix
    return matrix
  }

  /// `x W^T + b`.
  ///
  /// - `self`: [..., in]; `weight`: [out, in]; `bias`: [out] or nil. Result: [..., out], in `output`, which is the type of x
  ///   unless it is given.
  /// - bfloat16 activations are multiplied in bfloat16, whatever the result's type, and all others in the weight's type; frozen
  ///   parameters are multiplied as `Precision.current` says. Sums are in the weight's type.
  /// - A frozen weight saves no input for the backward pass. One in 4 bits is dequantised for each product.
  public func linear(_ weight: Tensor, _ bias: Tensor? = nil, output: DType? = nil) throws -> Tensor {
    guard weight.rank == 2, columns == weight.shape[1], rank >= 1 else {
      throw EngineError(
        .shape, "linear: input \(summary) and weight \(weight.summary): expected [..., in] and [out, in]")
    }
    guard bias.map({ $0.shape == [weight.shape[0]] }) ?? true else {
      throw EngineError(.shape, "linear: bias \(bias?.shape ?? []) for weight \(weight.shape), expected [\(weight.shape[0])]")
    }
    try requireActivations("linear", [self], weights: [weight] + (bias.map { [$0] } ?? []))
    let x = self
    let y = try Tensor(uninitialized: shape.dropLast() + [weight.shape[0]], output ?? dtype)
    let precision = x.dtype == .bfloat16 ? PG_BF16 : weight.dtype.kernel
    if let matrix = try weight.packedMatrix(transposed: false) {
      try Memory.require(
        pg_packed_multiply(
          matrix.handle, y.rows, x.dtype.kernel, x.pointer, x.columns, bias?.floats.baseAddress, 0, y.dtype.kernel, y.pointer))
    } else {
      let plain = try weight.dequantized()
      try withExtendedLifetime(plain) { try y.assignProduct(x.factor, plain.factor.flipped, inner: columns, precision) }
      if let bias { y.addRowInPlace(bias) }
    }
    let needsX = x.requiresGrad
    let inputs = [x, weight] + (bias.map { [$0] } ?? [])
    let (trainsWeight, trainsBias) = (weight.requiresGrad, bias?.requiresGrad ?? false)
    let saved = trainsWeight && Autograd.isEnabled ? x.detach() : nil
    let (inputShape, inputType, outputType, hasBias) = (shape, dtype, y.dtype, bias != nil)
    let backward = Backward.adding { [weight] dy, sum in
      let dy = try dy.converted(to: outputType)
      var result: [Tensor?] = [nil, nil] + (hasBias ? [nil] : [])
      if needsX {
        let earlier = sum(0)
        let dx = try earlier ?? Tensor(uninitialized: inputShape, inputType)
        if let matrix = try weight.packedMatrix(transposed: true) {
          let beta = earlier == nil ? 0.0 : 1
          try Memory.require(
            pg_packed_multiply(matrix.handle, dx.rows, dy.dtype.kernel, dy.pointer, dy.columns, nil, beta, dx.dtype.kernel, dx.pointer))
        } else {
          let plain = try weight.dequantized()
          try withExtendedLifetime(plain) {
            try dx.assignProduct(dy.factor, plain.factor, inner: dy.columns, adding: earlier != nil, precision)
          }
        }
        result[0] = dx
      }
      if trainsWeight, let saved {
        let dw = try Tensor(uninitialized: weight.shape, weight.dtype)
        try dw.assignProduct(dy.factor.flipped, saved.factor, inner: dy.rows, precision)
        result[1] = dw
      }
      if trainsBias { result[2] = try dy.sumOfRows() }
      return result
    }
    Autograd.attach("linear", to: y, inputs: inputs, saving: (saved.map { [$0] } ?? []) + (needsX ? [weight] : []), backward)
    return y
  }

  /// The matrix of this tensor's rows as an operand.
  var factor: pg_factor { pg_factor(data: UnsafeRawPointer(pointer), type: dtype.kernel, transposed: false, stride: columns) }

  /// `self = scale * a b (+ self)`, for float tensors whose rows are the product's.
  func assignProduct(
    _ a: pg_factor, _ b: pg_factor, inner: Int, scale: Double = 1, adding: Bool = false, _ precision: pg_dtype
  ) throws {
    try Memory.require(pg_multiply(precision, rows, columns, inner, scale, a, b, adding ? 1 : 0, dtype.kernel, pointer, columns))
  }

  private func addRowInPlace(_ row: Tensor) {
    if dtype == .bfloat16 {
      pg_add_row_bf16(rows, columns, row.floats.baseAddress, pointer.assumingMemoryBound(to: UInt16.self))
    } else {
      pg_add_rows(dtype.kernel, rows, columns, pointer, row.pointer, pointer)
    }
  }

  /// The sums of the columns, `[columns]`, outside the graph.
  package func sumOfRows() throws -> Tensor {
    let result = try Tensor(uninitialized: [columns], dtype.besideActivations)
    if dtype == .bfloat16 {
      pg_sum_rows_bf16(rows, columns, pointer.assumingMemoryBound(to: UInt16.self), result.floats.baseAddress)
    } else {
      pg_sum_rows(dtype.kernel, rows, columns, pointer, result.pointer)
    }
    return result
  }

  /// `self + scale * x W^T`, written over `self`'s elements, which nothing else may need: an adapter's last product,
  /// added to the output of the layer that it adapts.
  ///
  /// - `self`: [..., out], the result of an operation that did not save it; `x`: [..., in], in the type of the weight;
  ///   `weight`: [out, in]. Onto bfloat16 activations they are multiplied in bfloat16.
  package func addingLinear(_ x: Tensor, _ weight: Tensor, scale: Double) throws -> Tensor {
    guard weight.rank == 2, x.columns == weight.shape[1], columns == weight.shape[0], x.rows == rows else {
      throw EngineError(
        .shape, "linear: input \(x.summary) and weight \(weight.summary) onto \(summary): expected [..., in], [out, in] and [..., out]")
    }
    try requireActivations("linear", [self], weights: [x, weight])
    let precision = dtype == .bfloat16 ? PG_BF16 : weight.dtype.kernel
    try assignProduct(x.factor, weight.factor.flipped, inner: x.columns, scale: scale, adding: true, precision)
    let y = detach()
    let (needsX, trainsWeight, inputShape) = (x.requiresGrad, weight.requiresGrad, x.shape)
    let saved = trainsWeight && Autograd.isEnabled ? x.detach() : nil
    Autograd.attach("adapter", to: y, inputs: [self, x, weight], saving: (saved.map { [$0] } ?? []) + (needsX ? [weight] : [])) { [weight] dy in
      var dx: Tensor?
      var dw: Tensor?
      if needsX {
        let result = try Tensor(uninitialized: inputShape, weight.dtype)
        try result.assignProduct(dy.factor, weight.factor, inner: dy.columns, scale: scale, precision)
        dx = result
      }
      if trainsWeight, let saved {
        let result = try Tensor(uninitialized: weight.shape, weight.dtype)
        try result.assignProduct(dy.factor.flipped, saved.factor, inner: dy.rows, scale: scale, precision)
        dw = result
      }
      return [dy, dx, dw]
    }
    return y
  }
}

extension pg_factor {
  /// The transposed operand.
  var flipped: pg_factor { pg_factor(data: data, type: type, transposed: !transposed, stride: stride) }
}

/// Throws unless the activations have one float type, and the weights the type that goes with it.
package func requireActivations(_ operation: String, _ activations: [Tensor], weights: [Tensor] = []) throws {
  guard let first = activations.first else { return }
  let isSame = activations.allSatisfy { $0.dtype == first.dtype }
  let fits = weights.allSatisfy { $0.dtype == first.dtype.besideActivations }
  guard first.dtype.isFloatingPoint, isSame, fits else {
    let types = (activations + weights).map(\.dtype.rawValue).joined(separator: ", ")
    throw EngineError(
      .shape, "\(operation): types \(types): expected all float32 or all float64", hint: "convert with to()")
  }
}

/// Throws unless all tensors have the same type and kernels compute in it.
package func requireSameDType(_ operation: String, _ tensors: [Tensor]) throws {
  guard let first = tensors.first else { return }
  for tensor in tensors where tensor.dtype != first.dtype || !tensor.dtype.isComputed {
    let types = tensors.map(\.dtype.rawValue).joined(separator: ", ")
    throw EngineError(.shape, "\(operation): types \(types): expected all float32 or all float64", hint: "convert with to()")
  }
}
