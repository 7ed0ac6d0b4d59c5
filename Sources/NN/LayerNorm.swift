import TensorCore

/// Layer normalisation over the last axis, with the residual addition and dropout that precede it in transformers.
/// `weight`, `bias`: [C].
public final class LayerNorm: Module {
  public let weight: Tensor
  public let bias: Tensor
  public let eps: Double

  public init(_ builder: ParameterBuilder, _ size: Int, eps: Double) throws {
    weight = try builder.parameter("weight", [size], .ones)
    bias = try builder.parameter("bias", [size], .zeros)
    self.eps = eps
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("weight", weight), ("bias", bias)] }

  /// `LayerNorm(residual + dropout(x))`.
  public func callAsFunction(_ x: Tensor, residual: Tensor? = nil, dropout: Dropout? = nil) throws -> Tensor {
    try x.layerNorm(residual: residual, weight, bias, eps: eps, dropout: dropout)
  }
}

/// A table of rows. `weight`: [rows, C].
public final class Embedding: Module {
  public let weight: Tensor

  public init(_ builder: ParameterBuilder, rows: Int, _ size: Int, std: Double) throws {
    weight = try builder.parameter("weight", [rows, size], .normal(std: std))
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("weight", weight)] }
}
