import Diagnostics
import TensorCore

/// Stochastic gradient descent, as `torch.optim.SGD`.
///
/// `g ← g + wd p`; with momentum `u ← momentum u + (1 - dampening) g`, in the first step `u = g`;
/// `p ← p - lr u`, or `p ← p - lr (g + momentum u)` with Nesterov's momentum.
///
/// Paper: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
public struct SGD: UpdateRule {
  public var momentum = 0.0
  public var dampening = 0.0
  public var nesterov = false

  public init() {}

  public static let name = "sgd"
  public static let summary = "Stochastic gradient descent as torch's, with momentum."
  public static let fields: [Field<Self>] = [
    .float("momentum", \.momentum, "decay of the sum of gradients; 0: there is none", in: 0..<1),
    .float("dampening", \.dampening, "share of a gradient that the sum does not take", in: 0...1),
    .value("nesterov", \.nesterov, "Nesterov's momentum; needs momentum, and no dampening"),
  ]

  public func validate() throws(EngineError) {
    guard !nesterov || momentum > 0 && dampening == 0 else {
      throw EngineError(.argument, "'nesterov' needs a momentum above 0 and a dampening of 0, got \(momentum) and \(dampening)")
    }
  }

  public func state(of shape: [Int]) -> [(name: String, shape: [Int])] {
    momentum > 0 ? [("momentum_buffer", shape)] : []
  }

  public func update(_ u: ParameterUpdate) throws {
    let (p, g, state) = u.elements
    let (scale, decay, rate) = (Float(u.gradientScale), Float(u.weightDecay), Float(u.learningRate))
    guard let sum = state.first else {
      u.forRanges { range in
        for i in range { p[i] -= rate * (g[i] * scale + decay * p[i]) }
      }
      return
    }
    let momentum = Float(self.momentum)
    let taken = u.step == 1 ? 1 : Float(1 - dampening)
    let ahead: Float = nesterov ? momentum : 1
    let own: Float = nesterov ? 1 : 0
    u.forRanges { range in
      for i in range {
        let x = g[i] * scale + decay * p[i]
        sum[i] = momentum * sum[i] + taken * x
        p[i] -= rate * (own * x + ahead * sum[i])
      }
    }
  }
}
