import CKernels
import Diagnostics

/// A tensor's place in the graph: what the graph needs of it, without its elements. An operation that does not save an
/// operand keeps only this, so that the operand's memory is free once nothing else reads it.
package final class GradientSlot {
  let shape: [Int]
  let dtype: DType
  /// Whether gradients go to this place, or through it.
  var requiresGrad = false
  /// The sum of the gradients; leaves only.
  var grad: Tensor?
  /// What computed the tensor; nil for leaves.
  var node: GradNode?

  init(shape: [Int], dtype: DType) {
    self.shape = shape
    self.dtype = dtype
  }

  var count: Int { shape.reduce(1, *) }
  /// The type of a leaf's gradient: gradients of storage types are kept in float32.
  var gradientDType: DType { dtype.isComputed ? dtype : .float32 }

  deinit {
    // A long chain of results would otherwise be released by a recursion as deep as the chain.
    if let node { GradNode.release(node) }
  }
}

/// One operation of the graph: where its result came from, and how a gradient goes back.
package final class GradNode {
  /// The operation's name, for messages.
  let name: String
  /// The operands; emptied when the backward pass has gone through.
  var inputs: [GradientSlot]
  /// Gradient of the result -> gradient of each operand (nil: none). Emptied with `inputs`, which frees what
  /// the operation saved.
  var backward: ((Tensor) throws -> [Tensor?])?
  /// What `backward` reads, and how often it had been written by then.
  private var saved: [(storage: Storage, version: Int, summary: String)]

  init(name: String, inputs: [GradientSlot], saving saved: [Tensor], backward: @escaping (Tensor) throws -> [Tensor?]) {
    self.name = name
    self.inputs = inputs
    self.saved = saved.map { ($0.storage, $0.version, $0.summary) }
    self.backward = backward
  }

  func clear() {
    inputs = []
    saved = []
    backward = nil
  }

  /// Throws if something that `backward` reads was overwritten: the gradient would be another function's.
  func requireUnchanged() throws {
    guard let changed = saved.first(where: { $0.storage.version != $0.version }) else { return }
    throw EngineError(
      .argument, "backward(): \(changed.summary), which '\(name)' needs for its gradient, was changed in place after it",
      hint: "change a clone() of it, or after backward()")
  }

  /// Frees a chain of nodes without recursion, however long it is. A node belongs to one slot alone.
  static func release(_ node: GradNode) {
    var pending = [node]
    while let last = pending.popLast() {
      var operands = last.inputs
      // What the operation saved may hold the last tensor of an operand, whose slot is released by this loop, too.
      last.clear()
      while var operand = operands.popLast() {
        if isKnownUniquelyReferenced(&operand), let next = operand.node {
          operand.node = nil
          pending.append(next)
        }
      }
    }
  }
}

/// Recording of operations and the backward pass.
public enum Autograd {
  /// Whether operations record what a backward pass needs. One thread runs the engine's graph (kernels
  /// parallelise below it), so that a plain variable is enough.
  nonisolated(unsafe) public private(set) static var isEnabled = true

