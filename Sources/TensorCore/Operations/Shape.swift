import Diagnostics

extension Tensor {
  /// The same elements with another shape; memory is shared. One size may be -1: what is left over.
  public func reshape(_ target: [Int]) throws -> Tensor {
    let unknown = target.indices.filter { target[$0] == -1 }
    guard unknown.count <= 1 else {
      throw EngineError(.shape, "reshape: more than one -1 in \(target)")
    }
    var target = target
    if let d = unknown.first {
      target[d] = 1
      let known = try elementCount(target)
      guard known > 0, count % known == 0 else {
        target[d] = -1
        throw EngineError(
          .shape, "reshape: \(shape) has \(count) elements, which do not fit \(target)")
      }
      target[d] = count / known
    }
    guard try elementCount(target) == count else {
      throw EngineError(
        .shape,
        "reshape: \(shape) has \(count) elements, \(target) would have \(try elementCount(target))")
    }
    return sharing("reshape", target)
  }

  /// The same memory with a shape of as many elements, in the graph.
  private func sharing(_ name: String, _ target: [Int]) -> Tensor {
    let result = view(target)
    Autograd.attach(name, to: result, inputs: [self]) { [shape] dy in [dy.view(shape)] }
    return result
  }

  /// The axes `start...end` as one.
  public func flatten(_ start: Int = 0, _ end: Int = -1) throws -> Tensor {
    if rank == 0 { return try reshape([1]) }
    let first = try checkedAxis("flatten", start, rank: rank)
    let last = try checkedAxis("flatten", end, rank: rank)
    guard first <= last else {
      throw EngineError(.argument, "flatten: axis \(start) lies behind axis \(end)")
    }
    return sharing(
      "flatten", shape[..<first] + [product(shape[first...last])] + shape[(last + 1)...])
  }

  /// A new axis of size 1 in front of `axis` (at the end for `rank`, or -1).
  public func unsqueeze(_ axis: Int) throws -> Tensor {
    var target = shape
    target.insert(1, at: try checkedAxis("unsqueeze", axis, rank: rank + 1))
    _ = try elementCount(target)
    return sharing("unsqueeze", target)
  }

  /// Without the axis, if its size is 1 (unchanged otherwise); nil: without all axes of size 1.
  public func squeeze(_ axis: Int? = nil) throws -> Tensor {
    guard let axis else { return sharing("squeeze", shape.filter { $0 != 1 }) }
    var target = shape
    let d = try checkedAxis("squeeze", axis, rank: rank)
    if target[d] == 1 { target.remove(at: d) }
    return sharing("squeeze", target)
  }

  /// Two axes exchanged (a copy).
  public func transpose(_ a: Int, _ b: Int) throws -> Tensor {
    var order = Array(0..<rank)
    order.swapAt(
      try checkedAxis("transpose", a, rank: rank), try checkedAxis("transpose", b, rank: rank))
    return try permute(order)
  }

  /// The axes in another order: axis d of the result is axis `order[d]` of this tensor (a copy).
  public func permute(_ order: [Int]) throws -> Tensor {
    let axes = try order.map { try checkedAxis("permute", $0, rank: rank) }
    guard axes.count == rank, Set(axes).count == rank else {
      throw EngineError(.argument, "permute: \(order) does not name each axis of \(shape) once")
    }
    let moved = try permuted(axes)
    let result = moved === self ? detach() : moved
    Autograd.attach("permute", to: result, inputs: [self]) { dy in
      var inverse = axes
      for (position, axis) in axes.enumerated() { inverse[axis] = position }
      return [try dy.permuted(inverse)]
    }
    return result
  }

  /// Repeated to a larger shape, as in broadcasting: axes of size 1 repeat, new axes come in front,
  /// -1 keeps a size.
  public func broadcast(to target: [Int]) throws -> Tensor {
    let extra = target.count - rank
    guard extra >= 0 else {
      throw EngineError(.shape, "expand: \(shape) to \(target), which has fewer axes")
    }
    let full = try target.indices.map { d in
      guard target[d] == -1 else { return target[d] }
      guard d >= extra else {
        throw EngineError(.shape, "expand: -1 in \(target) names an axis that \(shape) lacks")
      }
      return shape[d - extra]
    }
    guard zip(full.dropFirst(extra), shape).allSatisfy({ $0 == $1 || $1 == 1 }) else {
      throw EngineError(.shape, "expand: \(shape) does not repeat to \(target)")
    }
    let result = full == shape ? detach() : try expanded(to: full)
    Autograd.attach("expand", to: result, inputs: [self]) { [shape] dy in [try dy.summed(to: shape)]
    }
    return result
  }
}

// MARK: - Sequences of numbers

extension Tensor {
  /// `start, start + step, ...` up to, but without, `end`. Empty where the step leads away from the
  /// end.
  public static func arange(
    _ start: Double, _ end: Double, _ step: Double = 1, _ dtype: DType = .float32
  ) throws -> Tensor {
    let steps = ((end - start) / step).rounded(.up)
    guard start.isFinite, end.isFinite, step.isFinite, step != 0, steps < 0x1p52 else {
      throw EngineError(.argument, "arange: from \(start) to \(end) in steps of \(step)")
    }
    return try sequence([steps > 0 ? Int(steps) : 0], dtype) { start + Double($0) * step }
  }

  /// `steps` evenly spaced numbers from `start` to `end`, both included.
  public static func linspace(
    _ start: Double, _ end: Double, _ steps: Int, _ dtype: DType = .float32
  ) throws -> Tensor {
    guard start.isFinite, end.isFinite, (end - start).isFinite, steps >= 0 else {
      throw EngineError(.argument, "linspace: \(steps) numbers from \(start) to \(end)")
    }
    // The second half counts from the end, so that the last number is exact.
    let width = (end - start) / Double(Swift.max(steps - 1, 1))
    return try sequence([steps], dtype) { i in
      i <= (steps - 1) / 2 ? start + Double(i) * width : end - Double(steps - 1 - i) * width
    }
  }

  private static func sequence(_ shape: [Int], _ dtype: DType, _ value: (Int) -> Double) throws
    -> Tensor
  {
    let result = try Tensor(uninitialized: shape, .float64)
    let doubles = result.doubles
    for i in 0..<result.count { doubles[i] = value(i) }
    return try result.converted(to: dtype)
  }
}
