import CKernels
import Diagnostics

extension Tensor {
  /// This matrix in a computed type, after checks.
  private func matrix(_ name: String, isSquare: Bool = false) throws -> Tensor {
    guard rank == 2, !isSquare || shape[0] == shape[1] else {
      throw EngineError(.shape, "\(name): \(shape), expected a \(isSquare ? "square " : "")matrix")
    }
    guard Int32(exactly: shape[0]) != nil, Int32(exactly: shape[1]) != nil else {
      throw EngineError(.shape, "\(name): \(shape) is too large")
    }
    let x = try computed()
    _ = Threads.count  // the first look at it sets OpenBLAS to one thread
    let bad = pg_first_nonfinite(x.dtype.kernel, x.count, x.pointer)
    guard bad == x.count else {
      throw EngineError(
        .notFinite,
        "\(name): element [\(bad / columns), \(bad % columns)] of \(shape) is \(x.element(bad))")
    }
    return x
  }

  /// The transpose of a matrix, outside the graph.
  private func transposed() throws -> Tensor { try permuted([1, 0]) }

  // MARK: - Singular values

  /// The reduced singular value decomposition `self = U diag(S) Vh` of [m, n]; k = min(m, n).
  ///
  /// Result: `u` [m, k], `s` [k] descending, `vh` [k, n]. The gradient of `s` always exists; those
  /// of `u` and `vh` need singular values that differ from each other (and, for the reduced sides
  /// of a matrix that is not square, from 0): the backward pass throws otherwise. Paper: Townsend
  /// 2016, "Differentiating the singular value decomposition".
  public func svd() throws -> (u: Tensor, s: Tensor, vh: Tensor) {
    let x = try matrix("svd")
    let (m, n) = (x.shape[0], x.shape[1])
    let k = Swift.min(m, n)
    let (u, s) = (
      try Tensor(uninitialized: [m, k], x.dtype), try Tensor(uninitialized: [k], x.dtype)
    )
    let vh = try Tensor(uninitialized: [k, n], x.dtype)
    if k > 0 { try Lapack.decompose(x, u: u, s: s, vh: vh) }
    let factors = (u: u.detach(), s: s.detach(), vh: vh.detach())
    Autograd.attach("svd", to: s, inputs: [x], saving: [u, vh]) { ds in
      [try factors.u.mul(ds).matmul(factors.vh)]
    }
    Autograd.attach("svd", to: u, inputs: [x], saving: [u, s, vh]) { du in
      let inner = try singularGaps(factors.s).mul(antisymmetric(factors.u.transposed().matmul(du)))
      var dx = try factors.u.matmul(inner.mul(factors.s)).matmul(factors.vh)
      if m > k {
        let rest = try du.sub(factors.u.matmul(factors.u.transposed().matmul(du)))
        dx = try dx.add(rest.mul(inverseSingularValues(factors.s)).matmul(factors.vh))
      }
      return [dx]
    }
    Autograd.attach("svd", to: vh, inputs: [x], saving: [u, s, vh]) { dvh in
      let inner = try singularGaps(factors.s).mul(
        antisymmetric(factors.vh.matmul(dvh.transposed())))
      var dx = try factors.u.matmul(inner.mul(factors.s.unsqueeze(1))).matmul(factors.vh)
      if n > k {
        let rest = try dvh.sub(dvh.matmul(factors.vh.transposed()).matmul(factors.vh))
        dx = try dx.add(factors.u.mul(inverseSingularValues(factors.s)).matmul(rest))
      }
      return [dx]
    }
    return (u, s, vh)
  }

  // MARK: - QR

