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

  /// Transformers' two groups: decay on everything but biases and the weights of norms.
  public static func decaying(
    _ parameters: [(name: String, tensor: Tensor)], learningRate: Double? = nil, weightDecay: Double
  ) -> [ParameterGroup] {
    func isExempt(_ name: String) -> Bool {
      let lower = name.lowercased()
      return lower.hasSuffix("bias") || lower.contains("layernorm") || lower.contains("layer_norm")
    }
    return [
      ParameterGroup(parameters.filter { !isExempt($0.name) }, learningRate: learningRate, weightDecay: weightDecay),
      ParameterGroup(parameters.filter { isExempt($0.name) }, learningRate: learningRate, weightDecay: 0),
    ]
  }
}

/// An update rule over groups of parameters.
public protocol Optimizer: AnyObject {
  var groups: [ParameterGroup] { get set }
  /// Updates every parameter that has a gradient.
  ///
  /// - Parameters:
  ///   - learningRate: the step size of the groups that have none of their own.
  ///   - multiplier: multiplies every group's step size; a schedule's.
  ///   - gradientScale: multiplies every gradient first, which is how clipping is applied.
  func step(learningRate: Double, multiplier: Double, gradientScale: Double) throws
  /// Everything but the parameters that the next step depends on, by name.
  func state() throws -> [(name: String, tensor: Tensor)]
  /// Restores what `state()` returned.
  func load(_ state: [String: Tensor]) throws
}

extension Optimizer {
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
