import Diagnostics
import LuaHost
import LuaTensors
import NN
import TensorCore

/// A layer's input on its way through a method's `delta`, before anything is computed: a sum of products
/// `scale * M_n ... M_1 x`, where each factor is a matrix, or a vector that stands for a diagonal.
///
/// A `delta` that gets by with `linear`, vectors, numbers and sums is computed by the kernels of the native methods, the last
/// product added to the layer's output in place, and its merge and its plain LoRA follow exactly. Any other `delta` fails on this
/// object, and is called with the elements instead.
public final class LinearExpression: LuaObject {
  public static let luaName = "LayerInput"

  struct Term {
    /// In the order in which the input meets them: [out, in], or a vector of [width] or [1].
    var factors: [Tensor] = []
    var scale = 1.0
  }

  let terms: [Term]
  /// Size of the last axis.
  let width: Int
  /// Whether gradients were recorded when the expression was begun; what a script does inside `no_grad` cannot wait.
  private let isRecorded: Bool

  /// The input itself, [..., width].
  convenience init(width: Int) { self.init([Term()], width: width, isRecorded: Autograd.isEnabled) }

  private init(_ terms: [Term], width: Int, isRecorded: Bool) {
    (self.terms, self.width, self.isRecorded) = (terms, width, isRecorded)
  }

  private func changed(width: Int? = nil, _ change: (inout Term) -> Void) throws -> LinearExpression {
    guard isRecorded == Autograd.isEnabled else { throw needsElements("no_grad") }
    let terms = terms.map { term in
      var term = term
      change(&term)
      return term
    }
    return LinearExpression(terms, width: width ?? self.width, isRecorded: isRecorded)
  }

  private func needsElements(_ what: String) -> EngineError {
    EngineError(.argument, "\(what): the input's elements are needed")
  }

  func linear(_ weight: Tensor) throws -> LinearExpression {
    guard weight.rank == 2, weight.shape[1] == width, weight.dtype == .float32 else { throw needsElements("linear") }
    return try changed(width: weight.shape[0]) { $0.factors.append(weight) }
  }

  func scaled(_ factor: Operand) throws -> LinearExpression {
    switch factor {
    case .number(let number): return try changed { $0.scale *= number }
    case .tensor(let tensor):
      let fits = tensor.rank == 0 || tensor.rank == 1 && (tensor.count == width || tensor.count == 1)
      guard fits, tensor.dtype == .float32 else { throw needsElements("mul") }
      let vector = tensor.rank == 0 ? try tensor.reshape([1]) : tensor
      return try changed { $0.factors.append(vector) }
    }
  }

  func divided(by number: Double) throws -> LinearExpression { try changed { $0.scale /= number } }

  func adding(_ other: LinearExpression, sign: Double) throws -> LinearExpression {
    guard other.width == width, isRecorded == Autograd.isEnabled else { throw needsElements("add") }
    let others = other.terms.map { Term(factors: $0.factors, scale: sign * $0.scale) }
    return LinearExpression(terms + others, width: width, isRecorded: isRecorded)
  }

  // MARK: Computing

  /// `y` plus the expression's value for the input `x`; `y` may be overwritten.
  func added(to y: Tensor, _ x: Tensor) throws -> Tensor {
    try terms.reduce(y) { y, term in
      guard let last = term.factors.last else { return try y.add(x.mul(term.scale)).to(y.dtype) }
      let inner = try term.factors.dropLast().reduce(x) { h, factor in
        factor.rank == 2 ? try h.linear(factor, output: factor.dtype) : try h.to(factor.dtype).mul(factor)
      }
      if last.rank == 2 { return try y.addingLinear(inner.to(last.dtype), last, scale: term.scale) }
      let product = try inner.to(last.dtype).mul(last)
      return try y.add(term.scale == 1 ? product : product.mul(term.scale)).to(y.dtype)
    }
  }

  /// The matrix of the expression, [width, inFeatures]; outside the graph.
  func matrix(inFeatures: Int) throws -> Tensor {
    try terms.reduce(Tensor.zeros([width, inFeatures])) { sum, term in
      if let split = Self.narrowest(term.factors) {
        let (down, up) = try (Self.product(term.factors[...split], inFeatures), Self.product(term.factors[(split + 1)...], width))
        return try sum.addingProduct(up, down, scale: term.scale)
      }
      try sum.addInPlace(Self.product(term.factors[...], inFeatures), alpha: term.scale)
      return sum
    }
  }

  /// Factors of the matrix, `b a`: [width, k] and [k, inFeatures]; nil where they would be no narrower than the matrix.
  func loraFactors(inFeatures: Int) throws -> (a: Tensor, b: Tensor)? {
    let splits = terms.compactMap { Self.narrowest($0.factors) }
    let rank = zip(terms, splits).reduce(0) { $0 + $1.0.factors[$1.1].shape[0] }
    guard splits.count == terms.count, rank < min(width, inFeatures) else { return nil }
    let pairs = try zip(terms, splits).map { term, split -> (a: Tensor, b: Tensor) in
      let (down, up) = try (Self.product(term.factors[...split], inFeatures), Self.product(term.factors[(split + 1)...], width))
      return (down, term.scale == 1 ? up : try up.mul(term.scale))
    }
    guard pairs.count > 1 else { return pairs[0] }
    return (try Tensor.cat(pairs.map(\.a), 0), try Tensor.cat(pairs.map(\.b), 1))
  }

