import CKernels
import Diagnostics

/// The element type of a tensor, a runtime value.
public enum DType: String, Sendable, CaseIterable {
  case float32
  case float64
  /// Activations of layers in bf16 precision, and storage: the operations of layers (`linear`, `attention`, `layerNorm`,
  /// `activation`, `dropout`, `gatherRows`) keep it and sum in float32, all others convert to float32 first.
  case bfloat16
  /// Token ids, labels and indices.
  case int32

  /// Bytes per element.
  public var size: Int {
    switch self {
    case .float32, .int32: 4
    case .float64: 8
    case .bfloat16: 2
    }
  }

  /// Whether gradients can flow through tensors of this type.
  public var isFloatingPoint: Bool { self != .int32 }

  /// Whether kernels compute in this type.
  var isComputed: Bool { self == .float32 || self == .float64 }

  package var kernel: pg_dtype {
    switch self {
    case .float64: PG_F64
    case .bfloat16: PG_BF16
    case .float32, .int32: PG_F32
    }
  }

  /// The type of the weights and statistics beside activations of this type.
  var besideActivations: DType { self == .bfloat16 ? .float32 : self }
}

/// The number of elements of a shape. Throws where a size is negative or the product overflows; sizes of 0 do not
/// hide an overflow, so that products of some of the sizes are always safe to compute.
public func elementCount(_ shape: [Int]) throws -> Int {
  guard shape.count <= PG_MAX_RANK else { throw EngineError(.shape, "\(shape.count) axes, expected at most \(PG_MAX_RANK)") }
  var count = 1
  var isEmpty = false
  for size in shape {
    guard size >= 0 else { throw EngineError(.shape, "negative size in shape \(shape)") }
    guard size > 0 else {
      isEmpty = true
      continue
    }
    let (product, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow else { throw EngineError(.shape, "shape \(shape) has too many elements") }
    count = product
  }
  return isEmpty ? 0 : count
}
