import Diagnostics
import TensorCore

/// Adam with decoupled weight decay, as `torch.optim.AdamW`.
///
/// `p ← p (1 - lr wd)`; `m ← m + (1 - b1)(g - m)`; `v ← b2 v + (1 - b2) g²`;
/// `p ← p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
///
/// Paper: Loshchilov and Hutter 2019, arXiv 1711.05101.
public final class AdamW: Optimizer {
  public var groups: [ParameterGroup]
  public let beta1: Double
  public let beta2: Double
  public let eps: Double
  private var moments: [String: (m: Tensor, v: Tensor, step: Int)] = [:]

  public init(_ groups: [ParameterGroup], beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8) {
    self.groups = groups
    self.beta1 = beta1
    self.beta2 = beta2
    self.eps = eps
  }

  public func step(learningRate: Double, multiplier: Double = 1, gradientScale: Double = 1) throws {
    for group in groups {
      let stepSize = (group.learningRate ?? learningRate) * multiplier
      for (name, parameter) in group.parameters {
        guard parameter.requiresGrad, let gradient = parameter.grad else { continue }
        var moment = try moments[name] ?? (.zeros(parameter.shape), .zeros(parameter.shape), 0)
        moment.step += 1
        moments[name] = moment
        try parameter.adamWInPlace(
          gradient: gradient, m: moment.m, v: moment.v, learningRate: stepSize, beta1: beta1, beta2: beta2,
          eps: eps, weightDecay: group.weightDecay, gradientScale: gradientScale, step: moment.step)
      }
    }
  }

  public func state() throws -> [(name: String, tensor: Tensor)] {
    try moments.sorted { $0.key < $1.key }.flatMap { name, moment in
      [("m." + name, moment.m), ("v." + name, moment.v), ("step." + name, try Tensor([Int32(moment.step)], [1]))]
    }
  }

  public func load(_ state: [String: Tensor]) throws {
    let shapes = Dictionary(groups.flatMap(\.parameters).map { ($0.name, $0.tensor.shape) }, uniquingKeysWith: { a, _ in a })
    var loaded: [String: (m: Tensor, v: Tensor, step: Int)] = [:]
    for (key, m) in state where key.hasPrefix("m.") {
      let name = String(key.dropFirst(2))
      guard let v = state["v." + name], let step = state["step." + name], m.shape == v.shape else {
        throw EngineError(.data, "optimizer state of '\(name)' is incomplete")
      }
      guard shapes[name] == nil || shapes[name] == m.shape else {
        throw EngineError(.data, "optimizer state of '\(name)' has shape \(m.shape), the parameter \(shapes[name] ?? [])")
      }
      loaded[name] = (try m.copy(), try v.copy(), Int(step.element(0)))
    }
    moments = loaded
  }
}
