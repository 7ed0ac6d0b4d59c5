import Diagnostics
import Foundation
import TensorCore

/// A rule with Adam's two moments, of the gradient and of its square, each of the parameter's shape. `adam_beta1`, `adam_beta2`
/// and `adam_epsilon` of the training arguments are its `betas` and `eps`.
public protocol AdamRule: UpdateRule {
  /// Decay of the first and the second moment.
  var betas: [Double] { get set }
  /// Added to the root of the second moment.
  var eps: Double { get set }
}

extension AdamRule {
  static var adamFields: [Field<Self>] {
    [
      .value("betas", \.betas, "decay of the first and the second moment"),
      .float("eps", \.eps, "added to the root of the second moment", in: Above(0)),
    ]
  }

  public static var fields: [Field<Self>] { adamFields }

  public func validate() throws(EngineError) {
    try check(betas: betas)
    try checkFinite([("eps", eps)])
  }

  public func state(of shape: [Int]) -> [(name: String, shape: [Int])] { [("exp_avg", shape), ("exp_avg_sq", shape)] }
}

/// Adam with L2 regularisation, as `torch.optim.Adam`.
///
/// `g ← g + wd p`; `m ← m + (1 - b1)(g - m)`; `v ← b2 v + (1 - b2) g²`;
/// `p ← p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
///
/// Paper: Kingma and Ba 2015, arXiv 1412.6980.
public struct Adam: AdamRule {
  public var betas = [0.9, 0.999]
  public var eps = 1e-8

  public init() {}

  public static let name = "adam"
  public static let summary = "Adam as torch's: weight decay is part of the gradient."

  public func update(_ u: ParameterUpdate) throws {
    let (p, g, state) = u.elements
    let (m, v) = (state[0], state[1])
    let (rest1, beta2, rest2) = (Float(1 - betas[0]), Float(betas[1]), Float(1 - betas[1]))
    let (eps, scale, decay) = (Float(self.eps), Float(u.gradientScale), Float(u.weightDecay))
    let stepSize = Float(u.learningRate / (1 - pow(betas[0], Double(u.step))))
    let root = Float((1 - pow(betas[1], Double(u.step))).squareRoot())
    u.forRanges { range in
      for i in range {
        let x = g[i] * scale + decay * p[i]
        m[i] += rest1 * (x - m[i])
        v[i] = beta2 * v[i] + rest2 * x * x
        p[i] -= stepSize * (m[i] / (v[i].squareRoot() / root + eps))
      }
    }
  }
}
