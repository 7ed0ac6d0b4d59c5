import Diagnostics
import LuaHost
import TensorCore

/// The parameter of reductions: which axes go.
private func dimensions() -> Param<Axes?> {
  Param("dim", "axis or axes, 0-based, negative from the end; nil: all of them")
}

private func keepdim() -> Param<Bool> {
  Param("keepdim", "keep the reduced axes with size 1", default: false)
}

private typealias Reducer =
  @Sendable (_ x: Tensor, _ axes: [Int]?, _ keepdim: Bool) throws -> Tensor

/// Sums, means and their like: one line each.
private let reducers: [(name: String, doc: String, apply: Reducer)] = [
  ("sum", "The sum over axes.", { try $0.sum($1, keepdim: $2) }),
  ("mean", "The mean over axes.", { try $0.mean($1, keepdim: $2) }),
  (
    "logsumexp", "log(sum(exp(x))) over axes, without overflow.",
    { try $0.logSumExp($1, keepdim: $2) }
  ),
]

/// Functions that reduce axes or run along one.
func reductionMembers() -> [Member<Tensor>] {
  let simple: [Member<Tensor>] = reducers.map { name, doc, apply in
    .method(name, doc, dimensions(), keepdim(), returns: "new tensor") { tensor, axes, keep in
      try apply(tensor, axes?.values, keep)
    }
  }
  return simple + spreads() + extrema() + alongAxis()
}

private func spreads() -> [Member<Tensor>] {
  let unbiased = Param<Bool>("unbiased", "divide by n - 1 instead of n", default: true)
  return [
    .method(
      "var", "The variance over axes.", dimensions(), keepdim(), unbiased, returns: "new tensor"
    ) {
      tensor, axes, keep, unbiased in
      try tensor.variance(axes?.values, unbiased: unbiased, keepdim: keep)
    },
    .method(
      "std", "The standard deviation over axes.", dimensions(), keepdim(), unbiased,
      returns: "new tensor"
    ) {
      tensor, axes, keep, unbiased in
      try tensor.std(axes?.values, unbiased: unbiased, keepdim: keep)
    },
    .method(
      "norm", "(sum |x|^p)^(1/p) over axes; for p = math.huge the largest absolute value.",
      Param<Double>("p", "which norm; 2 is the Euclidean one", default: 2, in: 0...), dimensions(),
      keepdim(),
      returns: "new tensor"
    ) { tensor, p, axes, keep in try tensor.norm(p, axes?.values, keepdim: keep) },
  ]
}

private func extrema() -> [Member<Tensor>] {
  let axis = Param<Int?>("dim", "axis, 0-based, negative from the end; nil: all elements")
  return [
    .method(
      "max", "The largest value: of all elements, or along an axis with its positions.", axis,
      keepdim(),
      returns: "values; with dim also their positions (int32, 0-based)"
    ) { tensor, dim, keep in
      let found = try tensor.reduceMax(dim.map { [$0] }, keepdim: keep)
      return TensorPair(found.values, dim.map { _ in found.indices })
    },
    .method(
      "min", "The smallest value: of all elements, or along an axis with its positions.", axis,
      keepdim(),
      returns: "values; with dim also their positions (int32, 0-based)"
    ) { tensor, dim, keep in
      let found = try tensor.reduceMin(dim.map { [$0] }, keepdim: keep)
      return TensorPair(found.values, dim.map { _ in found.indices })
    },
    .method(
      "argmax", "The position of the largest value, the first one of equal ones.", axis, keepdim(),
      returns: "int32 tensor of 0-based positions"
    ) { tensor, dim, keep in try tensor.argmax(dim, keepdim: keep) },
    .method(
      "argmin", "The position of the smallest value, the first one of equal ones.", axis, keepdim(),
      returns: "int32 tensor of 0-based positions"
    ) { tensor, dim, keep in try tensor.argmin(dim, keepdim: keep) },
  ]
}

private func alongAxis() -> [Member<Tensor>] {
  let last = Param<Int>("dim", "axis, 0-based, negative from the end", default: -1)
  return [
    .method(
      "cumsum", "Running sums along an axis.",
      Param<Int>("dim", "axis, 0-based, negative from the end"),
      returns: "new tensor of the same shape"
    ) { tensor, dim in try tensor.cumsum(dim) },
    .method(
      "softmax", "exp(x) / sum(exp(x)) along an axis.", last,
      returns: "new tensor of the same shape"
    ) {
      tensor, dim in try tensor.softmax(dim)
    },
    .method(
      "log_softmax", "x - log(sum(exp(x))) along an axis.", last,
      returns: "new tensor of the same shape"
    ) { tensor, dim in try tensor.logSoftmax(dim) },
  ]
}
