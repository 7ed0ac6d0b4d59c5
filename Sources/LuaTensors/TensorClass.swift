import Diagnostics
import LuaHost
import TensorCore

/// The class `Tensor`, put together from its groups of members.
func tensorClass(_ random: RandomState) -> Class<Tensor> {
  let groups = [
    accessMembers(), gradientMembers(), elementwiseMembers(), reductionMembers(), shapeMembers(),
    algebraMembers(random),
  ]
  return Class<Tensor>(
    "An array of numbers with gradients. Axes and positions are 0-based, negative from the end.",
    members: groups.flatMap { $0 })
}

/// What a tensor is, and its elements one by one.
private func accessMembers() -> [Member<Tensor>] {
  [
    .property("shape", "sizes of the axes") { $0.shape },
    .property("dtype", "type of the elements") { $0.dtype },
    .property("ndim", "number of axes") { $0.rank },
    .property("count", "number of elements") { $0.count },
    .method(
      "size", "The size of an axis.", Param<Int>("dim", "axis, 0-based, negative from the end"),
      returns: "its size"
    ) {
      tensor, dim in
      guard dim >= -tensor.rank, dim < tensor.rank else {
        throw EngineError(
          .argument, "size: axis \(dim) of a tensor with \(tensor.rank) axes; axes count from 0")
      }
      return tensor.shape[dim < 0 ? dim + tensor.rank : dim]
    },
    .method(
      "get", "One element.",
      Param<Rest<Int>>("positions", "one for each axis, 0-based, negative from the end"),
      returns: "number; an integer for int32"
    ) { tensor, positions in
      Element(tensor.element(try tensor.elementIndex("get", positions.values)), of: tensor)
    },
    .metamethod("__len", "size of the first axis", Param<Tensor>("x", "the tensor")) {
      tensor -> Int in
      guard let first = tensor.shape.first else {
        throw EngineError(
          .shape, "#: a scalar has no axes", hint: "use .count for the number of elements")
      }
      return first
    },
    .metamethod("__tostring", "shape, type and some elements", Param<Tensor>("x", "the tensor")) {
      TensorText($0).text
    },
    .metamethod(
      "__index", "explains how to read elements", Param<Tensor>("x", "the tensor"),
      Param<LuaValue>("key", "no name")
    ) {
      tensor, _ -> LuaValue in throw subscripted(tensor)
    },
    .metamethod(
      "__newindex", "explains how to write elements", Param<Tensor>("x", "the tensor"),
      Param<LuaValue>("key", "no name"),
      Param<LuaValue>("value", "what was assigned")
    ) { tensor, _, _ -> LuaValue in throw subscripted(tensor) },
  ]
}

private func subscripted(_ tensor: Tensor) -> EngineError {
  EngineError(
    .argument, "a Tensor has no elements in square brackets",
    hint:
      "positions count from 0: use t:get(i, ...), t:set(value, i, ...), "
      + "t:select(dim, i) or t:slice(dim, start, stop)"
  )
}
