import CKernels
import COpenBLAS
import Diagnostics

/// Calls of LAPACK for matrices of float32 or float64, outside the graph.
///
/// LAPACK stores matrices by columns: what it reads in row-major memory is the transpose. Sizes fit
/// an Int32, and all elements are finite: callers have checked.
enum Lapack {
  /// Runs a routine twice: for the size of its workspace, and in it.
  private static func inWorkspace<Real: BinaryFloatingPoint>(
    _ name: String, _: Real.Type, _ body: (UnsafeMutablePointer<Real>, Int32, inout Int32) -> Void
  ) throws {
    try Memory.require(pg_prepare_blas())
    var (wanted, info): (Real, Int32) = (0, 0)
    body(&wanted, -1, &info)
    guard info == 0, let size = Int32(exactly: Double(wanted).rounded(.up)) else {
      throw EngineError(.shape, "\(name): the matrix is too large")
    }
    let work = try Storage(byteCount: Swift.max(1, Int(size)) * MemoryLayout<Real>.stride)
    withExtendedLifetime(work) {
      body(work.pointer.assumingMemoryBound(to: Real.self), Swift.max(1, size), &info)
    }
    guard info == 0 else { throw EngineError(.data, "\(name): the iteration did not converge") }
  }

  /// The reduced singular value decomposition of [m, n], written to `u` [m, k], `s` [k] and `vh`
  /// [k, n]; k > 0.
  static func decompose(_ x: Tensor, u: Tensor, s: Tensor, vh: Tensor) throws {
    // The transpose decomposes into V S Uh; by columns, V lies in memory as Vh does by rows, and Uh
    // as U does.
    let a = try x.copy()
    let (m, n) = (Int32(x.shape[1]), Int32(x.shape[0]))
    let k = Swift.min(m, n)
    let job = CChar(UInt8(ascii: "S"))
    let integers = try Tensor(uninitialized: [8 * Int(k)], .int32)
    if x.dtype == .float64 {
      try inWorkspace("svd", Double.self) { work, size, info in
        withUnsafePointers(job, m, n, k, size) { job, m, n, k, size in
          dgesdd_(
            job, m, n, a.doubles.baseAddress, m, s.doubles.baseAddress, vh.doubles.baseAddress, m,
            u.doubles.baseAddress, k, work, size, integers.int32s.baseAddress, &info)
        }
      }
    } else {
      try inWorkspace("svd", Float.self) { work, size, info in
        withUnsafePointers(job, m, n, k, size) { job, m, n, k, size in
          sgesdd_(
            job, m, n, a.floats.baseAddress, m, s.floats.baseAddress, vh.floats.baseAddress, m,
            u.floats.baseAddress, k, work, size, integers.int32s.baseAddress, &info)
        }
      }
    }
  }

  /// The reduced QR decomposition of [m, n].
  static func orthogonalise(_ x: Tensor) throws -> (q: Tensor, r: Tensor) {
    let k = Swift.min(x.shape[0], x.shape[1])
    guard k > 0 else {
      return (
        try Tensor.zeros([x.shape[0], k], x.dtype), try Tensor.zeros([k, x.shape[1]], x.dtype)
      )
    }
    let a = try x.permuted([1, 0])
    let (m, n, columns) = (Int32(x.shape[0]), Int32(x.shape[1]), Int32(k))
    let scalars = try Tensor(uninitialized: [k], x.dtype)
    let r: Tensor
    if x.dtype == .float64 {
      let (matrix, tau) = (a.doubles.baseAddress, scalars.doubles.baseAddress)
      try inWorkspace("qr", Double.self) { work, size, info in
        withUnsafePointers(0, m, n, columns, size) { _, m, n, _, size in
          dgeqrf_(m, n, matrix, m, tau, work, size, &info)
        }
      }
      r = try upper(a, k)
      try inWorkspace("qr", Double.self) { work, size, info in
        withUnsafePointers(0, m, n, columns, size) { _, m, _, k, size in
          dorgqr_(m, k, k, matrix, m, tau, work, size, &info)
        }
      }
    } else {
      let (matrix, tau) = (a.floats.baseAddress, scalars.floats.baseAddress)
      try inWorkspace("qr", Float.self) { work, size, info in
        withUnsafePointers(0, m, n, columns, size) { _, m, n, _, size in
          sgeqrf_(m, n, matrix, m, tau, work, size, &info)
        }
      }
      r = try upper(a, k)
      try inWorkspace("qr", Float.self) { work, size, info in
        withUnsafePointers(0, m, n, columns, size) { _, m, _, k, size in
          sorgqr_(m, k, k, matrix, m, tau, work, size, &info)
        }
      }
    }
    return (try withExtendedLifetime(scalars) { try a.slice(0, 0, k).permuted([1, 0]) }, r)
  }

  /// The upper triangle of the first k rows of the matrix whose columns are `a`'s rows.
  private static func upper(_ a: Tensor, _ k: Int) throws -> Tensor {
    try a.slice(1, 0, k).permuted([1, 0]).triu()
  }

  /// The solution of a square system [n, n] with the right sides [n, r].
  static func solve(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    guard a.count > 0, b.count > 0 else { return try Tensor.zeros(b.shape, b.dtype) }
    try Memory.require(pg_prepare_blas())
    let (matrix, sides) = (try a.permuted([1, 0]), try b.permuted([1, 0]))
    var (n, r, info) = (Int32(b.shape[0]), Int32(b.shape[1]), Int32(0))
    var (leading, pivots) = (n, [Int32](repeating: 0, count: b.shape[0]))
    if a.dtype == .float64 {
      dgesv_(
        &n, &r, matrix.doubles.baseAddress, &leading, &pivots, sides.doubles.baseAddress, &leading,
        &info)
    } else {
      sgesv_(
        &n, &r, matrix.floats.baseAddress, &leading, &pivots, sides.floats.baseAddress, &leading,
        &info)
    }
    guard info == 0 else {
      throw EngineError(.data, "solve: the matrix \(a.shape) is singular (pivot \(info - 1))")
    }
    return try sides.permuted([1, 0])
  }

  /// The lower Cholesky factor of a symmetric matrix, of which the lower triangle is read.
  static func cholesky(_ x: Tensor) throws -> Tensor {
    let a = try x.copy()
    var (n, info) = (Int32(x.shape[0]), Int32(0))
    guard n > 0 else { return a }
    try Memory.require(pg_prepare_blas())
    var (triangle, leading) = (CChar(UInt8(ascii: "U")), n)
    if x.dtype == .float64 {
      dpotrf_(&triangle, &n, a.doubles.baseAddress, &leading, &info)
    } else {
      spotrf_(&triangle, &n, a.floats.baseAddress, &leading, &info)
    }
    guard info == 0 else {
      throw EngineError(
        .data, "cholesky: the matrix \(x.shape) is not positive definite (row \(info - 1))")
    }
    return try a.tril()
  }

  /// Addresses of arguments, which LAPACK takes all by reference.
  private static func withUnsafePointers(
    _ job: CChar, _ a: Int32, _ b: Int32, _ c: Int32, _ d: Int32,
    _ body: (
      UnsafePointer<CChar>, UnsafePointer<Int32>, UnsafePointer<Int32>, UnsafePointer<Int32>,
      UnsafePointer<Int32>
    ) -> Void
  ) {
    withUnsafePointer(to: job) { job in
      withUnsafePointer(to: a) { a in
        withUnsafePointer(to: b) { b in
          withUnsafePointer(to: c) { c in withUnsafePointer(to: d) { body(job, a, b, c, $0) } }
        }
      }
    }
  }
}
