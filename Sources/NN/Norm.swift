import TensorCore

/// Which normalisation a model uses, over the last axis; `eps` is added to the variance.
public enum NormKind: Sendable, Equatable {
  case layer(eps: Double)
  case rms(eps: Double)

  /// A norm of `size` elements: weights 1, biases 0.
  public func make(_ builder: ParameterBuilder, _ size: Int) throws -> any Norm {
    switch self {
    case .layer(let eps): try LayerNorm(builder, size, eps: eps)
    case .rms(let eps): try RMSNorm(builder, size, eps: eps)
    }
  }
}

/// A normalisation over the last axis. Whoever looks for norms asks for this type, not for a name.
public protocol Norm: Module {
  /// `norm(residual + dropout(x))`; `residual` and `dropout` may be left out.
  func callAsFunction(_ x: Tensor, residual: Tensor?, dropout: Dropout?) throws -> Tensor
}

extension Module {
  /// The parameters that belong to norms.
  public var normParameters: Set<ObjectIdentifier> {
    Set(namedModules().flatMap { $0.module is any Norm ? $0.module.ownParameters.map { ObjectIdentifier($0.tensor) } : [] })
  }
}

extension Norm {
  public func callAsFunction(_ x: Tensor, residual: Tensor? = nil) throws -> Tensor { try self(x, residual: residual, dropout: nil) }
}

/// Layer normalisation over the last axis, with the residual addition and dropout that may precede it.
/// `weight`, `bias`: [C].
public final class LayerNorm: Module, Norm {
  public let weight: Tensor
  public let bias: Tensor
  public let eps: Double

  public init(_ builder: ParameterBuilder, _ size: Int, eps: Double) throws {
    weight = try builder.parameter("weight", [size], .ones)
    bias = try builder.parameter("bias", [size], .zeros)
    self.eps = eps
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("weight", weight), ("bias", bias)] }

  public func callAsFunction(_ x: Tensor, residual: Tensor?, dropout: Dropout?) throws -> Tensor {
    try x.layerNorm(residual: residual, weight, bias, eps: eps, dropout: dropout)
  }
}

/// Root-mean-square normalisation over the last axis: neither mean nor bias. `weight`: [C].
public final class RMSNorm: Module, Norm {
  public let weight: Tensor
  public let eps: Double

  public init(_ builder: ParameterBuilder, _ size: Int, eps: Double) throws {
    weight = try builder.parameter("weight", [size], .ones)
    self.eps = eps
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] { [("weight", weight)] }

  public func callAsFunction(_ x: Tensor, residual: Tensor?, dropout: Dropout?) throws -> Tensor {
    let dropped = try x.dropout(dropout)
    return try (residual.map { try dropped.adding(residual: $0) } ?? dropped).rmsNorm(weight, eps: eps)
  }
}
