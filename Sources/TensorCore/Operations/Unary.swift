import CKernels
import Diagnostics

/// Functions of one element, with their derivatives.
public enum UnaryOperation: String, CaseIterable, Sendable {
  case neg, abs, exp, log, sqrt, rsqrt, square, sin, cos, sign, relu, tanh, sigmoid, silu, gelu
  case geluTanh = "gelu_tanh"
  case reciprocal, erf, floor, ceil, round

  var kernel: pg_unary_op {
    switch self {
    case .neg: PG_NEG
    case .abs: PG_ABS
    case .exp: PG_EXP
    case .log: PG_LOG
    case .sqrt: PG_SQRT
    case .rsqrt: PG_RSQRT
    case .square: PG_SQUARE
    case .sin: PG_SIN
    case .cos: PG_COS
    case .sign: PG_SIGN
    case .relu: PG_RELU
    case .tanh: PG_TANH
    case .sigmoid: PG_SIGMOID
    case .silu: PG_SILU
    case .gelu: PG_GELU
    case .geluTanh: PG_GELU_TANH
    case .reciprocal: PG_RECIPROCAL
    case .erf: PG_ERF
    case .floor: PG_FLOOR
    case .ceil: PG_CEIL
    case .round: PG_ROUND
    }
  }

  /// Whether the derivative is computed from the result alone, so that the operand need not be saved.
  private var usesResult: Bool {
    switch self {
    case .exp, .sqrt, .tanh, .sigmoid, .reciprocal: true
    default: false
    }
  }

  /// Whether integers have integers as results.
  fileprivate var keepsIntegers: Bool {
    switch self {
    case .neg, .abs, .square, .sign, .relu, .floor, .ceil, .round: true
    default: false
    }
  }

  /// Whether the derivative needs neither (its value is in the gradient alone).
  fileprivate func saved(x: Tensor, y: Tensor) -> (x: Tensor, y: Tensor) {
    if self == .rsqrt { return (x.detach(), y.detach()) }
    return usesResult ? (y.detach(), y.detach()) : (x.detach(), x.detach())
  }
}

extension Tensor {
  /// The function of every element. Result: same shape and dtype; bfloat16 becomes float32, and so does int32 where the
  /// function leaves the integers.
  public func unary(_ operation: UnaryOperation) throws -> Tensor {
    if dtype == .int32, operation.keepsIntegers {
      return try converted(to: .float64).unary(operation).converted(to: .int32)
    }
    return try (dtype.isComputed ? self : computed()).activation(operation)
  }

  /// The function of every element of a float tensor. Result: same shape and dtype, bfloat16 included.
  public func activation(_ operation: UnaryOperation) throws -> Tensor {
    try requireActivations(operation.rawValue, [self])
    let y = try Tensor(uninitialized: shape, dtype)
    pg_unary(dtype.kernel, operation.kernel, count, pointer, y.pointer)
    Profile.count(.elementwise, bytes: 2 * byteCount)
    guard Autograd.records([self]) else { return y }
    let saved = operation.saved(x: self, y: y)
    Autograd.attach(operation.rawValue, to: y, inputs: [self], saving: [saved.x, saved.y]) { [dtype, shape, count] dy in
      let dy = try dy.converted(to: dtype)
      let dx = try Tensor(uninitialized: shape, dtype)
      pg_unary_backward(
        dtype.kernel, operation.kernel, count, saved.x.pointer, saved.y.pointer, dy.pointer, dx.pointer)
      Profile.count(.elementwise, bytes: 3 * dx.byteCount)
      return [dx]
    }
    return y
  }

  /// `x * Phi(x)`, with the exact normal distribution function. Paper: Hendrycks and Gimpel 2016, arXiv 1606.08415.
  public func gelu() throws -> Tensor { try unary(.gelu) }
  public func tanh() throws -> Tensor { try unary(.tanh) }
  public func relu() throws -> Tensor { try unary(.relu) }
}