  /// The reduced QR decomposition `self = Q R` of [m, n]; k = min(m, n). Result: `q` [m, k] with
  /// orthonormal columns, `r` [k, n] upper triangular. Gradients need m >= n and a regular `r`; the
  /// backward pass throws otherwise.
  public func qr() throws -> (q: Tensor, r: Tensor) {
    let x = try matrix("qr")
    let (m, n) = (x.shape[0], x.shape[1])
    let (q, r) = try Lapack.orthogonalise(x)
    let factors = (q: q.detach(), r: r.detach())
    // dX = (dQ + Q copyltu(R dR^T - dQ^T Q)) R^-T, where copyltu mirrors the lower triangle.
    let pull = { (direct: Tensor?, symmetric: Tensor) throws -> [Tensor?] in
      guard m >= n else {
        throw EngineError(
          .shape, "qr: no gradient for [\(m), \(n)], which has more columns than rows")
      }
      let lower = try symmetric.tril(-1)
      let mirrored = try symmetric.tril().add(lower.transposed())
      var right = try factors.q.matmul(mirrored)
      if let direct { right = try right.add(direct) }
      return [try factors.r.solve(right.transposed()).transposed()]
    }
    Autograd.attach("qr", to: q, inputs: [x], saving: [q, r]) { dq in
      try pull(dq, try dq.transposed().matmul(factors.q).unary(.neg))
    }
    Autograd.attach("qr", to: r, inputs: [x], saving: [q, r]) { dr in
      try pull(nil, try factors.r.matmul(dr.transposed()))
    }
    return (q, r)
  }

  // MARK: - Linear systems

  /// `X` with `self X = other`, for a square matrix [n, n] and [n, r]. Throws `.data` where the
  /// matrix is singular.
  public func solve(_ other: Tensor) throws -> Tensor {
    let operands = try promoted("solve", [self, other]).tensors
    let (a, b) = (try operands[0].matrix("solve", isSquare: true), try operands[1].matrix("solve"))
    guard a.shape[0] == b.shape[0] else {
      throw EngineError(.shape, "solve: \(shape) and \(other.shape): expected as many rows in both")
    }
    let result = try Lapack.solve(a, b)
    Autograd.attach("solve", to: result, inputs: [a, b], saving: [a, result]) {
      [a = a.detach(), x = result.detach()] dy in
      let db = try a.transposed().solve(dy)
      return [try db.matmul(x.transposed()).unary(.neg), db]
    }
    return result
  }

  /// The inverse of a square matrix. Throws `.data` where it is singular.
  public func inverse() throws -> Tensor {
    guard rank == 2, shape[0] == shape[1] else {
      throw EngineError(.shape, "inverse: \(shape), expected a square matrix")
    }
    return try solve(try Tensor.eye(shape[0], dtype.isComputed ? dtype : .float32))
  }

  /// The lower triangular `L` with `L L^T = self`, for a symmetric positive definite matrix, of
  /// which the lower triangle is read; the gradient is symmetric. Throws `.data` where the matrix
  /// is not positive definite.
  public func cholesky() throws -> Tensor {
    let x = try matrix("cholesky", isSquare: true)
    let factor = try Lapack.cholesky(x)
    Autograd.attach("cholesky", to: factor, inputs: [x], saving: [factor]) { [l = factor.detach()] dl in
      // dA = sym(L^-T P(L^T dL) L^-1), where P keeps the lower triangle and half of the diagonal.
      let lower = try l.transposed().matmul(dl).tril()
      let halved = try lower.add(lower.tril(-1)).mul(0.5)
      let left = try l.transposed().solve(halved)
      let both = try l.transposed().solve(left.transposed())
      return [try both.add(both.transposed()).mul(0.5)]
    }
    return factor
  }
}

/// `x - x^T`.
private func antisymmetric(_ x: Tensor) throws -> Tensor { try x.sub(x.permuted([1, 0])) }

/// `1 / (s_j^2 - s_i^2)`, 0 on the diagonal.
private func singularGaps(_ s: Tensor) throws -> Tensor {
  let values = s.values
  let tolerance = s.dtype == .float64 ? 1e-13 : 1e-6
  for (i, pair) in zip(values, values.dropFirst()).enumerated()
  where pair.0 - pair.1 <= tolerance * values[0] {
    throw EngineError(
      .data,
      "svd: singular values \(i) and \(i + 1) are equal (\(pair.0)), U and Vh have no gradient")
  }
  let squares = try s.unary(.square)
  let gaps = try squares.sub(squares.unsqueeze(1))
  return try gaps.unary(.reciprocal).maskedFill(gaps.binary(.eq, 0), 0)
}

/// `1 / s`; throws where the smallest is 0.
private func inverseSingularValues(_ s: Tensor) throws -> Tensor {
  let values = s.values
  guard let first = values.first, let last = values.last,
    last > first * (s.dtype == .float64 ? 1e-13 : 1e-6)
  else {
    throw EngineError(.data, "svd: the matrix has no full rank, U and Vh have no gradient")
  }
  return try s.unary(.reciprocal)
}
