import CKernels
import Diagnostics

/// Functions of two elements. Comparisons give 1 or 0 and have no gradient.
public enum BinaryOperation: String, CaseIterable, Sendable {
  case add, sub, mul, div, pow, maximum, minimum, eq, ne, lt, le, gt, ge

  var kernel: pg_binary_op {
    switch self {
    case .add: PG_ADD
    case .sub: PG_SUB
    case .mul: PG_MUL
    case .div: PG_DIV
    case .pow: PG_POW
    case .maximum: PG_MAXIMUM
    case .minimum: PG_MINIMUM
    case .eq: PG_EQ
    case .ne: PG_NE
    case .lt: PG_LT
    case .le: PG_LE
    case .gt: PG_GT
    case .ge: PG_GE
    }
  }

  /// Whether this is a comparison.
  public var isComparison: Bool {
    switch self {
    case .eq, .ne, .lt, .le, .gt, .ge: true
    default: false
    }
  }
}

/// `op` of the elements of two tensors of one computed type, repeated to `shape`; outside the
/// graph.
private func apply(_ operation: BinaryOperation, _ a: Tensor, _ b: Tensor, _ shape: [Int]) throws
  -> Tensor
{
  let out = try Tensor(uninitialized: shape, a.dtype)
  // One element needs no repeating, and as many elements as the result has lie as they do there.
  let x = a.count == 1 || a.count == out.count ? a : try a.expanded(to: shape)
  let y = b.count == 1 || b.count == out.count ? b : try b.expanded(to: shape)
  pg_binary(
    a.dtype.kernel, operation.kernel, out.count, x.pointer, x.count == 1 ? 0 : 1, y.pointer,
    y.count == 1 ? 0 : 1,
    out.pointer)
  return out
}

extension Tensor {
  /// `self + other` in the type of `other`: two activations of one shape, of which those in bfloat16 are added in one pass, and get
  /// gradients in bfloat16.
  package func adding(residual other: Tensor) throws -> Tensor {
    guard dtype == .bfloat16, other.dtype == .bfloat16, shape == other.shape else { return try add(other).to(other.dtype) }
    let sum = try Tensor(uninitialized: shape, dtype)
    pg_axpby(PG_BF16, count, 1, pointer, 1, other.pointer, sum.pointer)
    Profile.count(.elementwise, bytes: 3 * byteCount)
    Autograd.attach("add", to: sum, inputs: [self, other]) { dy in
      let dy = try dy.converted(to: .bfloat16)
      return [dy, dy]
    }
    return sum
  }

  /// The function of the elements of two tensors.
  ///
  /// - Shapes are broadcast as in NumPy: compared from the last axis, size 1 repeats.
  /// - Types: float64 with any other gives float64, bfloat16 and float32 give float32. int32 with
  ///   int32 stays int32 for `add`, `sub`, `mul`, `maximum`, `minimum` (throws `.data` where the
  ///   result does not fit) and becomes float32 for `div` and `pow`. Comparisons give float32, or
  ///   float64 for float64 operands.
  /// - Gradients of `maximum` and `minimum` are shared equally where both operands are equal.
  public func binary(_ operation: BinaryOperation, _ other: Tensor) throws -> Tensor {
    let name = operation.rawValue
    let resultShape = try broadcastShape(name, shape, other.shape)
    let (operands, areIntegers) = try promoted(name, [self, other])
    let (a, b) = (operands[0], operands[1])
    let result = try apply(operation, a, b, resultShape)
    if areIntegers {
      let isExact = !operation.isComparison && operation != .div && operation != .pow
      return try result.converted(to: isExact ? .int32 : .float32)
    }
    guard !operation.isComparison, Autograd.records([a, b]) else { return result }
    let needs = (a.requiresGrad, b.requiresGrad)
    switch operation {
    case .add, .sub:
      let sign: Double = operation == .sub ? -1 : 1
      let (aShape, bShape) = (a.shape, b.shape)
      Autograd.attach(name, to: result, inputs: [a, b]) { dy in
        let db = needs.1 ? try dy.summed(to: bShape) : nil
        return [needs.0 ? try dy.summed(to: aShape) : nil, sign < 0 ? try db?.unary(.neg) : db]
      }
    default:
      let (x, y, z) = (a.detach(), b.detach(), operation == .pow ? result.detach() : nil)
      let readsX = needs.1 || (operation != .mul && operation != .div)
      let readsY = needs.0 || operation != .mul
      let saved = (readsX ? [x] : []) + (readsY ? [y] : []) + (z.map { [$0] } ?? [])
      Autograd.attach(name, to: result, inputs: [a, b], saving: saved) { dy in
        let slopes = try operation.slopes(x, y, z, needs)
        return [
          try slopes.0.map { try dy.binary(.mul, $0).summed(to: x.shape) },
          try slopes.1.map { try dy.binary(.mul, $0).summed(to: y.shape) },
        ]
      }
    }
    return result
  }

  /// The function of every element and a number, which takes this tensor's type (an int32 tensor
  /// with a number that is none becomes float32). `reversed`: the number is the first operand.
  public func binary(_ operation: BinaryOperation, _ value: Double, reversed: Bool = false) throws
    -> Tensor
  {
    let type: DType =
      dtype == .int32 && Int32(exactly: value) != nil
      ? .int32 : dtype == .float64 ? .float64 : .float32
    let number = try Tensor.full([], value, type)
    return reversed ? try number.binary(operation, self) : try binary(operation, number)
  }

