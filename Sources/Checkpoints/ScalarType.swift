/// The element types of a safetensors file.
public enum ScalarType: String, Sendable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint8 = "U8"
  case bool = "BOOL"

  /// Bytes per element.
  public var size: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16: 2
    case .int8, .uint8, .bool: 1
    }
  }

  /// The reference library lays tensors out by falling rank, which keeps wide elements aligned.
  var layoutRank: Int {
    switch self {
    case .int64: 9
    case .float64: 8
    case .float32: 7
    case .int32: 6
    case .bfloat16: 5
    case .float16: 4
    case .int16: 3
    case .int8: 2
    case .uint8: 1
    case .bool: 0
    }
  }

  /// Bytes of a tensor of that shape; nil for a negative dimension or more bytes than an `Int`
  /// holds.
  public func byteCount(ofShape shape: [Int]) -> Int? {
    // A zero anywhere makes the tensor empty, but the other dimensions are still not allowed to be
    // negative or to overflow: a later reshape would trust them.
    var count = size
    var hasZero = false
    for dimension in shape {
      if dimension < 0 { return nil }
      if dimension == 0 {
        hasZero = true
        continue
      }
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      if overflow { return nil }
      count = product
    }
    return hasZero ? 0 : count
  }
}
