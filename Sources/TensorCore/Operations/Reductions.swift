import CKernels
import Diagnostics

// In every reduction, `axes` nil or empty means all axes, and `keepdim` keeps the reduced axes with
// size 1.

extension Tensor {
  /// The sum over axes; 0 of no elements. int32 stays int32 (throws `.data` where the sum does not
  /// fit).
  public func sum(_ axes: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    if dtype == .int32 {
      return try converted(to: .float64).sum(axes, keepdim: keepdim).converted(to: .int32)
    }
    return try computed().total("sum", axes, keepdim, mean: false)
  }

  /// The mean over axes; not a number for no elements. int32 becomes float32.
  public func mean(_ axes: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    try computed().total("mean", axes, keepdim, mean: true)
  }

  private func total(_ name: String, _ axes: [Int]?, _ keepdim: Bool, mean: Bool) throws -> Tensor {
    let plan = try Reduction(name, self, axes)
    var y = try plan.reduce(PG_SUM)
    let factor = mean ? 1 / Double(plan.columns) : 1
    if mean { y = try y.mul(factor) }
    let result = y.view(plan.resultShape(keepdim))
    Autograd.attach(name, to: result, inputs: [self]) { [shape, kept = plan.keptShape] dy in
      let scaled = mean ? try dy.mul(factor) : dy
      return [try scaled.view(kept).expanded(to: shape)]
    }
    return result
  }

  /// The largest values over axes and their positions (int32, counted row-major along the reduced
  /// axes; the first of equal ones). The gradient goes to that element. Throws for no elements.
  public func reduceMax(_ axes: [Int]? = nil, keepdim: Bool = false) throws -> (
    values: Tensor, indices: Tensor
  ) {
    try extremum("max", largest: true, axes, keepdim)
  }

  /// The smallest values over axes and their positions; see `reduceMax`.
  public func reduceMin(_ axes: [Int]? = nil, keepdim: Bool = false) throws -> (
    values: Tensor, indices: Tensor
  ) {
    try extremum("min", largest: false, axes, keepdim)
  }

  /// The position of the largest value along an axis, or of all (nil), as int32.
  public func argmax(_ axis: Int? = nil, keepdim: Bool = false) throws -> Tensor {
    try detach().reduceMax(axis.map { [$0] }, keepdim: keepdim).indices
  }

  /// The position of the smallest value along an axis, or of all (nil), as int32.
  public func argmin(_ axis: Int? = nil, keepdim: Bool = false) throws -> Tensor {
    try detach().reduceMin(axis.map { [$0] }, keepdim: keepdim).indices
  }

  private func extremum(
    _ name: String, largest: Bool, _ axes: [Int]?, _ keepdim: Bool
  ) throws -> (values: Tensor, indices: Tensor) {
    if dtype == .int32 {
      let (values, indices) = try converted(to: .float64).extremum(
        name, largest: largest, axes, keepdim)
      return (try values.converted(to: .int32), indices)
    }
    let x = try computed()
    let plan = try Reduction(name, x, axes)
    guard plan.columns > 0 || plan.rows == 0, Int32(exactly: plan.columns) != nil else {
      throw EngineError(.shape, "\(name): \(plan.columns) elements of \(shape) to choose from")
    }
    let resultShape = plan.resultShape(keepdim)
    let values = try Tensor(uninitialized: resultShape, x.dtype)
    let indices = try Tensor(uninitialized: resultShape, .int32)
    pg_extremum(
      x.dtype.kernel, largest, plan.rows, plan.columns, plan.matrix.pointer, values.pointer,
      indices.int32s.baseAddress)
    let (matrixShape, rows, columns) = (plan.matrix.shape, plan.rows, plan.columns)
    Autograd.attach(name, to: values, inputs: [x]) { dy in
      let dx = try Tensor.zeros(matrixShape, dy.dtype)
      pg_scatter_add_axis(
        dy.dtype.kernel, rows, columns, 1, 1, indices.int32s.baseAddress, dy.pointer, dx.pointer)
      return [try plan.restored(dx)]
    }
    return (values, indices)
  }

  /// The variance over axes: squared deviations from the mean, summed, divided by n - 1
  /// (`unbiased`) or n. Not a number where that divisor is 0.
  public func variance(_ axes: [Int]? = nil, unbiased: Bool = true, keepdim: Bool = false) throws
    -> Tensor
  {
    try computed().spread("var", axes, unbiased, keepdim)
  }

  /// The square root of `variance`; its gradient is 0 where it is 0.
  public func std(_ axes: [Int]? = nil, unbiased: Bool = true, keepdim: Bool = false) throws
    -> Tensor
  {
    try computed().spread("std", axes, unbiased, keepdim)
  }

  private func spread(_ name: String, _ axes: [Int]?, _ unbiased: Bool, _ keepdim: Bool) throws
    -> Tensor
  {
    let plan = try Reduction(name, self, axes)
    let divisor = Double(plan.columns) - (unbiased ? 1 : 0)
    let (mean, variance) = (
      try Tensor(uninitialized: plan.shape, dtype), try Tensor(uninitialized: plan.shape, dtype)
    )
    pg_variance(
      dtype.kernel, plan.rows, plan.columns, divisor, plan.matrix.pointer, mean.pointer,
      variance.pointer)
    let isRoot = name == "std"
    let result = (isRoot ? try variance.unary(.sqrt) : variance).view(plan.resultShape(keepdim))
    Autograd.attach(name, to: result, inputs: [self], saving: isRoot ? [self, result] : [self]) {
      [x = detach(), kept = plan.keptShape, y = result.detach()] dy in
      var slope = try dy.view(kept).mul(2 / divisor)
      if isRoot {
        let root = y.view(kept)
        slope = try slope.div(root.mul(2)).maskedFill(root.binary(.eq, 0), 0)
      }
      return [try x.sub(mean.view(kept)).mul(slope)]
    }
    return result
  }

