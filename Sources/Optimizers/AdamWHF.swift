import Diagnostics
import Foundation
import TensorCore

/// AdamW in the form that Transformers had of its own until version 4, with which LoRA's authors trained.
///
/// `m ← b1 m + (1 - b1) g`; `v ← b2 v + (1 - b2) g²`;
/// `p ← p - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`, and then `p ← p - lr wd p`.
/// `eps` is not bias-corrected, and the decay applies to the new parameter.
///
/// Paper: Loshchilov and Hutter 2019, arXiv 1711.05101.
public struct AdamWHF: AdamRule {
  public var betas = [0.9, 0.999]
  public var eps = 1e-6
  /// False leaves the corrections out, as TensorFlow's BERT did.
  public var correctBias = true

  public init() {}

  public static let name = "adamw_hf"
  public static let summary = "AdamW as Transformers had it before version 5: eps without bias correction, decay after the step."
  public static let fields: [Field<Self>] =
    adamFields + [
      .value("correct_bias", \.correctBias, "whether the moments' start at 0 is made up for")
    ]

  public func update(_ u: ParameterUpdate) throws {
    let (p, g, state) = u.elements
    let (m, v) = (state[0], state[1])
    let (beta1, beta2, eps, scale) = (Float(betas[0]), Float(betas[1]), Float(self.eps), Float(u.gradientScale))
    let (rest1, rest2) = (Float(1 - betas[0]), Float(1 - betas[1]))
    let correction = correctBias ? (1 - pow(betas[1], Double(u.step))).squareRoot() / (1 - pow(betas[0], Double(u.step))) : 1
    let (stepSize, decay) = (Float(u.learningRate * correction), Float(u.learningRate * u.weightDecay))
    u.forRanges { range in
      for i in range {
        let x = g[i] * scale
        m[i] = beta1 * m[i] + rest1 * x
        v[i] = beta2 * v[i] + rest2 * x * x
        let moved = p[i] - stepSize * (m[i] / (v[i].squareRoot() + eps))
        p[i] = moved - decay * moved
      }
    }
  }
}
