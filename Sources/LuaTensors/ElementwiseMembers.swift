import Diagnostics
import LuaHost
import TensorCore

extension UnaryOperation {
  /// What the method of this name does.
  var explanation: String {
    switch self {
    case .neg: "The negative of every element."
    case .abs: "The absolute value of every element."
    case .exp: "e^x of every element."
    case .log: "The natural logarithm of every element."
    case .sqrt: "The square root of every element."
    case .rsqrt: "1 / sqrt(x) of every element."
    case .square: "x * x of every element."
    case .sin: "The sine of every element, in radians."
    case .cos: "The cosine of every element, in radians."
    case .sign: "-1, 0 or 1 for every element; its gradient is 0."
    case .relu: "max(x, 0) of every element."
    case .tanh: "The hyperbolic tangent of every element."
    case .sigmoid: "1 / (1 + e^-x) of every element."
    case .silu: "x * sigmoid(x) of every element."
    case .gelu: "x * Phi(x) of every element, with the exact normal distribution function."
    case .geluTanh: "The approximation of gelu with tanh."
    case .reciprocal: "1 / x of every element."
    case .erf: "The error function of every element."
    case .floor: "The next whole number below; its gradient is 0."
    case .ceil: "The next whole number above; its gradient is 0."
    case .round: "The nearest whole number, the even one of two; its gradient is 0."
    }
  }
}

extension BinaryOperation {
  /// What the method of this name does.
  var explanation: String {
    switch self {
    case .add: "self + other; shapes are broadcast as in NumPy."
    case .sub: "self - other; shapes are broadcast as in NumPy."
    case .mul: "self * other, element by element; shapes are broadcast as in NumPy."
    case .div: "self / other, element by element; shapes are broadcast as in NumPy."
    case .pow: "self ^ other, element by element; shapes are broadcast as in NumPy."
    case .maximum: "The larger one of two elements."
    case .minimum: "The smaller one of two elements."
    case .eq:
      "1 where the elements are equal, else 0 (== asks whether two variables hold the same tensor)."
    case .ne: "1 where the elements differ, else 0."
    case .lt: "1 where self < other, else 0."
    case .le: "1 where self <= other, else 0."
    case .gt: "1 where self > other, else 0."
    case .ge: "1 where self >= other, else 0."
    }
  }
}

/// Functions of each element.
func elementwiseMembers() -> [Member<Tensor>] {
  let unary: [Member<Tensor>] = UnaryOperation.allCases.map { operation in
    .method(operation.rawValue, operation.explanation, returns: "new tensor of the same shape") {
      tensor in try tensor.unary(operation)
    }
  }
  let binary: [Member<Tensor>] = BinaryOperation.allCases.map { operation in
    .method(
      operation.rawValue, operation.explanation, Param<Operand>("other", "the other operand"),
      returns: "new tensor of the broadcast shape"
    ) { tensor, other in try Operand.apply(operation, .tensor(tensor), other) }
  }
  return unary + binary + selections() + operators()
}

/// Elements that are chosen by others.
private func selections() -> [Member<Tensor>] {
  [
    .method(
      "clamp", "Elements below min become min, those above max become max.",
      Param<Double?>("min", "the lower bound; nil: none"),
      Param<Double?>("max", "the upper bound; nil: none"),
      returns: "new tensor of the same shape"
    ) { tensor, lower, upper in try tensor.clamp(lower, upper) },
    .method(
      "where", "Keeps the elements where the condition is not 0, and takes the others from other.",
      Param<Tensor>("condition", "a comparison, such as x:gt(0)"),
      Param<Operand>("other", "what stands elsewhere"),
      returns: "new tensor of the broadcast shape"
    ) { tensor, condition, other in
      try Tensor.where(condition, tensor, other.tensor(like: .tensor(tensor)))
    },
    .method(
      "masked_fill", "The value where the mask is not 0.",
      Param<Tensor>("mask", "broadcast to this shape"),
      Param<Double>("value", "what stands there"), returns: "new tensor of the same shape"
    ) { tensor, mask, value in try tensor.maskedFill(mask, value) },
  ]
}

private func operators() -> [Member<Tensor>] {
  let symbols: [(String, BinaryOperation)] = [
    ("__add", .add), ("__sub", .sub), ("__mul", .mul), ("__div", .div), ("__pow", .pow),
  ]
  let binary: [Member<Tensor>] = symbols.map { name, operation in
    .metamethod(
      name, operation.explanation, Param<Operand>("left", "left operand"),
      Param<Operand>("right", "right operand")
    ) { left, right in try Operand.apply(operation, left, right) }
  }
  let negation: Member<Tensor> = .metamethod(
    "__unm", "the negative of every element", Param<Tensor>("x", "the tensor")
  ) { x in try x.unary(.neg) }
  return binary + [negation]
}
