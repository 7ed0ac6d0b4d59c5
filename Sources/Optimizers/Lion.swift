import Diagnostics
import TensorCore

/// Steps by the sign of an interpolated momentum, of the same length for every number.
///
/// `p ← p (1 - lr wd) - lr sign(b1 m + (1 - b1) g)`, and then `m ← b2 m + (1 - b2) g`.
/// Step sizes are three to ten times smaller than AdamW's, decays larger by the same factor.
///
/// Paper: Chen et al. 2023, arXiv 2302.06675.
public struct Lion: UpdateRule {
  public var betas = [0.9, 0.99]

  public init() {}

  public static let name = "lion"
  public static let pagedName: String? = "paged_lion_32bit"
  public static let summary = "Lion: steps by the sign of the momentum; half of AdamW's memory."
  public static let defaultLearningRate = 1e-4
  public static let fields: [Field<Self>] = [
    .value("betas", \.betas, "the momentum's share in a step, and the momentum's decay")
  ]

  public func validate() throws(EngineError) { try check(betas: betas) }

  public func state(of shape: [Int]) -> [(name: String, shape: [Int])] { [("exp_avg", shape)] }

  public func update(_ u: ParameterUpdate) throws {
    let (p, g, state) = u.elements
    let m = state[0]
    let (beta1, rest1) = (Float(betas[0]), Float(1 - betas[0]))
    let (beta2, rest2) = (Float(betas[1]), Float(1 - betas[1]))
    let (scale, rate, kept) = (Float(u.gradientScale), Float(u.learningRate), Float(1 - u.learningRate * u.weightDecay))
    u.forRanges { range in
      for i in range {
        let x = g[i] * scale
        let direction = beta1 * m[i] + rest1 * x
        let sign: Float = direction > 0 ? 1 : direction < 0 ? -1 : 0
        p[i] = p[i] * kept - rate * sign
        m[i] = beta2 * m[i] + rest2 * x
      }
    }
  }
}
