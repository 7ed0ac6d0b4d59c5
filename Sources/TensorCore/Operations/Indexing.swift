import CKernels
import Diagnostics

extension Tensor {
  /// Sizes before, of, and behind an axis.
  private func split(at axis: Int) -> (outer: Int, size: Int, inner: Int) {
    (product(shape[..<axis]), shape[axis], product(shape[(axis + 1)...]))
  }

  /// The same shape with another size of one axis.
  private func shape(_ axis: Int, _ size: Int) -> [Int] {
    var result = shape
    result[axis] = size
    return result
  }

  /// The elements `start, start + step, ...` up to, but without, `stop` along an axis. As in
  /// Python, negative bounds count from the end, and bounds beyond the ends mean the ends. Throws
  /// for steps below 1.
  public func slice(_ axis: Int, _ start: Int? = nil, _ stop: Int? = nil, step: Int = 1) throws
    -> Tensor
  {
    let d = try checkedAxis("slice", axis, rank: rank)
    guard step >= 1 else { throw EngineError(.argument, "slice: step \(step), expected 1 or more") }
    let size = shape[d]
    let bound = { (i: Int) in Swift.min(Swift.max(i < 0 ? i + size : i, 0), size) }
    let first = bound(start ?? 0)
    let last = bound(stop ?? size)
    let length = first < last ? (last - first - 1) / step + 1 : 0
    var steps = strides(of: shape)
    let offset = length > 0 ? first * steps[d] : 0
    // With one element at most, the step is never taken, and may be huge.
    if length > 1 { steps[d] *= step }
    let result = try reading(shape(d, length), strides: steps, offset: offset)
    Autograd.attach("slice", to: result, inputs: [self]) { [shape] dy in
      let dx = try Tensor.zeros(shape, dy.dtype)
      dx.write(dy, strides: steps, offset: offset)
      return [dx]
    }
    return result
  }

  /// One position along an axis, which is left out of the result. Negative positions count from the
  /// end.
  public func select(_ axis: Int, _ index: Int) throws -> Tensor {
    let d = try checkedAxis("select", axis, rank: rank)
    let size = shape[d]
    guard index >= -size, index < size else {
      throw EngineError(.argument, "select: index \(index) is outside axis \(axis) of \(shape)")
    }
    let at = index < 0 ? index + size : index
    var target = shape
    target.remove(at: d)
    return try slice(d, at, at + 1).reshape(target)
  }

  /// The positions `ids` (int32, one axis) along an axis.
  public func indexSelect(_ axis: Int, _ ids: Tensor) throws -> Tensor {
    let d = try checkedAxis("index_select", axis, rank: rank)
    guard ids.rank == 1 else {
      throw EngineError(.shape, "index_select: ids \(ids.shape), expected one axis")
    }
    try ids.checkIDs("index_select", below: shape[d])
    let result = try Tensor(uninitialized: shape(d, ids.count), dtype)
    let (outer, n, inner) = split(at: d)
    let isEmpty = result.count == 0
    if !isEmpty {
      pg_index_select(
        dtype.size, outer, n, inner, ids.count, ids.int32s.baseAddress, pointer, result.pointer)
    }
    guard Autograd.records([self]) else { return result }
    // The ids may be overwritten before the backward pass.
    let kept = try ids.copy()
    Autograd.attach("index_select", to: result, inputs: [self]) { [shape] dy in
      let dx = try Tensor.zeros(shape, dy.dtype)
      if !isEmpty {
        pg_index_add(
          dy.dtype.kernel, outer, n, inner, kept.count, kept.int32s.baseAddress, dy.pointer,
          dx.pointer)
      }
      return [dx]
    }
    return result
  }

