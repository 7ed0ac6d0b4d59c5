import Diagnostics

extension Tensor {
  /// The elements in another type; `self` where the type is the same. Gradients are converted back.
  ///
  /// float64 to float32 and float32 to bfloat16 round to nearest; conversions to int32 truncate.
  /// Throws `.data` for values that an int32 cannot hold.
  public func to(_ target: DType) throws -> Tensor {
    if target == dtype { return self }
    let result = try converted(to: target)
    guard target.isFloatingPoint else { return result }
    Autograd.attach("to", to: result, inputs: [self]) { [type = gradientDType] dy in
      [try dy.converted(to: type)]
    }
    return result
  }

  /// The same elements in a type that kernels compute in: float32 for bfloat16 and int32.
  func computed() throws -> Tensor {
    dtype.isComputed ? self : try to(.float32)
  }
}
