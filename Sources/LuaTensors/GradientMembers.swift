import Diagnostics
import LuaHost
import NN
import TensorCore

/// Gradients, conversions, and writes in place.
func gradientMembers() -> [Member<Tensor>] { gradients() + conversions() + inPlace() }

private func gradients() -> [Member<Tensor>] {
  [
    .property(
      "requires_grad",
      "whether backward() fills grad, or passes through; can be set on tensors that are no results",
      get: { $0.requiresGrad }, set: { try $0.setLeaf($1) }),
    .property(
      "grad", "sum of the gradients since it was cleared, or nil; assigning nil clears it",
      get: { $0.grad },
      set: { try $0.setGradient($1) }),
    .property(
      "is_leaf", "whether this is no result of an operation on tensors that require gradients"
    ) { $0.isLeaf },
    .method(
      "backward",
      "Adds the gradients of this scalar to grad of the tensors that it was computed from.",
      Param<BackwardOptions>("options", "see the fields")
    ) { tensor, options in
      try tensor.backward(gradient: options.gradient, retainGraph: options.retainGraph)
    },
    .method("zero_grad", "Forgets the gradient.") { $0.grad = nil },
    .method(
      "requires_grad_", "Sets requires_grad.",
      Param<Bool>("requires_grad", "whether gradients are wanted", default: true),
      returns: "the tensor itself"
    ) { tensor, flag in
      try tensor.setLeaf(flag)
      return tensor
    },
    .method(
      "freeze", "The same as requires_grad_(false); what adapters.define builds with it never trains.",
      returns: "the tensor itself"
    ) { tensor in
      try tensor.setLeaf(false)
      tensor.staysFrozen = true
      return tensor
    },
    .method(
      "detach", "The same elements outside the graph; memory is shared.", returns: "new tensor"
    ) { $0.detach() },
  ]
}

extension Tensor {
  /// Sets `requiresGrad`; elements of a file or of another model are copied first, so that they
  /// are never written.
  fileprivate func setLeaf(_ flag: Bool) throws {
    if flag { staysFrozen = false }
    if packed != nil || !storage.isWritable {
      try setTrainable(flag)
    } else {
      try requiresGrad(flag)
    }
  }

  fileprivate func setGradient(_ gradient: Tensor?) throws {
    guard let gradient else {
      grad = nil
      return
    }
    guard isLeaf, requiresGrad else {
      throw EngineError(
        .argument,
        "grad of \(summary): only tensors that require gradients and are no results have one")
    }
    guard gradient.shape == shape, gradient.dtype == dtype else {
      throw EngineError(
        .shape, "grad of \(summary): expected the same shape and type, got \(gradient.summary)")
    }
    // Later gradients are added in place.
    grad = try gradient.copy()
  }

  /// A copy with its own elements, through which gradients flow.
  fileprivate func clone() throws -> Tensor { Autograd.records([self]) ? try mul(1) : try copy() }
}

private func conversions() -> [Member<Tensor>] {
  let types: [(name: String, dtype: DType)] = [
    ("float", .float32), ("double", .float64), ("bfloat16", .bfloat16), ("int", .int32),
  ]
  let named: [Member<Tensor>] = types.map { name, dtype in
    .method(
      name, "The elements as \(dtype.rawValue).", returns: "tensor; itself if it has the type"
    ) { tensor in
      try tensor.to(dtype)
    }
  }
  return named + [
    .method(
      "to", "The elements in another type; to int32 they are truncated.",
      Param<DType>("dtype", "the type"),
      returns: "tensor; itself if it has the type"
    ) { tensor, dtype in try tensor.to(dtype) },
    .method(
      "clone", "A copy with its own memory, through which gradients flow.", returns: "new tensor"
    ) { try $0.clone() },
    .method("item", "The only element.", returns: "number; an integer for int32") { tensor in
      Element(try tensor.item(), of: tensor)
    },
    .method(
      "tolist", "The elements as nested lists; a scalar gives a number.", returns: "table or number"
    ) { tensor in
      try tensor.nestedLists()
    },
  ]
}

/// Every one returns the tensor itself. None is recorded.
private func inPlace() -> [Member<Tensor>] {
  let other = Param<Operand>("other", "broadcast to this shape")
  return [
    .method("add_", "Adds in place.", other, returns: "the tensor itself") { tensor, other in
      try tensor.addInPlace(other.tensor(like: .tensor(tensor)))
      return tensor
    },
    .method("sub_", "Subtracts in place.", other, returns: "the tensor itself") { tensor, other in
      try tensor.addInPlace(other.tensor(like: .tensor(tensor)), alpha: -1)
      return tensor
    },
    .method("mul_", "Multiplies in place.", other, returns: "the tensor itself") { tensor, other in
      switch other {
      case .number(let number): try tensor.mulInPlace(number)
      case .tensor(let factor): try tensor.mulInPlace(factor)
      }
      return tensor
    },
    .method(
      "copy_", "Overwrites the elements, converting their type.",
      Param<Tensor>("source", "broadcast to this shape"),
      returns: "the tensor itself"
    ) { tensor, source in
      try tensor.copyInPlace(source)
      return tensor
    },
    .method(
      "fill_", "Sets every element.", Param<Double>("value", "the value"),
      returns: "the tensor itself"
    ) { tensor, value in
      try tensor.fillInPlace(value)
      return tensor
    },
    .method("zero_", "Sets every element to 0.", returns: "the tensor itself") { tensor in
      try tensor.zeroInPlace()
      return tensor
    },
    .method(
      "set", "Writes one element.", Param<Double>("value", "the value"),
      Param<Rest<Int>>("positions", "one for each axis, 0-based, negative from the end")
    ) { tensor, value, positions in
      try tensor.requireWritable("set")
      if tensor.dtype == .int32, Int32(exactly: value) == nil {
        throw EngineError(.argument, "set: \(value) is not an int32")
      }
      tensor.set(value, at: try tensor.elementIndex("set", positions.values))
    },
  ]
}