  /// `result[.., j, ..] = self[.., index[.., j, ..], ..]` along an axis. `index` (int32) has as
  /// many axes, and along the others at most this tensor's sizes. Result: the index's shape.
  public func gather(_ axis: Int, _ index: Tensor) throws -> Tensor {
    let d = try checkedAxis("gather", axis, rank: rank)
    guard index.rank == rank, (0..<rank).allSatisfy({ $0 == d || index.shape[$0] <= shape[$0] })
    else {
      throw EngineError(.shape, "gather: index \(index.shape) for \(shape) along axis \(axis)")
    }
    try index.checkIDs("gather", below: shape[d])
    // The part of this tensor that the index reaches.
    let part = index.shape.enumerated().map { $0 == d ? shape[d] : $1 }
    let own = strides(of: shape)
    let source = part == shape ? self : try reading(part, strides: own)
    let result = try Tensor(uninitialized: index.shape, dtype)
    let (outer, n, inner) = source.split(at: d)
    let length = index.shape[d]
    let isEmpty = result.count == 0
    if !isEmpty {
      pg_gather_axis(
        dtype.size, outer, n, inner, length, index.int32s.baseAddress, source.pointer,
        result.pointer)
    }
    guard Autograd.records([self]) else { return result }
    let kept = try index.copy()
    Autograd.attach("gather", to: result, inputs: [self]) { [shape] dy in
      let gradient = try Tensor.zeros(part, dy.dtype)
      if !isEmpty {
        pg_scatter_add_axis(
          dy.dtype.kernel, outer, n, inner, length, kept.int32s.baseAddress, dy.pointer,
          gradient.pointer)
      }
      if part == shape { return [gradient] }
      let dx = try Tensor.zeros(shape, dy.dtype)
      dx.write(gradient, strides: own)
      return [dx]
    }
    return result
  }

  private func checkIDs(_ operation: String, below size: Int) throws {
    guard dtype == .int32 else {
      throw EngineError(
        .argument, "\(operation): ids of \(dtype.rawValue), expected int32",
        hint: "convert with to()")
    }
    if let bad = int32s.first(where: { $0 < 0 || Int($0) >= size }) {
      throw EngineError(.data, "\(operation): id \(bad) is outside 0..<\(size)")
    }
  }

  /// Tensors one behind the other along an axis; all other sizes are equal. Mixed types are
  /// promoted.
  public static func cat(_ tensors: [Tensor], _ axis: Int = 0) throws -> Tensor {
    guard let first = tensors.first else { throw EngineError(.argument, "cat: no tensors") }
    let d = try checkedAxis("cat", axis, rank: first.rank)
    let parts =
      tensors.allSatisfy { $0.dtype == first.dtype }
      ? tensors : try promoted("cat", tensors).tensors
    var total = 0
    for part in parts {
      guard part.rank == first.rank, part.shape(d, 0) == first.shape(d, 0) else {
        throw EngineError(.shape, "cat: \(part.shape) beside \(first.shape) along axis \(axis)")
      }
      let (sum, overflow) = total.addingReportingOverflow(part.shape[d])
      guard !overflow else { throw EngineError(.shape, "cat: the result has too many elements") }
      total = sum
    }
    let result = try Tensor(uninitialized: first.shape(d, total), parts[0].dtype)
    let steps = strides(of: result.shape)
    var starts: [Int] = []
    var start = 0
    for part in parts {
      starts.append(part.count > 0 ? start * steps[d] : 0)
      start += part.shape[d]
      result.write(part, strides: steps, offset: starts.last ?? 0)
    }
    let shapes = parts.map { $0.requiresGrad ? $0.shape : nil }
    Autograd.attach("cat", to: result, inputs: parts) { dy in
      try zip(shapes, starts).map { shape, start in
        try shape.map { try dy.reading($0, strides: steps, offset: start) }
      }
    }
    return result
  }

  /// Tensors of one shape, along a new axis.
  public static func stack(_ tensors: [Tensor], _ axis: Int = 0) throws -> Tensor {
    guard let first = tensors.first else { throw EngineError(.argument, "stack: no tensors") }
    if let other = tensors.first(where: { $0.shape != first.shape }) {
      throw EngineError(.shape, "stack: \(other.shape) beside \(first.shape)")
    }
    let d = try checkedAxis("stack", axis, rank: first.rank + 1)
    return try cat(tensors.map { try $0.unsqueeze(d) }, d)
  }

