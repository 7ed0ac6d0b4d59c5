import Diagnostics
import TensorCore

/// Adam with decoupled weight decay, as `torch.optim.AdamW`.
///
/// `p ← p (1 - lr wd)`; `m ← m + (1 - b1)(g - m)`; `v ← b2 v + (1 - b2) g²`;
/// `p ← p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
///
/// Paper: Loshchilov and Hutter 2019, arXiv 1711.05101.
public struct AdamW: AdamRule {
  public var betas: [Double]
  public var eps: Double

  public init() { self.init(betas: [0.9, 0.999]) }

  public init(betas: [Double], eps: Double = 1e-8) { (self.betas, self.eps) = (betas, eps) }

  public static let name = "adamw_torch"
  public static let functionName = "adamw"
  public static let pagedName: String? = "paged_adamw_32bit"
  public static let summary = "AdamW as torch's: Adam with decoupled weight decay."
  public static let defaultWeightDecay = 0.01

  public func update(_ u: ParameterUpdate) throws {
    try u.parameter.adamWInPlace(
      gradient: u.gradient, m: u.state[0], v: u.state[1], learningRate: u.learningRate, beta1: betas[0], beta2: betas[1],
      eps: eps, weightDecay: u.weightDecay, gradientScale: u.gradientScale, step: u.step)
  }
}