  /// The matrix after which the product is narrowest, of several the last; nil for fewer than two matrices.
  private static func narrowest(_ factors: [Tensor]) -> Int? {
    let matrices = factors.indices.filter { factors[$0].rank == 2 }
    return matrices.dropLast().min { a, b in (factors[a].shape[0], -a) < (factors[b].shape[0], -b) }
  }

  /// The product of factors as one matrix; `width`: its size where there are vectors alone.
  private static func product(_ factors: ArraySlice<Tensor>, _ width: Int) throws -> Tensor {
    var matrix: Tensor?
    var columns: Tensor?
    for factor in factors {
      if let current = matrix {
        matrix =
          factor.rank == 2
          ? try Tensor.zeros([factor.shape[0], current.shape[1]]).addingProduct(factor, current)
          : try current.mul(factor.unsqueeze(1))
      } else if factor.rank == 2 {
        matrix = try columns.map { try factor.mul($0) } ?? factor
      } else {
        columns = try columns.map { try $0.mul(factor) } ?? factor
      }
    }
    return try matrix ?? (columns ?? Tensor.ones([1])).broadcast(to: [width]).copy().diagonalMatrix()
  }
}

/// A factor of an expression, or another expression.
private enum ExpressionOperand: LuaArgument {
  case expression(LinearExpression)
  case operand(Operand)

  static var luaType: LuaType { LuaType("LayerInput|Tensor|number") }
  static var expectedWord: String { "LayerInput, Tensor or number" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> ExpressionOperand {
    if let expression = try? LinearExpression.read(stack, at: index) { return .expression(expression) }
    do throws(ValueMismatch) { return .operand(try Operand.read(stack, at: index)) } catch {
      throw stack.mismatch(expectedWord, at: index)
    }
  }

  static func add(_ left: ExpressionOperand, _ right: ExpressionOperand, sign: Double) throws -> LinearExpression {
    guard case (.expression(let x), .expression(let y)) = (left, right) else {
      throw EngineError(.argument, "add: the input's elements are needed")
    }
    return try x.adding(y, sign: sign)
  }

  static func multiply(_ left: ExpressionOperand, _ right: ExpressionOperand) throws -> LinearExpression {
    switch (left, right) {
    case (.expression(let x), .operand(let factor)), (.operand(let factor), .expression(let x)): return try x.scaled(factor)
    default: throw EngineError(.argument, "mul: the input's elements are needed")
    }
  }

  static func divide(_ left: ExpressionOperand, _ right: ExpressionOperand) throws -> LinearExpression {
    guard case (.expression(let x), .operand(.number(let number))) = (left, right) else {
      throw EngineError(.argument, "div: the input's elements are needed")
    }
    return try x.divided(by: number)
  }
}

func linearExpressionClass() -> Class<LinearExpression> {
  let left = Param<ExpressionOperand>("left", "left operand")
  let right = Param<ExpressionOperand>("right", "right operand")
  let other = Param<ExpressionOperand>("other", "the other operand")
  return Class<LinearExpression>(
    "A layer's input as adapters.define's delta sees it first: what is linear in it is computed as fast as by a native method.",
    .method("size", "The size of the last axis; others are not known yet.", Param<Int>("dim", "the axis: -1"), returns: "its size") {
      expression, dim in
      guard dim == -1 else { throw EngineError(.argument, "size: the input's elements are needed") }
      return expression.width
    },
    .method("linear", "x W^T.", Param<Tensor>("weight", "[out, in]"), returns: "the product") { try $0.linear($1) },
    .method("mul", "Times a number, or a vector along the last axis.", other, returns: "the product") {
      try ExpressionOperand.multiply(.expression($0), $1)
    },
    .method("div", "Divided by a number.", other, returns: "the quotient") { try ExpressionOperand.divide(.expression($0), $1) },
    .method("add", "The sum of two linear functions of the input.", other, returns: "the sum") {
      try ExpressionOperand.add(.expression($0), $1, sign: 1)
    },
    .method("sub", "Their difference.", other, returns: "the difference") {
      try ExpressionOperand.add(.expression($0), $1, sign: -1)
    },
    .metamethod("__add", "the sum", left, right) { try ExpressionOperand.add($0, $1, sign: 1) },
    .metamethod("__sub", "the difference", left, right) { try ExpressionOperand.add($0, $1, sign: -1) },
    .metamethod("__mul", "times a number or vector", left, right) { try ExpressionOperand.multiply($0, $1) },
    .metamethod("__div", "divided by a number", left, right) { try ExpressionOperand.divide($0, $1) },
    .metamethod("__unm", "the negative", Param<LinearExpression>("x", "the input")) { try $0.scaled(.number(-1)) })
}