  /// `self + other`; see `binary`.
  public func add(_ other: Tensor) throws -> Tensor { try binary(.add, other) }
  public func add(_ value: Double) throws -> Tensor { try binary(.add, value) }
  /// `self - other`; see `binary`.
  public func sub(_ other: Tensor) throws -> Tensor { try binary(.sub, other) }
  public func sub(_ value: Double) throws -> Tensor { try binary(.sub, value) }
  /// `self * other`, element by element; see `binary`.
  public func mul(_ other: Tensor) throws -> Tensor { try binary(.mul, other) }
  public func mul(_ value: Double) throws -> Tensor { try binary(.mul, value) }
  /// `self / other`; see `binary`.
  public func div(_ other: Tensor) throws -> Tensor { try binary(.div, other) }
  public func div(_ value: Double) throws -> Tensor { try binary(.div, value) }

  /// Elements below `lower` become `lower`, those above `upper` become `upper` (which wins where
  /// the bounds cross). Gradients pass where the element lies within the bounds, ends included.
  public func clamp(_ lower: Double? = nil, _ upper: Double? = nil) throws -> Tensor {
    if dtype == .int32 {
      return try converted(to: .float64).clamp(lower?.rounded(.up), upper?.rounded(.down))
        .converted(to: .int32)
    }
    let x = try computed()
    var y = x.detach()
    if let lower { y = try y.binary(.maximum, lower) }
    if let upper { y = try y.binary(.minimum, upper) }
    if y.storage === x.storage { y = try x.copy() }
    Autograd.attach("clamp", to: y, inputs: [x], saving: [x]) { [x = x.detach()] dy in
      var dx = dy
      if let lower { dx = try dx.mul(x.binary(.ge, lower)) }
      if let upper { dx = try dx.mul(x.binary(.le, upper)) }
      return [dx]
    }
    return y
  }

  /// Elements of `a` where `condition` is not 0, else of `b`; the three shapes are broadcast.
  public static func `where`(_ condition: Tensor, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let operands = a.dtype == b.dtype ? [a, b] : try promoted("where", [a, b]).tensors
    let (a, b) = (operands[0], operands[1])
    let shape = try broadcastShape(
      "where", try broadcastShape("where", condition.shape, a.shape), b.shape)
    let mask = try condition.mask()
    let out = try Tensor(uninitialized: shape, a.dtype)
    let parts = try [mask, a, b].map {
      $0.count == 1 || $0.count == out.count ? $0 : try $0.expanded(to: shape)
    }
    let steps = parts.map { Int32($0.count == 1 ? 0 : 1) }
    withExtendedLifetime(parts) {
      pg_where(
        a.dtype.size, out.count, parts[0].floats.baseAddress, steps[0], parts[1].pointer, steps[1],
        parts[2].pointer,
        steps[2], out.pointer)
    }
    let (needsA, needsB, aShape, bShape) = (a.requiresGrad, b.requiresGrad, a.shape, b.shape)
    Autograd.attach("where", to: out, inputs: [a, b], saving: [mask]) { dy in
      let zero = try Tensor.zeros([], dy.dtype)
      return [
        needsA ? try Tensor.where(mask, dy, zero).summed(to: aShape) : nil,
        needsB ? try Tensor.where(mask, zero, dy).summed(to: bShape) : nil,
      ]
    }
    return out
  }

  /// `value` where `mask`, repeated to this shape, is not 0. Throws where the mask is larger.
  public func maskedFill(_ mask: Tensor, _ value: Double) throws -> Tensor {
    guard try broadcastShape("masked_fill", shape, mask.shape) == shape else {
      throw EngineError(
        .shape, "masked_fill: mask \(mask.shape) is larger than the tensor \(shape)")
    }
    return try Tensor.where(mask, Tensor.full([], value, dtype), self)
  }

  /// These elements as float32, 0 where they are 0 and only there; outside the graph.
  private func mask() throws -> Tensor {
    switch dtype {
    case .float32: detach()
    // The smallest numbers of float64 would become 0.
    case .float64: try detach().binary(.ne, 0).converted(to: .float32)
    case .bfloat16, .int32: try converted(to: .float32)
    }
  }
}

extension BinaryOperation {
  /// The derivatives by both operands, where wanted; `z` is the result of `pow`.
  fileprivate func slopes(
    _ x: Tensor, _ y: Tensor, _ z: Tensor?, _ needs: (Bool, Bool)
  ) throws -> (Tensor?, Tensor?) {
    switch self {
    case .mul: return (needs.0 ? y : nil, needs.1 ? x : nil)
    case .div:
      return (
        needs.0 ? try y.unary(.reciprocal) : nil,
        needs.1 ? try x.div(y.unary(.square)).unary(.neg) : nil
      )
    case .pow:
      // 0 where the exponent is 0, and where the base is 0: the formulas would give 0 * inf.
      return (
        needs.0
          ? try Tensor.where(y, y.mul(x.binary(.pow, y.sub(1))), Tensor.zeros([], x.dtype)) : nil,
        needs.1
          ? try z.map {
            try Tensor.where(x.binary(.ne, 0), $0.mul(x.unary(.log)), Tensor.zeros([], x.dtype))
          } : nil
      )
    case .maximum, .minimum:
      let half = try x.binary(.eq, y).mul(0.5)
      let wins: (BinaryOperation, BinaryOperation) = self == .maximum ? (.gt, .lt) : (.lt, .gt)
      return (
        needs.0 ? try x.binary(wins.0, y).add(half) : nil,
        needs.1 ? try x.binary(wins.1, y).add(half) : nil
      )
    default: return (nil, nil)
    }
  }
}
