import CKernels
import Diagnostics

// Operations that write to an existing tensor: for optimizers and initialisers. They are never
// recorded.

extension Tensor {
  /// Throws unless the elements may be overwritten: not for results in a graph, for leaves while
  /// recording, and for memory that belongs to a file or is lent.
  package func requireWritable(_ name: String, _ other: Tensor? = nil) throws {
    guard storage.isWritable else {
      let plain = ["add_", "mul_"].contains(name) ? "use \(name.dropLast()), or " : ""
      throw EngineError(
        .argument, "\(name): \(summary) \(storage.whyReadOnly) and cannot be written",
        hint: storage.isLent ? plain + "clone() it first" : nil)
    }
    guard storage.locks == 0 else {
      throw EngineError(
        .argument, "\(name): \(summary) is a frozen parameter of a model that is being trained, or writes: no stored result would hold this change",
        hint: "unfreeze it, or change it before or after the training")
    }
    if requiresGrad {
      guard isLeaf else {
        throw EngineError(
          .argument, "\(name): \(summary) is a result that requires grad", hint: "detach() it first"
        )
      }
      guard !Autograd.isEnabled else {
        throw EngineError(
          .argument, "\(name): \(summary) is a leaf that requires grad", hint: "use no_grad()")
      }
    }
    if let other, other.requiresGrad, Autograd.isEnabled {
      throw EngineError(
        .argument, "\(name): the operand requires grad, which a write in place would lose",
        hint: "detach() it, or use no_grad()")
    }
  }

  /// An operand in this tensor's shape.
  private func operand(_ name: String, _ other: Tensor) throws -> Tensor {
    guard try broadcastShape(name, shape, other.shape) == shape else {
      throw EngineError(.shape, "\(name): operand \(other.shape) is larger than \(shape)")
    }
    return try other.detach().expanded(to: shape)
  }

  /// `self += alpha * other`, repeated to this shape and converted to this type.
  public func addInPlace(_ other: Tensor, alpha: Double = 1) throws {
    try requireWritable("add_", other)
    let other = try operand("add_", other)
    guard dtype.isComputed else {
      let type: DType = dtype == .int32 ? .float64 : .float32
      let sum = try converted(to: type)
      let addend = try other.converted(to: type)
      pg_axpby(type.kernel, count, alpha, addend.pointer, 1, sum.pointer, sum.pointer)
      return try assign(sum)
    }
    let addend = try other.converted(to: dtype)
    pg_axpby(dtype.kernel, count, alpha, addend.pointer, 1, pointer, pointer)
    version += 1
  }

  /// `self *= other`, repeated to this shape and converted to this type.
  public func mulInPlace(_ other: Tensor) throws {
    try requireWritable("mul_", other)
    try assign(try detach().mul(operand("mul_", other)))
  }

  /// `self *= value`.
  public func mulInPlace(_ value: Double) throws {
    try requireWritable("mul_")
    guard dtype.isComputed else { return try assign(try detach().mul(value)) }
    pg_scale(dtype.kernel, count, value, pointer, 0, pointer)
    version += 1
  }

  /// Overwrites the elements with those of `other`, repeated to this shape and converted to this
  /// type.
  public func copyInPlace(_ other: Tensor) throws {
    try requireWritable("copy_", other)
    try assign(try operand("copy_", other))
  }

  /// Sets every element. Throws where the type cannot hold the value.
  public func fillInPlace(_ value: Double) throws {
    try requireWritable("fill_")
    if dtype == .int32, Int32(exactly: value) == nil {
      throw EngineError(.argument, "fill_: \(value) is not an int32")
    }
    fill(value)
  }

  /// Sets every element to 0.
  public func zeroInPlace() throws { try fillInPlace(0) }
}
