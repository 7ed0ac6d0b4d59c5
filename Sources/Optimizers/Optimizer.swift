import Diagnostics
import NN
import TensorCore

/// Parameters that share hyper-parameters.
public struct ParameterGroup {
  public var parameters: [(name: String, tensor: Tensor)]
  /// The step size in place of the one that `step` gets; nil: that one.
  public var learningRate: Double?
  public var weightDecay: Double

  public init(_ parameters: [(name: String, tensor: Tensor)], learningRate: Double? = nil, weightDecay: Double) {
    self.parameters = parameters
    self.learningRate = learningRate
    self.weightDecay = weightDecay
  }

  /// Transformers' two groups: decay on everything but biases and `norms`, the parameters of norms.
  public static func decaying(
    _ parameters: [(name: String, tensor: Tensor)], norms: Set<ObjectIdentifier>, learningRate: Double? = nil, weightDecay: Double
  ) -> [ParameterGroup] {
    func isExempt(_ parameter: (name: String, tensor: Tensor)) -> Bool {
      parameter.name.lowercased().hasSuffix("bias") || norms.contains(ObjectIdentifier(parameter.tensor))
    }
    return [
      ParameterGroup(parameters.filter { !isExempt($0) }, learningRate: learningRate, weightDecay: weightDecay),
      ParameterGroup(parameters.filter(isExempt), learningRate: learningRate, weightDecay: 0),
    ]
  }

  /// The two groups of what trains in a model.
  public static func decaying(_ model: Module, weightDecay: Double) -> [ParameterGroup] {
    decaying(model.trainableParameters(), norms: model.normParameters, weightDecay: weightDecay)
  }
}

/// An update rule at work on groups of parameters. It keeps what the rule needs for each parameter, by the parameter's name:
/// groups may change between updates, and what is in none keeps its state.
public final class Optimizer {
  public let rule: any UpdateRule
  public var groups: [ParameterGroup]
  private let paged: PagedMemory?
  private var states: [String: ParameterState] = [:]

  /// What is kept for one parameter.
  private struct ParameterState {
    var tensors: [(name: String, tensor: Tensor)]
    /// Updates done.
    var step: Int
  }

  /// - Parameter paged: where the state of large parameters lies; nil: in memory.
  public init(_ rule: any UpdateRule, _ groups: [ParameterGroup] = [], paged: PagedMemory? = nil) {
    self.rule = rule
    self.groups = groups
    self.paged = paged
  }

  /// Updates every parameter that has a gradient.
  ///
  /// - Parameters:
  ///   - learningRate: the step size of the groups that have none of their own.
  ///   - multiplier: multiplies every group's step size; a schedule's.
  ///   - gradientScale: multiplies every gradient first, which is how clipping is applied.
  public func step(learningRate: Double, multiplier: Double = 1, gradientScale: Double = 1) throws {
    for group in groups {
      let stepSize = (group.learningRate ?? learningRate) * multiplier
      for (name, parameter) in group.parameters {
        guard parameter.requiresGrad, let gradient = parameter.grad else { continue }
        guard parameter.dtype == .float32, gradient.dtype == .float32, gradient.shape == parameter.shape else {
          throw EngineError(
            .shape, "'\(name)': parameter \(parameter.summary), gradient \(gradient.summary): expected the same shape in float32")
        }
        var state = try states[name] ?? fresh(parameter.shape)
        guard state.tensors.map(\.tensor.shape) == rule.state(of: parameter.shape).map(\.shape) else {
          throw EngineError(.data, "optimizer state of '\(name)' does not fit the parameter's shape \(parameter.shape)")
        }
        state.step += 1
        states[name] = state
        try rule.update(
          ParameterUpdate(
            parameter: parameter, gradient: gradient, state: state.tensors.map(\.tensor), step: state.step,
            learningRate: stepSize, weightDecay: group.weightDecay, gradientScale: gradientScale))
      }
    }
  }

  private func fresh(_ shape: [Int]) throws -> ParameterState {
    ParameterState(tensors: try rule.state(of: shape).map { ($0.name, try zeros($0.shape)) }, step: 0)
  }

