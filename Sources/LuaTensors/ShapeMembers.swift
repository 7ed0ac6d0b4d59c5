import Diagnostics
import LuaHost
import TensorCore

private func axis(_ name: String = "dim", _ doc: String = "axis, 0-based, negative from the end")
  -> Param<Int>
{
  Param(name, doc)
}

/// Functions that change shapes and pick elements.
func shapeMembers() -> [Member<Tensor>] { shapes() + orders() + picks() + parts() }

private func shapes() -> [Member<Tensor>] {
  let sizes = Param<Sizes>(
    "sizes", "the new sizes, as integers or one list; one may be -1: what is left over")
  return [
    .method(
      "reshape", "The same elements with another shape; memory is shared.", sizes,
      returns: "new tensor"
    ) {
      tensor, sizes in try tensor.reshape(sizes.values)
    },
    .method("view", "The same as reshape.", sizes, returns: "new tensor") { tensor, sizes in
      try tensor.reshape(sizes.values)
    },
    .method(
      "flatten", "The axes from the first to the last of these as one.",
      Param<Int>("start_dim", "first axis, 0-based", default: 0),
      Param<Int>("end_dim", "last axis, 0-based", default: -1),
      returns: "new tensor"
    ) { tensor, start, end in try tensor.flatten(start, end) },
    .method(
      "unsqueeze", "A new axis of size 1.",
      axis("dim", "where it stands in the result, 0-based, negative from the end"),
      returns: "new tensor"
    ) { tensor, dim in try tensor.unsqueeze(dim) },
    .method(
      "squeeze", "Without axes of size 1.",
      Param<Int?>("dim", "which one, 0-based; nil: all of them"), returns: "new tensor"
    ) { tensor, dim in try tensor.squeeze(dim) },
    .method(
      "expand", "Repeated to a larger shape: axes of size 1 repeat, new axes come in front.",
      Param<Sizes>("sizes", "the new sizes, as integers or one list; -1 keeps a size"),
      returns: "new tensor"
    ) { tensor, sizes in try tensor.broadcast(to: sizes.values) },
  ]
}

private func orders() -> [Member<Tensor>] {
  [
    .method(
      "transpose", "Two axes exchanged.", axis("dim0", "an axis, 0-based"),
      axis("dim1", "the other one"), returns: "new tensor"
    ) {
      tensor, a, b in try tensor.transpose(a, b)
    },
    .method(
      "t", "The transpose of a matrix; vectors and scalars stay as they are.", returns: "new tensor"
    ) { tensor in
      guard tensor.rank <= 2 else {
        throw EngineError(
          .shape, "t: \(tensor.summary): expected at most 2 axes", hint: "use transpose or permute")
      }
      return tensor.rank < 2 ? tensor : try tensor.transpose(0, 1)
    },
    .method(
      "permute", "The axes in another order.",
      Param<Sizes>("dims", "which axis comes where, 0-based, as integers or one list"),
      returns: "new tensor"
    ) { tensor, order in try tensor.permute(order.values) },
  ]
}

private func picks() -> [Member<Tensor>] {
  [
    .method(
      "select", "One position along an axis, which goes.", axis(),
      axis("index", "position, 0-based, negative from the end"), returns: "new tensor"
    ) {
      tensor, dim, index in try tensor.select(dim, index)
    },
    .method(
      "slice", "The positions start, start + step, ... before stop along an axis.", axis(),
      Param<Int?>("start", "first position, 0-based, negative from the end; nil: the first"),
      Param<Int?>("stop", "where to end, itself excluded; nil: the end"),
      Param<Int>("step", "distance of positions", default: 1, in: 1...), returns: "new tensor"
    ) { tensor, dim, start, stop, step in try tensor.slice(dim, start, stop, step: step) },
    .method(
      "index_select", "Some positions along an axis.", axis(),
      Param<Identifiers>("index", "0-based positions: int32 tensor or list"), returns: "new tensor"
    ) { tensor, dim, index in try tensor.indexSelect(dim, index.tensor("index_select")) },
    .method(
      "gather", "For each element of index, the element at that position along an axis.", axis(),
      Param<Tensor>("index", "int32 tensor of 0-based positions, with as many axes"),
      returns: "new tensor of the index's shape"
    ) { tensor, dim, index in try tensor.gather(dim, index) },
    .method(
      "one_hot", "A last axis of zeros with a 1 at the position that each element (int32) names.",
      Param<Int?>("num_classes", "size of the new axis; nil: the largest element + 1", in: 0...),
      returns: "new float32 tensor"
    ) { tensor, classes in try oneHot(tensor, classes) },
  ]
}

/// One-hot rows; without a number of classes there are as many as the largest id needs.
func oneHot(_ ids: Tensor, _ classes: Int?, _ dtype: DType = .float32) throws -> Tensor {
  if let classes { return try ids.oneHot(classes, dtype) }
  guard ids.dtype == .int32, ids.count > 0 else {
    throw EngineError(
      .argument, "one_hot: \(ids.summary): expected int32 and at least one element",
      hint: "give num_classes")
  }
  return try ids.oneHot(Int(ids.reduceMax().values.item()) + 1, dtype)
}

private func parts() -> [Member<Tensor>] {
  let dim = Param<Int>("dim", "axis, 0-based, negative from the end", default: 0)
  let diagonal = Param<Int>("diagonal", "0 is the main one, positive ones lie above it", default: 0)
  return [
    .method(
      "split", "Parts along an axis.",
      Param<Axes>("split_size", "size of each part (the last may be smaller), or a list of sizes"),
      dim, returns: "list of tensors"
    ) { tensor, sizes, dim in
      sizes.values.count == 1
        ? try tensor.split(size: sizes.values[0], dim) : try tensor.split(sizes: sizes.values, dim)
    },
    .method(
      "chunk", "So many parts of about the same size along an axis.",
      Param<Int>("chunks", "number of parts", in: 1...), dim,
      returns: "list of tensors"
    ) { tensor, parts, dim in try tensor.chunk(parts, dim) },
    .method(
      "tril", "The lower triangles of the matrices of the last two axes, zeros elsewhere.",
      diagonal, returns: "new tensor"
    ) {
      tensor, diagonal in try tensor.tril(diagonal)
    },
    .method(
      "triu", "The upper triangles of the matrices of the last two axes, zeros elsewhere.",
      diagonal, returns: "new tensor"
    ) {
      tensor, diagonal in try tensor.triu(diagonal)
    },
  ]
}
