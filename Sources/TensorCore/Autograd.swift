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
  /// Its number in the backward pass under way; of no meaning otherwise.
  fileprivate var place = 0

  init(shape: [Int], dtype: DType) {
    self.shape = shape
    self.dtype = dtype
  }

  var count: Int { shape.reduce(1, *) }

  deinit {
    // A long chain of results would otherwise be released by a recursion as deep as the chain.
    if let node { GradNode.release(node) }
  }
}

/// How gradients go back through an operation.
enum Backward {
  case plain((Tensor) throws -> [Tensor?])
  /// `sum(i)`: what has reached operand i, where the operation may add its gradient to that in place and return it; else nil.
  case adding((_ dy: Tensor, _ sum: (_ operand: Int) -> Tensor?) throws -> [Tensor?])

  func callAsFunction(_ dy: Tensor, _ sum: (Int) -> Tensor?) throws -> [Tensor?] {
    switch self {
    case .plain(let body): try body(dy)
    case .adding(let body): try body(dy, sum)
    }
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
  var backward: Backward?
  /// What `backward` reads, and how often it had been written by then.
  private var saved: [(storage: Storage, version: Int, shape: [Int], dtype: DType)]

  init(name: String, inputs: [GradientSlot], saving saved: [Tensor], backward: Backward) {
    self.name = name
    self.inputs = inputs
    self.saved = saved.map { ($0.storage, $0.version, $0.shape, $0.dtype) }
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
      .argument, "backward(): \(Tensor.summary(changed.shape, changed.dtype)), which '\(name)' needs for its gradient, was changed in place after it",
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

/// The slots of a backward pass from the root to the leaves, each after everything that it was computed into, and the gradients that
/// have reached them.
private struct BackwardPass {
  private(set) var slots: [GradientSlot]
  /// For each slot its gradient so far, and whether the pass made it: sums made here may be added to in place; what an operation returned
  /// may be shared with others.
  private var gradients: [(tensor: Tensor, isOwned: Bool)?]
  /// The slots' places in the pass that this one runs within, for a checkpoint's is inside another.
  private var outerPlaces: [Int]

  init(from root: GradientSlot, seed: Tensor) {
    var found: [GradientSlot] = []
    var finished: [GradientSlot] = []
    var outer: [Int] = []
    func enter(_ slot: GradientSlot) -> Bool {
      if slot.place < found.count, found[slot.place] === slot { return false }
      outer.append(slot.place)
      slot.place = found.count
      found.append(slot)
      return true
    }
    var stack: [(slot: GradientSlot, next: Int)] = []
    if enter(root) { stack.append((root, 0)) }
    while !stack.isEmpty {
      let last = stack.count - 1
      let (slot, next) = stack[last]
      guard let node = slot.node, next < node.inputs.count else {
        finished.append(slot)
        stack.removeLast()
        continue
      }
      stack[last].next += 1
      let input = node.inputs[next]
      if input.requiresGrad, enter(input) { stack.append((input, 0)) }
    }
    outerPlaces = finished.reversed().map { outer[$0.place] }
    slots = finished.reversed()
    gradients = [(tensor: Tensor, isOwned: Bool)?](repeating: nil, count: slots.count)
    for (i, slot) in slots.enumerated() { slot.place = i }
    gradients[0] = (seed, false)
  }

  /// Gives the slots their places in the outer pass back.
  func end() {
    for (slot, place) in zip(slots, outerPlaces) { slot.place = place }
  }

  /// The whole gradient of a slot; nil where none has reached it.
  mutating func takeGradient(_ i: Int) -> (tensor: Tensor, isOwned: Bool)? {
    defer { gradients[i] = nil }
    return gradients[i]
  }

  /// What has reached the slot, if it is in bfloat16 and nobody else reads its elements: a product whose result goes to `add` adds to it
  /// while it writes, which saves a pass over memory and a rounding. In other types results stay what the passes give.
  mutating func sumToAddTo(_ slot: GradientSlot) -> Tensor? {
    guard slot.place < slots.count, slots[slot.place] === slot, var (sum, isOwned) = gradients[slot.place], sum.dtype == .bfloat16 else {
      return nil
    }
    if !isOwned {
      gradients[slot.place] = nil
      isOwned = isKnownUniquelyReferenced(&sum) && sum.isOnlyOwner
      gradients[slot.place] = (sum, isOwned)
    }
    return isOwned ? sum : nil
  }

  /// Adds a gradient of the slot's shape to what has reached it, unless it is that very tensor. What began to want one since the pass
  /// began gets none.
  mutating func add(_ gradient: Tensor, to slot: GradientSlot) throws {
    guard slot.place < slots.count, slots[slot.place] === slot else { return }
    guard let (earlier, isOwned) = gradients[slot.place] else {
      gradients[slot.place] = (gradient, false)
      return
    }
    if gradient === earlier { return }
    if earlier.dtype != gradient.dtype {
      // A bfloat16 activation may get gradients of both types.
      let (sum, other) = (try earlier.converted(to: .float32), try gradient.converted(to: .float32))
      let total = try Tensor(uninitialized: slot.shape, .float32)
      pg_axpby(PG_F32, total.count, 1, sum.pointer, 1, other.pointer, total.pointer)
      gradients[slot.place] = (total, true)
    } else {
      let sum = isOwned ? earlier : try Tensor(uninitialized: slot.shape, earlier.dtype)
      pg_axpby(sum.dtype.kernel, sum.count, 1, earlier.pointer, 1, gradient.pointer, sum.pointer)
      gradients[slot.place] = (sum, true)
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
      try backward(again, gradient: gradient.converted(to: again.gradientDType))
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
    attach(name, to: result, inputs: inputs, saving: saved, .plain(backward))
  }

  static func attach(_ name: String, to result: Tensor, inputs: [Tensor], saving saved: [Tensor] = [], _ backward: Backward) {
    guard records(inputs) else { return }
    result.slot.requiresGrad = true
    result.slot.node = GradNode(name: name, inputs: inputs.map(\.slot), saving: saved, backward: backward)
  }

  /// Runs the backward pass from `root`, whose gradient is `gradient` (1 for a scalar), adding into the `grad` of
  /// the leaves. The graph is freed on the way, unless `retainGraph` is set.
  public static func backward(_ root: Tensor, gradient: Tensor? = nil, retainGraph: Bool = false) throws {
    guard root.requiresGrad else {
      throw EngineError(.argument, "backward(): the tensor does not require grad, nothing leads to a trainable tensor")
    }
    let seed: Tensor
    if let gradient {
      guard gradient.shape == root.shape, gradient.dtype == root.gradientDType else {
        throw EngineError(.shape, "backward(): gradient \(gradient.summary) for \(root.summary)")
      }
      seed = gradient
    } else {
      guard root.count == 1 else {
        throw EngineError(.shape, "backward() of \(root.summary)", hint: "reduce it to a scalar first, or pass a gradient")
      }
      seed = try Tensor.ones(root.shape, root.gradientDType)
    }
    try noGrad {
      var pass = BackwardPass(from: root.slot, seed: seed)
      defer { pass.end() }
      for i in pass.slots.indices {
        guard var gradient = pass.takeGradient(i) else { continue }
        let slot = pass.slots[i]
        guard let node = slot.node else {
          try accumulate(&gradient.tensor, isOwned: gradient.isOwned, into: slot)
          continue
        }
        guard let backward = node.backward else {
          throw EngineError(.argument, "backward(): the graph was freed", hint: "pass retain_graph = true the first time")
        }
        try node.requireUnchanged()
        let inputs = node.inputs
        let results = try backward(gradient.tensor) { pass.sumToAddTo(inputs[$0]) }
        precondition(results.count == inputs.count, "\(node.name): one gradient for each operand")
        for (input, result) in zip(inputs, results) where input.requiresGrad {
          guard let result else { continue }
          precondition(result.count == input.count, "\(node.name): gradient \(result.shape) for \(input.shape)")
          try pass.add(result.shape == input.shape ? result : result.view(input.shape), to: input)
        }
        if !retainGraph { node.clear() }
      }
    }
  }

  /// Adds a gradient to a leaf's. `isOwned`: nobody else reads its elements.
  private static func accumulate(_ gradient: inout Tensor, isOwned: Bool, into leaf: GradientSlot) throws {
    if let grad = leaf.grad {
      pg_axpby(grad.dtype.kernel, grad.count, 1, grad.pointer, 1, gradient.pointer, grad.pointer)
      grad.version += 1
    } else {
      let isFree = isOwned || (isKnownUniquelyReferenced(&gradient) && gradient.isOnlyOwner)
      leaf.grad = isFree ? gradient.view(leaf.shape) : try gradient.view(leaf.shape).copy()
    }
  }
}

extension Tensor {
  /// Whether this is a tensor that the user marked, not a result.
  public var isLeaf: Bool { knownSlot?.node == nil }
  /// Whether `backward()` accumulates into `grad` (leaves), or passes through (results).
  public var requiresGrad: Bool {
    get { knownSlot?.requiresGrad ?? false }
    set { if newValue || knownSlot != nil { slot.requiresGrad = newValue } }
  }
  /// The sum of the gradients of all backward passes since it was cleared; leaves only.
  public var grad: Tensor? {
    get { knownSlot?.grad }
    set { if newValue != nil || knownSlot != nil { slot.grad = newValue } }
  }

  /// The type of a leaf's gradient: that of the tensor, but float32 for a storage type.
  public var gradientDType: DType { dtype.isComputed ? dtype : .float32 }

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