  /// The p-norm over axes, `(sum |x|^p)^(1/p)`; the Euclidean (for a matrix: Frobenius) norm for p
  /// = 2, the largest absolute value for infinity, the number of elements other than 0 for p = 0.
  /// Its gradient is 0 where it is 0.
  public func norm(_ p: Double = 2, _ axes: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    guard p >= 0 else { throw EngineError(.argument, "norm: p = \(p), expected 0 to infinity") }
    let x = try computed()
    if p == 0 { return try x.detach().binary(.ne, 0).sum(axes, keepdim: keepdim) }
    if p == 1 { return try x.unary(.abs).sum(axes, keepdim: keepdim) }
    if p == .infinity { return try x.unary(.abs).reduceMax(axes, keepdim: keepdim).values }
    let plan = try Reduction("norm", x, axes)
    let y: Tensor
    if p == 2 {
      y = try plan.reduce(PG_NORM)
    } else {
      let powers = try x.detach().unary(.abs).binary(.pow, p)
      y = try powers.sum(axes).binary(.pow, 1 / p)
    }
    let result = y.view(plan.resultShape(keepdim))
    Autograd.attach("norm", to: result, inputs: [x], saving: [x, y]) {
      [x = x.detach(), y = y.view(plan.keptShape)] dy in
      let slope =
        try p == 2 ? x.div(y) : x.unary(.sign).mul(x.unary(.abs).div(y).binary(.pow, p - 1))
      let isFlat = try p < 1 ? x.binary(.eq, 0) : y.binary(.eq, 0)
      return [try dy.view(y.shape).mul(slope.maskedFill(isFlat, 0))]
    }
    return result
  }

  /// `log(sum(exp(x)))` over axes, without overflow; -inf of no elements.
  public func logSumExp(_ axes: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    let x = try computed()
    let plan = try Reduction("logsumexp", x, axes)
    let y = try plan.reduce(PG_LOG_SUM_EXP)
    let result = y.view(plan.resultShape(keepdim))
    Autograd.attach("logsumexp", to: result, inputs: [x], saving: [x, y]) {
      [x = x.detach(), y = y.view(plan.keptShape)] dy in
      [try x.sub(y).unary(.exp).mul(dy.view(y.shape))]
    }
    return result
  }

  /// Running sums along an axis. int32 stays int32.
  public func cumsum(_ axis: Int) throws -> Tensor {
    if dtype == .int32 { return try converted(to: .float64).cumsum(axis).converted(to: .int32) }
    return try computed().alongAxis("cumsum", axis, readsResult: false) { x, y in
      pg_cumsum(x.dtype.kernel, x.rows, x.columns, false, x.pointer, y.pointer)
    } backward: { _, dy, dx in
      pg_cumsum(dy.dtype.kernel, dy.rows, dy.columns, true, dy.pointer, dx.pointer)
    }
  }

  /// `exp(x) / sum(exp(x))` along an axis.
  public func softmax(_ axis: Int = -1) throws -> Tensor {
    try computed().alongAxis("softmax", axis) { x, y in
      pg_softmax(x.dtype.kernel, x.rows, x.columns, x.pointer, y.pointer)
    } backward: { y, dy, dx in
      pg_softmax_backward(y.dtype.kernel, y.rows, y.columns, y.pointer, dy.pointer, dx.pointer)
    }
  }

  /// `x - log(sum(exp(x)))` along an axis.
  public func logSoftmax(_ axis: Int = -1) throws -> Tensor {
    try computed().alongAxis("log_softmax", axis) { x, y in
      pg_log_softmax(x.dtype.kernel, x.rows, x.columns, x.pointer, y.pointer)
    } backward: { y, dy, dx in
      pg_log_softmax_backward(y.dtype.kernel, y.rows, y.columns, y.pointer, dy.pointer, dx.pointer)
    }
  }

  /// A function of the rows of the tensor with `axis` moved last. `backward` gets the result and
  /// its gradient, and fills the gradient of the operand.
  private func alongAxis(
    _ name: String, _ axis: Int, readsResult: Bool = true, forward: (Tensor, Tensor) -> Void,
    backward: @escaping (_ y: Tensor, _ dy: Tensor, _ dx: Tensor) -> Void
  ) throws -> Tensor {
    var order = Array(0..<rank)
    order.swapAt(try checkedAxis(name, axis, rank: rank), rank - 1)
    let moved = try permuted(order)
    let y = try Tensor(uninitialized: moved.shape, dtype)
    forward(moved, y)
    let restored = try y.permuted(order)
    let result = restored === y ? y.detach() : restored
    Autograd.attach(name, to: result, inputs: [self], saving: readsResult ? [y] : []) { dy in
      let gradient = try dy.permuted(order)
      let dx = try Tensor(uninitialized: y.shape, y.dtype)
      backward(y, gradient, dx)
      return [try dx.permuted(order)]
    }
    return result
  }
}
