import CKernels
import Diagnostics

/// Row-major strides, in elements.
func strides(of shape: [Int]) -> [Int] {
  var result = [Int](repeating: 1, count: shape.count)
  for d in stride(from: shape.count - 2, to: -1, by: -1) {
    result[d] = result[d + 1] * Swift.max(shape[d + 1], 1)
  }
  return result
}

/// The product of some of a tensor's sizes.
func product(_ sizes: some Sequence<Int>) -> Int { sizes.reduce(1, *) }

/// An axis in 0..<rank; negative ones count from the end.
func checkedAxis(_ operation: String, _ axis: Int, rank: Int) throws -> Int {
  guard axis >= -rank, axis < rank else {
    let expected = rank == 0 ? "a scalar has none" : "expected \(-rank) to \(rank - 1)"
    throw EngineError(
      .argument, "\(operation): axis \(axis) of a tensor with \(rank) axes, \(expected)")
  }
  return axis < 0 ? axis + rank : axis
}

/// Distinct axes in 0..<rank, ascending; all of them for nil or an empty list.
func checkedAxes(_ operation: String, _ axes: [Int]?, rank: Int) throws -> [Int] {
  guard let axes, !axes.isEmpty else { return Array(0..<rank) }
  let result = try axes.map { try checkedAxis(operation, $0, rank: rank) }
  guard Set(result).count == result.count else {
    throw EngineError(.argument, "\(operation): axes \(axes) name one axis twice")
  }
  return result.sorted()
}

/// The shape that both shapes repeat to: sizes are compared from the last axis, and 1 repeats.
func broadcastShape(_ operation: String, _ a: [Int], _ b: [Int]) throws -> [Int] {
  let rank = Swift.max(a.count, b.count)
  return try (0..<rank).map { d in
    let x = d < rank - a.count ? 1 : a[d - (rank - a.count)]
    let y = d < rank - b.count ? 1 : b[d - (rank - b.count)]
    guard x == y || x == 1 || y == 1 else {
      throw EngineError(
        .shape, "\(operation): shapes \(a) and \(b) do not fit each other: \(x) against \(y)")
    }
    return x == 1 ? y : x
  }
}

// MARK: - Copies with strides, outside the graph

extension Tensor {
  /// A new tensor of `shape` whose elements are read from `offset` on with `strides`, in elements.
  func reading(_ shape: [Int], strides: [Int], offset: Int = 0) throws -> Tensor {
    let result = try Tensor(uninitialized: shape, dtype)
    guard result.count > 0 else { return result }
    pg_strided_read(
      dtype.size, Int32(shape.count), shape, strides,
      pointer + offset * dtype.size, result.pointer)
    return result
  }

  /// Writes `source` to the elements from `offset` on with `strides`, in elements.
  func write(_ source: Tensor, strides: [Int], offset: Int = 0) {
    precondition(source.dtype == dtype)
    guard source.count > 0 else { return }
    pg_strided_write(
      dtype.size, Int32(source.rank), source.shape, strides, source.pointer,
      pointer + offset * dtype.size)
  }

  /// The elements repeated to a shape that `broadcastShape` gave; `self` where nothing changes.
  func expanded(to target: [Int]) throws -> Tensor {
    if target == shape { return self }
    let own = strides(of: shape)
    let extra = target.count - rank
    return try reading(
      target,
      strides: target.indices.map { $0 < extra || shape[$0 - extra] == 1 ? 0 : own[$0 - extra] })
  }

  /// The axes in another order: axis d of the result is `order[d]` of this tensor.
  func permuted(_ order: [Int]) throws -> Tensor {
    if order == Array(0..<rank) { return self }
    let own = strides(of: shape)
    return try reading(order.map { shape[$0] }, strides: order.map { own[$0] })
  }

  /// The sum over the axes along which `target` was repeated to this shape: the transpose of
  /// `expanded`.
  func summed(to target: [Int]) throws -> Tensor {
    if target == shape { return self }
    let extra = rank - target.count
    let axes = shape.indices.filter { $0 < extra || (target[$0 - extra] == 1 && shape[$0] != 1) }
    if axes.isEmpty { return view(target) }
    let plan = try Reduction("sum", self, axes)
    return try plan.reduce(PG_SUM).view(target)
  }
}

/// A reduction of some axes, as one of the rows of a matrix.
struct Reduction {
  /// The tensor with the reduced axes last, contiguous.
  let matrix: Tensor
  /// Which of the tensor's axes each of the matrix's axes is.
  let order: [Int]
  /// Numbers of results, and of elements in each.
  let rows: Int
  let columns: Int
  /// Shapes of the result, with the reduced axes left out or of size 1.
  let shape: [Int]
  let keptShape: [Int]

  init(_ operation: String, _ x: Tensor, _ axes: [Int]?) throws {
    let axes = try checkedAxes(operation, axes, rank: x.rank)
    let others = (0..<x.rank).filter { !axes.contains($0) }
    order = others + axes
    matrix = try x.permuted(order)
    shape = others.map { x.shape[$0] }
    keptShape = x.shape.indices.map { axes.contains($0) ? 1 : x.shape[$0] }
    rows = product(shape)
    columns = product(axes.map { x.shape[$0] })
  }

  func resultShape(_ keepdim: Bool) -> [Int] { keepdim ? keptShape : shape }

  func reduce(_ operation: pg_reduction) throws -> Tensor {
    let y = try Tensor(uninitialized: shape, matrix.dtype)
    pg_reduce(matrix.dtype.kernel, operation, rows, columns, matrix.pointer, y.pointer)
    return y
  }

  /// A tensor in the matrix's order of axes, back in the order of the reduced tensor.
  func restored(_ other: Tensor) throws -> Tensor {
    var inverse = [Int](repeating: 0, count: order.count)
    for (position, axis) in order.enumerated() { inverse[axis] = position }
    return try other.permuted(inverse)
  }
}

// MARK: - Common types

/// Operands in a common type that kernels compute in: float64 if one is (or if all are int32, which
/// float64 holds exactly), else float32. Gradients flow back through the conversion.
func promoted(_ operation: String, _ tensors: [Tensor]) throws -> (
  tensors: [Tensor], areIntegers: Bool
) {
  let areIntegers = tensors.allSatisfy { $0.dtype == .int32 }
  let target: DType = areIntegers || tensors.contains { $0.dtype == .float64 } ? .float64 : .float32
  return (try tensors.map { try $0.to(target) }, areIntegers)
}
