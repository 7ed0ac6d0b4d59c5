import CKernels
import Diagnostics

/// The arithmetic of products with frozen weights.
public enum Precision: String, Sendable, CaseIterable {
  /// bfloat16 factors, float32 sums.
  case bf16
  /// float32 throughout: the mode in which parity with reference implementations is checked.
  case fp32

  /// What products with frozen weights use from now on. Set once, before the first product.
  nonisolated(unsafe) public static var current = Precision.fp32

  /// Whether this CPU has bfloat16 products and the build has oneDNN.
  public static var hasBFloat16Units: Bool { pg_has_bf16() }
  /// Whether the build has oneDNN; without it, products run on OpenBLAS.
  public static var hasOneDNN: Bool { pg_has_onednn() }
}

/// Which product a packed layout serves, and in which precision.
package struct PackedLayout: Hashable {
  let isTransposed: Bool
  let precision: Precision
}

/// A frozen weight laid out for products.
package final class PackedMatrix {
  let handle: OpaquePointer
  /// The weight's version when it was packed.
  let version: Int

  init?(_ weight: Tensor, _ layout: PackedLayout) {
    guard weight.dtype == .float32, weight.rank == 2,
      let handle = pg_pack(
        weight.floats.baseAddress, weight.shape[0], weight.shape[1], layout.isTransposed, layout.precision == .bf16)
    else { return nil }
    self.handle = handle
    version = weight.version
  }

  deinit { pg_packed_free(handle) }
}

/// The packed layouts of one frozen weight.
package final class PackedLayouts {
  package var matrices: [PackedLayout: PackedMatrix] = [:]
}

extension Tensor {
  /// The packed layout of a frozen parameter; nil where the weight trains, is small, or oneDNN is missing.
  private func packedMatrix(transposed: Bool) -> PackedMatrix? {
    guard let packed, !requiresGrad, rank == 2, shape[0] >= 32, shape[1] >= 32 else { return nil }
    let layout = PackedLayout(isTransposed: transposed, precision: Precision.current)
    if let matrix = packed.matrices[layout], matrix.version == version { return matrix }
    let matrix = PackedMatrix(self, layout)
    packed.matrices[layout] = matrix
    return matrix
  }

  /// `x W^T + b`.
  ///
  /// - `self`: [..., in]; `weight`: [out, in]; `bias`: [out] or nil. Result: [..., out].
  /// - A frozen weight saves no input for the backward pass.
  public func linear(_ weight: Tensor, _ bias: Tensor? = nil) throws -> Tensor {
    guard weight.rank == 2, columns == weight.shape[1], rank >= 1 else {
      throw EngineError(
        .shape, "linear: input \(summary) and weight \(weight.summary): expected [..., in] and [out, in]")
    }
    guard bias.map({ $0.shape == [weight.shape[0]] }) ?? true else {
      throw EngineError(.shape, "linear: bias \(bias?.shape ?? []) for weight \(weight.shape), expected [\(weight.shape[0])]")
    }
    try requireSameDType("linear", [self, weight] + (bias.map { [$0] } ?? []))
    let x = self
    let (k, n) = (columns, weight.shape[0])
    let y = try Tensor(uninitialized: shape.dropLast() + [n], dtype)
    let m = y.rows
    if let matrix = weight.packedMatrix(transposed: false) {
      pg_packed_multiply(matrix.handle, m, x.floats.baseAddress, bias?.floats.baseAddress, y.floats.baseAddress)
    } else {
      pg_gemm(dtype.kernel, false, true, m, n, k, 1, x.pointer, k, weight.pointer, k, 0, y.pointer, n)
      if let bias { pg_add_rows(dtype.kernel, m, n, y.pointer, bias.pointer, y.pointer) }
    }
    let needsX = x.requiresGrad
    let inputs = [x, weight] + (bias.map { [$0] } ?? [])
    let (trainsWeight, trainsBias) = (weight.requiresGrad, bias?.requiresGrad ?? false)
    let saved = trainsWeight && Autograd.isEnabled ? x.detach() : nil
    let inputShape = shape
    Autograd.attach("linear", to: y, inputs: inputs) { [weight, dtype] dy in
      var result: [Tensor?] = [nil, nil] + (inputs.count > 2 ? [nil] : [])
      if needsX { result[0] = try weight.inputGradient(of: dy, shape: inputShape) }
      if trainsWeight, let saved {
        let dw = try Tensor(uninitialized: weight.shape, dtype)
        pg_gemm(dtype.kernel, true, false, n, k, m, 1, dy.pointer, n, saved.pointer, k, 0, dw.pointer, k)
        result[1] = dw
      }
      if trainsBias { result[2] = try dy.sumOfRows() }
      return result
    }
    return y
  }

  /// `dy W` for a linear layer with the weight `self`: the gradient of its input.
  private func inputGradient(of dy: Tensor, shape inputShape: [Int]) throws -> Tensor {
    let (n, k) = (shape[0], shape[1])
    let dx = try Tensor(uninitialized: inputShape, dtype)
    let m = dx.rows
    if let matrix = packedMatrix(transposed: true) {
      pg_packed_multiply(matrix.handle, m, dy.floats.baseAddress, nil, dx.floats.baseAddress)
    } else {
      pg_gemm(dtype.kernel, false, false, m, k, n, 1, dy.pointer, n, pointer, k, 0, dx.pointer, k)
    }
    return dx
  }

  /// The sums of the columns, `[columns]`, outside the graph.
  package func sumOfRows() throws -> Tensor {
    let result = try Tensor(uninitialized: [columns], dtype)
    pg_sum_rows(dtype.kernel, rows, columns, pointer, result.pointer)
    return result
  }

  /// `self + scale * x W^T`, written over `self`'s elements, which nothing else may need: an adapter's last product,
  /// added to the output of the layer that it adapts.
  ///
  /// - `self`: [..., out], the result of an operation that did not save it; `x`: [..., in]; `weight`: [out, in].
  package func addingLinear(_ x: Tensor, _ weight: Tensor, scale: Double) throws -> Tensor {
    guard weight.rank == 2, x.columns == weight.shape[1], columns == weight.shape[0], x.rows == rows else {
      throw EngineError(
        .shape, "linear: input \(x.summary) and weight \(weight.summary) onto \(summary): expected [..., in], [out, in] and [..., out]")
    }
    try requireSameDType("linear", [self, x, weight])
    let (m, k, n) = (x.rows, x.columns, columns)
    pg_gemm(dtype.kernel, false, true, m, n, k, scale, x.pointer, k, weight.pointer, k, 1, pointer, n)
    let y = detach()
    let (needsX, trainsWeight, inputShape) = (x.requiresGrad, weight.requiresGrad, x.shape)
    let saved = trainsWeight && Autograd.isEnabled ? x.detach() : nil
    Autograd.attach("adapter", to: y, inputs: [self, x, weight]) { [weight, dtype] dy in
      var dx: Tensor?
      var dw: Tensor?
      if needsX {
        let result = try Tensor(uninitialized: inputShape, dtype)
        pg_gemm(dtype.kernel, false, false, m, k, n, scale, dy.pointer, n, weight.pointer, k, 0, result.pointer, k)
        dx = result
      }
      if trainsWeight, let saved {
        let result = try Tensor(uninitialized: weight.shape, dtype)
        pg_gemm(dtype.kernel, true, false, n, k, m, scale, dy.pointer, n, saved.pointer, k, 0, result.pointer, k)
        dw = result
      }
      return [dy, dx, dw]
    }
    return y
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
