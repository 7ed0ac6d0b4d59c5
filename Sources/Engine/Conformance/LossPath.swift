import TensorCore
import Training
import TransformerModels

/// The loss along a straight line through a parameter's value.
///
/// The difference between the ends is compared with the integral of what the gradients along the line say. Unlike a derivative
/// at one point, that holds for functions with kinks as well, such as those with a ReLU.
struct LossPath {
  let model: TrainableModel
  let batch: Batch

  /// Halves of the line's length, of which the best counts: long ones meet what the points between see too little of, short
  /// ones the rounding of the loss.
  private static let reaches = [0.1, 0.02, 0.5, 0.004]
  private static let points = 8

  private func loss() throws -> Double { try Autograd.noGrad { try model.loss(batch).item() } }

  /// Gradients at the present values.
  func backward() throws {
    model.network.zeroGrad()
    try model.loss(batch).backward()
  }

  /// How far the gradients are off, as a share of the slope.
  ///
  /// - Parameters:
  ///   - direction: of any length.
  ///   - least: the slope that the difference is at least compared with.
  ///   - tolerance: what is good enough.
  func error(of tensor: Tensor, along direction: Tensor, least: Double, tolerance: Double) throws -> Double {
    let before = try tensor.copy()
    defer { try? Autograd.noGrad { try tensor.assign(before) } }
    let length = direction.sumOfSquares.squareRoot()
    func move(_ distance: Double) throws {
      try Autograd.noGrad {
        try tensor.assign(before)
        try tensor.addInPlace(direction, alpha: distance / length)
      }
    }
    var best = Double.infinity
    for reach in Self.reaches {
      let ends = try [reach, -reach].map { distance in
        try move(distance)
        return try loss()
      }
      let slope = (ends[0] - ends[1]) / (2 * reach)
      var sum = 0.0
      for point in 0..<Self.points {
        try move(reach * (Double(2 * point + 1) / Double(Self.points) - 1))
        try backward()
        guard let gradient = tensor.grad else { continue }
        sum += zip(gradient.floats, direction.floats).reduce(0) { $0 + Double($1.0) * Double($1.1) } / length
      }
      let error = abs(slope - sum / Double(Self.points)) / max(abs(slope), least)
      best = min(best, error)
      if best < tolerance { break }
    }
    return best
  }
}
