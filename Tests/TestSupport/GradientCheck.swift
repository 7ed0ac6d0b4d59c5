import Foundation
import TensorCore
import Testing

/// The largest disagreement between a gradient and its central differences.
public struct GradientMismatch: CustomStringConvertible {
  /// Which input, and which of its elements.
  public let input: Int
  public let index: Int
  public let analytic: Double
  public let numeric: Double
  /// |analytic - numeric|, relative to the larger of both or to a hundredth of the input's largest
  /// gradient.
  public let error: Double

  public var description: String {
    "input \(input) index \(index): gradient \(analytic), difference quotient \(numeric), "
      + "relative error \(error)"
  }
}

/// Compares the gradients of `body` with central differences, in Float64.
///
/// The output is projected with a fixed random vector; `h = 1e-5 max(1, |x|)`; at most 64
/// coordinates of each input are sampled. `body` must be a function of its arguments alone. Inputs
/// that do not require gradients are left out. Returns the worst coordinate; nil where no input has
/// elements.
public func worstGradientMismatch(
  _ inputs: [Tensor], seed: UInt64 = 1, _ body: ([Tensor]) throws -> Tensor
) throws -> GradientMismatch? {
  for input in inputs { input.grad = nil }
  let output = try body(inputs)
  let projection = try Tensor.randn(output.shape, RandomSource(seed: seed, stream: 77), .float64)
  let weights = projection.values
  try output.backward(gradient: projection)
  func projected() throws -> Double {
    try Autograd.noGrad { zip(try body(inputs).values, weights).reduce(0) { $0 + $1.0 * $1.1 } }
  }
  var worst: GradientMismatch?
  for (i, input) in inputs.enumerated() where input.requiresGrad && input.count > 0 {
    let gradient = input.grad?.values ?? [Double](repeating: 0, count: input.count)
    let scale = max(1e-8, 1e-2 * gradient.reduce(0) { max($0, abs($1)) })
    let order = RandomSource(seed: seed, stream: UInt32(i)).permutation(input.count)
    for index in order.prefix(64) {
      let x = input.element(index)
      let h = 1e-5 * max(1, abs(x))
      input.set(x + h, at: index)
      let above = try projected()
      input.set(x - h, at: index)
      let below = try projected()
      input.set(x, at: index)
      let numeric = (above - below) / (2 * h)
      let difference = abs(gradient[index] - numeric)
      let error = difference / max(scale, abs(gradient[index]), abs(numeric))
      // A comparison with "not a number" is false: keep such an error too.
      if worst.map({ !(error <= $0.error) }) ?? true {
        worst = GradientMismatch(
          input: i, index: index, analytic: gradient[index], numeric: numeric, error: error)
      }
    }
  }
  return worst
}

/// Fails the test where a gradient of `body` is further than `tolerance` from its central
/// differences.
public func expectGradient(
  _ name: String, _ inputs: [Tensor], tolerance: Double = 1e-6,
  sourceLocation: SourceLocation = #_sourceLocation,
  _ body: ([Tensor]) throws -> Tensor
) throws {
  if let worst = try worstGradientMismatch(inputs, body), !(worst.error < tolerance) {
    Issue.record("\(name): \(worst)", sourceLocation: sourceLocation)
  }
}

/// Fails the test where an element differs by more than `absolute + relative * |expected|`; says
/// which and by how much. Equal infinities, and two values that are not numbers, agree.
public func expectClose(
  _ name: String, _ actual: [Double], _ expected: [Double], relative: Double = 1e-6,
  absolute: Double = 1e-7,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == expected.count else {
    Issue.record(
      "\(name): \(actual.count) values, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  var worst: (index: Int, difference: Double)?
  for (i, (a, b)) in zip(actual, expected).enumerated() {
    if a == b || (a.isNaN && b.isNaN) { continue }
    let difference = abs(a - b)
    if difference <= absolute + relative * abs(b) { continue }
    if worst.map({ !(difference <= $0.difference) }) ?? true { worst = (i, difference) }
  }
  if let worst {
    let values = "\(actual[worst.index]), expected \(expected[worst.index])"
    Issue.record(
      "\(name): max difference \(worst.difference) at index \(worst.index): \(values)",
      sourceLocation: sourceLocation)
  }
}

/// `expectClose` for tensors, which must also have the same shape.
public func expectClose(
  _ name: String, _ actual: Tensor, _ expected: Tensor, relative: Double = 1e-6,
  absolute: Double = 1e-7,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.shape == expected.shape else {
    Issue.record(
      "\(name): shape \(actual.shape), expected \(expected.shape)", sourceLocation: sourceLocation)
    return
  }
  expectClose(
    name, actual.values, expected.values, relative: relative, absolute: absolute,
    sourceLocation: sourceLocation)
}