  /// Runs `body` without recording.
  public static func noGrad<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = isEnabled
    isEnabled = false
    defer { isEnabled = before }
    return try body()
  }

  /// Switches recording on or off and returns what it was; for callers that cannot nest closures.
  public static func setEnabled(_ enabled: Bool) -> Bool {
    defer { isEnabled = enabled }
    return isEnabled
  }

  /// `body(inputs)`, which saves nothing but its inputs for the backward pass and is computed again there: less memory for more time.
  ///
  /// - `parameters`: what trains inside; their gradients are the same as without a checkpoint.
  /// - `body` must compute the same again: it may use no state that has changed by then.
  ///
  /// Paper: Chen et al. 2016, arXiv 1604.06174.
  package static func checkpoint(
    _ inputs: [Tensor], parameters: [Tensor], _ body: @escaping ([Tensor]) throws -> Tensor
  ) throws -> Tensor {
    guard records(inputs + parameters) else { return try body(inputs) }
    let result = try noGrad { try body(inputs) }
    let saved = inputs.map { $0.detach() }
    let passesGradient = inputs.map(\.requiresGrad)
    attach("checkpoint", to: result, inputs: inputs + parameters.filter(\.requiresGrad), saving: inputs + parameters) { gradient in
      for (tensor, passes) in zip(saved, passesGradient) { tensor.requiresGrad = passes }
      let wasEnabled = setEnabled(true)
      defer { _ = setEnabled(wasEnabled) }
      let again = try body(saved)
      try backward(again, gradient: gradient.converted(to: again.slot.gradientDType))
      defer { for tensor in saved { tensor.grad = nil } }
      return saved.map(\.grad) + parameters.filter(\.requiresGrad).map { _ in nil }
    }
    return result
  }

  /// Whether an operation on these operands must record.
  package static func records(_ inputs: [Tensor]) -> Bool {
    isEnabled && inputs.contains { $0.requiresGrad }
  }

  /// Attaches the backward function to a result, where gradients are wanted.
  ///
  /// - `saving`: the tensors that `backward` reads and that somebody else can reach: operands, and the result.
  package static func attach(
    _ name: String, to result: Tensor, inputs: [Tensor], saving saved: [Tensor] = [],
    backward: @escaping (Tensor) throws -> [Tensor?]
  ) {
    guard records(inputs) else { return }
    result.slot.requiresGrad = true
    result.slot.node = GradNode(name: name, inputs: inputs.map(\.slot), saving: saved, backward: backward)
  }

  /// Slots that lead from `root` to leaves, each after everything that it was computed into.
  private static func order(_ root: GradientSlot) -> [GradientSlot] {
    var finished: [GradientSlot] = []
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var stack: [(slot: GradientSlot, next: Int)] = [(root, 0)]
    while let (slot, next) = stack.last {
      guard let inputs = slot.node?.inputs, next < inputs.count else {
        finished.append(slot)
        stack.removeLast()
        continue
      }
      stack[stack.count - 1].next += 1
      let input = inputs[next]
      if input.requiresGrad, seen.insert(ObjectIdentifier(input)).inserted { stack.append((input, 0)) }
    }
    return finished.reversed()
  }

  /// Runs the backward pass from `root`, whose gradient is `gradient` (1 for a scalar), adding into the `grad` of
  /// the leaves. The graph is freed on the way, unless `retainGraph` is set.
  public static func backward(_ root: Tensor, gradient: Tensor? = nil, retainGraph: Bool = false) throws {
    guard root.requiresGrad else {
      throw EngineError(.argument, "backward(): the tensor does not require grad, nothing leads to a trainable tensor")
    }
    let seed: Tensor
    if let gradient {
      guard gradient.shape == root.shape, gradient.dtype == root.slot.gradientDType else {
        throw EngineError(.shape, "backward(): gradient \(gradient.summary) for \(root.summary)")
      }
      seed = gradient
    } else {
      guard root.count == 1 else {
        throw EngineError(.shape, "backward() of \(root.summary)", hint: "reduce it to a scalar first, or pass a gradient")
      }
      seed = try Tensor.ones(root.shape, root.slot.gradientDType)
    }
    var gradients = [ObjectIdentifier(root.slot): seed]
    // Sums made here may be added to in place; what an operation returned may be shared with others.
    var owned: Set<ObjectIdentifier> = []
    try noGrad {
      var pending = Array(order(root.slot).reversed())
      while let slot = pending.popLast() {
        let id = ObjectIdentifier(slot)
        guard let gradient = gradients.removeValue(forKey: id) else { continue }
        let isOwned = owned.remove(id) != nil
        guard let node = slot.node else {
          try accumulate(gradient, isOwned: isOwned, into: slot)
          continue
        }
        guard let backward = node.backward else {
          throw EngineError(.argument, "backward(): the graph was freed", hint: "pass retain_graph = true the first time")
        }
        try node.requireUnchanged()
        let inputs = node.inputs
        let results = try backward(gradient)
        precondition(results.count == inputs.count, "\(node.name): one gradient for each operand")
        for (input, result) in zip(inputs, results) where input.requiresGrad {
          guard var result else { continue }
          precondition(result.count == input.count, "\(node.name): gradient \(result.shape) for \(input.shape)")
          if result.shape != input.shape { result = result.view(input.shape) }
          let inputID = ObjectIdentifier(input)
          guard let earlier = gradients[inputID] else {
            gradients[inputID] = result
            continue
          }
          if earlier.dtype != result.dtype {
            // A bfloat16 activation may get gradients of both types.
            let sum = try earlier.converted(to: .float32)
            let other = try result.converted(to: .float32)
            let total = try Tensor(uninitialized: input.shape, .float32)
            pg_axpby(PG_F32, total.count, 1, sum.pointer, 1, other.pointer, total.pointer)
            gradients[inputID] = total
            owned.insert(inputID)
          } else if owned.contains(inputID) {
            pg_axpby(earlier.dtype.kernel, earlier.count, 1, earlier.pointer, 1, result.pointer, earlier.pointer)
          } else {
            let sum = try Tensor(uninitialized: input.shape, earlier.dtype)
            pg_axpby(sum.dtype.kernel, sum.count, 1, earlier.pointer, 1, result.pointer, sum.pointer)
            gradients[inputID] = sum
            owned.insert(inputID)
          }
        }
        if !retainGraph { node.clear() }
      }
    }
  }

  private static func accumulate(_ gradient: Tensor, isOwned: Bool, into leaf: GradientSlot) throws {
    if let grad = leaf.grad {
      pg_axpby(grad.dtype.kernel, grad.count, 1, grad.pointer, 1, gradient.pointer, grad.pointer)
      grad.version += 1
    } else {
      leaf.grad = isOwned ? gradient.view(leaf.shape) : try gradient.view(leaf.shape).copy()
    }
  }
}

extension Tensor {
  /// Whether this is a tensor that the user marked, not a result.
  public var isLeaf: Bool { slot.node == nil }
  /// Whether `backward()` accumulates into `grad` (leaves), or passes through (results).
  public var requiresGrad: Bool {
    get { slot.requiresGrad }
    set { slot.requiresGrad = newValue }
  }
  /// The sum of the gradients of all backward passes since it was cleared; leaves only.
  public var grad: Tensor? {
    get { slot.grad }
    set { slot.grad = newValue }
  }

  /// The type of the gradient: that of the tensor, but float32 for a storage type.
  public var gradientDType: DType { slot.gradientDType }

  /// See `Autograd.backward`.
  public func backward(gradient: Tensor? = nil, retainGraph: Bool = false) throws {
    try Autograd.backward(self, gradient: gradient, retainGraph: retainGraph)
  }

  /// Marks a leaf as trainable (or not) and returns it. Throws for results of operations and for integers.
  @discardableResult
  public func requiresGrad(_ flag: Bool) throws -> Tensor {
    guard isLeaf else { throw EngineError(.argument, "requires_grad of a result", hint: "detach() it first") }
    guard !flag || dtype.isComputed else {
      throw EngineError(.argument, "requires_grad of \(summary): expected float32 or float64")
    }
    requiresGrad = flag
    if !flag { grad = nil }
    return self
  }
}
