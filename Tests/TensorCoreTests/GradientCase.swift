import TensorCore
import TestSupport
import Testing

/// One row of a table of gradient checks: the inputs, and a function of them.
struct GradientCase: CustomTestStringConvertible, Sendable {
  let name: String
  let inputs: @Sendable () throws -> [Tensor]
  let body: @Sendable ([Tensor]) throws -> Tensor

  /// Inputs are normal draws; those in `frozen` do not require gradients.
  init(
    _ name: String, _ shapes: [[Int]], frozen: Set<Int> = [],
    _ body: @escaping @Sendable ([Tensor]) throws -> Tensor
  ) {
    self.init(
      name, values: { try shapes.enumerated().map { try normal($1, stream: $0) } }, frozen: frozen,
      body)
  }

  init(
    _ name: String, values: @escaping @Sendable () throws -> [Tensor], frozen: Set<Int> = [],
    _ body: @escaping @Sendable ([Tensor]) throws -> Tensor
  ) {
    self.name = name
    inputs = {
      try values().enumerated().map { try $1.requiresGrad(!frozen.contains($0)) }
    }
    self.body = body
  }

  var testDescription: String { name }
}

/// Float64 normal draws, the same for the same stream.
func normal(_ shape: [Int], stream: Int = 0, _ dtype: DType = .float64) throws -> Tensor {
  try Tensor.randn(shape, RandomSource(seed: 42, stream: UInt32(stream)), dtype)
}

/// Float64 uniform draws from (low, high).
func uniform(
  _ shape: [Int], _ low: Double, _ high: Double, stream: Int = 0, _ dtype: DType = .float64
) throws -> Tensor {
  try Tensor.rand(
    shape, low: low, high: high, RandomSource(seed: 43, stream: UInt32(stream)), dtype)
}

/// Values whose distances from each other, and from 0, are at least `gap`, in a mixed order: no
/// ties and no kinks nearby.
func spread(_ shape: [Int], gap: Double = 0.1, stream: Int = 0) throws -> Tensor {
  let count = try elementCount(shape)
  let order = RandomSource(seed: 44, stream: UInt32(stream)).permutation(count)
  return try Tensor(order.map { (Double($0) - Double(count) / 2 + 0.37) * gap }, shape)
}