  /// Parts of the given sizes along an axis; they add up to its size.
  public func split(sizes: [Int], _ axis: Int = 0) throws -> [Tensor] {
    let d = try checkedAxis("split", axis, rank: rank)
    var (start, rest) = (0, shape[d])
    let fits = sizes.allSatisfy { size in
      guard size >= 0, size <= rest else { return false }
      rest -= size
      return true
    }
    guard fits, rest == 0 else {
      throw EngineError(.shape, "split: sizes \(sizes) do not add up to axis \(axis) of \(shape)")
    }
    return try sizes.map { size in
      defer { start += size }
      return try slice(d, start, start + size)
    }
  }

  /// Parts of one size along an axis; the last may be smaller.
  public func split(size: Int, _ axis: Int = 0) throws -> [Tensor] {
    let d = try checkedAxis("split", axis, rank: rank)
    guard size > 0 else { throw EngineError(.argument, "split: size \(size), expected 1 or more") }
    let whole = shape[d] / size
    let rest = shape[d] % size
    // The result is a list: an axis beside one of size 0 may be too long for it.
    guard count > 0 || whole <= 1 << 20 else {
      throw EngineError(.shape, "split: \(whole) parts of \(shape)")
    }
    let sizes = [Int](repeating: size, count: whole) + (rest > 0 || shape[d] == 0 ? [rest] : [])
    return try split(sizes: sizes, d)
  }

  /// `parts` parts of about the same size along an axis (fewer where the axis is too short), as
  /// `torch.chunk` does.
  public func chunk(_ parts: Int, _ axis: Int = 0) throws -> [Tensor] {
    let d = try checkedAxis("chunk", axis, rank: rank)
    guard parts > 0 else {
      throw EngineError(.argument, "chunk: \(parts) parts, expected 1 or more")
    }
    return try split(size: Swift.max(1, (shape[d] - 1) / parts + 1), d)
  }

  /// The lower triangles of the matrices of the last two axes, zeros elsewhere; `diagonal` 0 is the
  /// main one, positive ones lie above it.
  public func tril(_ diagonal: Int = 0) throws -> Tensor {
    try triangle("tril", diagonal, upper: false)
  }

  /// The upper triangles; see `tril`.
  public func triu(_ diagonal: Int = 0) throws -> Tensor {
    try triangle("triu", diagonal, upper: true)
  }

  private func triangle(_ name: String, _ diagonal: Int, upper: Bool) throws -> Tensor {
    guard rank >= 2 else {
      throw EngineError(.shape, "\(name): \(shape), expected at least two axes")
    }
    // Diagonals beyond the matrix keep all or nothing, like those just outside it.
    let reach = Swift.max(shape[rank - 2], columns)
    let diagonal = Int64(Swift.min(Swift.max(diagonal, -reach), reach))
    let (rows, columns) = (shape[rank - 2], columns)
    let matrices = count == 0 ? 0 : count / (rows * columns)
    let result = try Tensor(uninitialized: shape, dtype)
    pg_triangle(dtype.size, matrices, rows, columns, diagonal, upper, pointer, result.pointer)
    Autograd.attach(name, to: result, inputs: [self]) { dy in
      let dx = try Tensor(uninitialized: dy.shape, dy.dtype)
      pg_triangle(dy.dtype.size, matrices, rows, columns, diagonal, upper, dy.pointer, dx.pointer)
      return [dx]
    }
    return result
  }

  /// A last axis of `classes` zeros with a 1 at the position that each element (int32) names.
  public func oneHot(_ classes: Int, _ type: DType = .float32) throws -> Tensor {
    guard classes >= 0 else { throw EngineError(.argument, "one_hot: \(classes) classes") }
    try checkIDs("one_hot", below: classes)
    let result = try Tensor.zeros(shape + [classes], type)
    for (i, id) in int32s.enumerated() { result.set(1, at: i * classes + Int(id)) }
    return result
  }
}
