import Diagnostics

extension Tensor {
  /// The square matrix with these numbers on its diagonal and zeros elsewhere.
  ///
  /// - `self`: [n]. Result: [n, n].
  public func diagonalMatrix() throws -> Tensor {
    guard rank == 1 else { throw EngineError(.shape, "diag: input \(summary): expected one axis") }
    let n = count
    let y = try Tensor.zeros([n, n], dtype)
    for i in 0..<n { y.set(element(i), at: i * n + i) }
    Autograd.attach("diag", to: y, inputs: [self]) { [dtype] dy in
      let dx = try Tensor(uninitialized: [n], dtype)
      for i in 0..<n { dx.set(dy.element(i * n + i), at: i) }
      return [dx]
    }
    return y
  }
}
