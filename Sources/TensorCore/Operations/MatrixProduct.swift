import CKernels
import Diagnostics

/// The matrices of a batched product: where each lies in its tensor.
private struct Batches: Sendable {
  let m: Int, n: Int, k: Int
  /// Number of elements before each matrix of the operands.
  let a: [Int]
  let b: [Int]

  init(_ x: Tensor, _ y: Tensor, _ batch: [Int]) throws {
    (m, k, n) = (x.shape[x.rank - 2], x.shape[x.rank - 1], y.shape[y.rank - 1])
    a = try Batches.starts(Array(x.shape.dropLast(2)), batch, size: m * k)
    b = try Batches.starts(Array(y.shape.dropLast(2)), batch, size: k * n)
  }

  private static func starts(_ shape: [Int], _ batch: [Int], size: Int) throws -> [Int] {
    let own = strides(of: shape)
    let extra = batch.count - shape.count
    var result = [0]
    for d in batch.indices {
      let step = d < extra || shape[d - extra] == 1 ? 0 : own[d - extra]
      result = result.flatMap { start in (0..<batch[d]).map { start + $0 * step } }
    }
    return result.map { $0 * size }
  }
}

extension Tensor {
  /// The matrix product, with the shapes of `torch.matmul`.
  ///
  /// - [m, k] x [k, n] = [m, n]; axes in front are batches, and are broadcast.
  /// - A vector on the left is a row, on the right a column; that axis is left out of the result.
  /// - Types as in `binary`.
  public func matmul(_ other: Tensor) throws -> Tensor {
    let (operands, areIntegers) = try promoted("matmul", [self, other])
    if areIntegers { return try operands[0].matmul(operands[1]).converted(to: .int32) }
    guard rank > 0, other.rank > 0 else {
      throw EngineError(
        .shape, "matmul: \(shape) and \(other.shape): expected at least one axis each")
    }
    let a = rank == 1 ? try operands[0].unsqueeze(0) : operands[0]
    let b = other.rank == 1 ? try operands[1].unsqueeze(1) : operands[1]
    guard a.columns == b.shape[b.rank - 2] else {
      throw EngineError(
        .shape,
        "matmul: \(shape) and \(other.shape): \(a.columns) columns on the left, "
          + "\(b.shape[b.rank - 2]) rows on the right"
      )
    }
    let result = try a.batchedProduct(b)
    guard rank == 1 || other.rank == 1 else { return result }
    var target = result.shape
    if other.rank == 1 { target.removeLast() }
    if rank == 1 { target.remove(at: target.count - (other.rank == 1 ? 1 : 2)) }
    return try result.reshape(target)
  }

  private func batchedProduct(_ other: Tensor) throws -> Tensor {
    let batch = try broadcastShape(
      "matmul", Array(shape.dropLast(2)), Array(other.shape.dropLast(2)))
    let y = try Tensor(uninitialized: batch + [shape[rank - 2], other.columns], dtype)
    if other.rank == 2, rank > 2 {
      // One matrix on the right: the batch is more rows.
      let m = product(shape.dropLast())
      let n = other.columns
      let k = columns
      try Memory.require(pg_gemm(dtype.kernel, false, false, m, n, k, 1, pointer, k, other.pointer, n, 0, y.pointer, n))
      let (a, b, needsA, needsB) = (detach(), other.detach(), requiresGrad, other.requiresGrad)
      Autograd.attach("matmul", to: y, inputs: [self, other], saving: (needsA ? [b] : []) + (needsB ? [a] : [])) { dy in
        let da = needsA ? try Tensor(uninitialized: a.shape, a.dtype) : nil
        let db = needsB ? try Tensor(uninitialized: b.shape, b.dtype) : nil
        if let da {
          try Memory.require(
            pg_gemm(
              a.dtype.kernel, false, true, m, k, n, 1, dy.pointer, n, b.pointer, n, 0, da.pointer, k))
        }
        if let db {
          try Memory.require(
            pg_gemm(
              a.dtype.kernel, true, false, k, n, m, 1, a.pointer, k, dy.pointer, n, 0, db.pointer, n))
        }
        return [da, db]
      }
      return y
    }
    // Without elements in the result there is nothing to add up, but the shapes of the gradients.
    let plan = y.count > 0 ? try Batches(self, other, batch) : nil
    let (type, size) = (dtype.kernel, dtype.size)
    if let plan {
      for (i, (a, b)) in zip(plan.a, plan.b).enumerated() {
        try Memory.require(
          pg_gemm(
            type, false, false, plan.m, plan.n, plan.k, 1, pointer + a * size, plan.k,
            other.pointer + b * size, plan.n, 0,
            y.pointer + i * plan.m * plan.n * size, plan.n))
      }
    }
    let (a, b, needsA, needsB) = (detach(), other.detach(), requiresGrad, other.requiresGrad)
    Autograd.attach("matmul", to: y, inputs: [self, other], saving: (needsA ? [b] : []) + (needsB ? [a] : [])) { dy in
      // Matrices that were repeated add up.
      let da = needsA ? try Tensor.zeros(a.shape, a.dtype) : nil
      let db = needsB ? try Tensor.zeros(b.shape, b.dtype) : nil
      guard let plan else { return [da, db] }
      let (m, n, k) = (plan.m, plan.n, plan.k)
      for (i, (startA, startB)) in zip(plan.a, plan.b).enumerated() {
        let gradient = dy.pointer + i * m * n * size
        if let da {
          try Memory.require(
            pg_gemm(
              type, false, true, m, k, n, 1, gradient, n, b.pointer + startB * size, n, 1,
              da.pointer + startA * size, k))
        }
        if let db {
          try Memory.require(
            pg_gemm(
              type, true, false, k, n, m, 1, a.pointer + startA * size, k, gradient, n, 1,
              db.pointer + startB * size, n))
        }
      }
      return [da, db]
    }
    return y
  }
}