  private func zeros(_ shape: [Int]) throws -> Tensor { try paged?.zeros(shape) ?? .zeros(shape) }

  /// Names of the parameters that were updated.
  public var updatedParameters: Set<String> { Set(states.keys) }

  /// Bytes of memory that the state of parameters with these shapes takes, mapped files apart.
  public func stateBytes(of shapes: [[Int]]) -> Int {
    shapes.flatMap { rule.state(of: $0) }.reduce(0) { sum, entry in
      let count = entry.shape.reduce(1, *)
      return sum + (paged != nil && count >= PagedMemory.leastCount ? 0 : count * DType.float32.size)
    }
  }

  /// Everything but the parameters that the next step depends on, by name: "exp_avg.classifier.weight",
  /// "step.classifier.weight".
  public func state() throws -> [(name: String, tensor: Tensor)] {
    try states.sorted { $0.key < $1.key }.flatMap { name, state in
      state.tensors.map { ($0.name + "." + name, $0.tensor) }
        + [("step." + name, try Tensor([Int32(clamping: state.step)], [1]))]
    }
  }

  /// Restores what `state()` returned. Throws `EngineError` (`.data`) for the state of another rule, or of parameters of
  /// another shape.
  public func load(_ saved: [String: Tensor]) throws {
    let shapes = Dictionary(groups.flatMap(\.parameters).map { ($0.name, $0.tensor.shape) }, uniquingKeysWith: { a, _ in a })
    let expected = rule.state(of: []).map(\.name)
    var loaded: [String: ParameterState] = [:]
    for (key, step) in saved where key.hasPrefix("step.") {
      let name = String(key.dropFirst("step.".count))
      // Which tensors there are can depend on the shape, which is known only of parameters that train now.
      let names = shapes[name].map { rule.state(of: $0).map(\.name) } ?? known(name, in: saved) ?? expected
      var tensors: [(name: String, tensor: Tensor)] = []
      for (i, part) in names.enumerated() {
        guard let tensor = saved[part + "." + name], tensor.dtype == .float32 else {
          throw EngineError(.data, "optimizer state of '\(name)' has no '\(part)'")
        }
        if let shape = shapes[name], case let wanted = rule.state(of: shape)[i].shape, tensor.shape != wanted {
          throw EngineError(.data, "optimizer state of '\(name)': '\(part)' has shape \(tensor.shape), expected \(wanted)")
        }
        let own = try zeros(tensor.shape)
        try own.assign(tensor)
        tensors.append((part, own))
      }
      guard step.dtype == .int32, step.count == 1, step.element(0) >= 0 else {
        throw EngineError(.data, "optimizer state of '\(name)': 'step' is \(step.summary), expected a number of updates")
      }
      loaded[name] = ParameterState(tensors: tensors, step: Int(step.element(0)))
    }
    states = loaded
  }

  /// The names of a parameter's tensors in a saved state, in the rule's order for some shape; nil where none fits.
  private func known(_ name: String, in saved: [String: Tensor]) -> [String]? {
    [[1], [1, 1]].map { rule.state(of: $0).map(\.name) }.first { $0.allSatisfy { saved[$0 + "." + name] != nil } }
  }

  /// Forgets the gradients of its parameters.
  public func zeroGrad() {
    for group in groups { for (_, parameter) in group.parameters { parameter.grad = nil } }
  }

  /// The L2 norm of all gradients together.
  public func gradientNorm() -> Double {
    groups.reduce(0.0) { sum, group in
      group.parameters.reduce(sum) { $0 + ($1.tensor.grad?.sumOfSquares ?? 0) }
    }.squareRoot()
  }

  /// The scale that limits a gradient norm, as torch's `clip_grad_norm_`: `min(1, limit / (norm + 1e-6))`.
  public func clippingScale(norm: Double, limit: Double) -> Double {
    limit > 0 ? min(1, limit / (norm + 1e-6)) : 1
  }
}
