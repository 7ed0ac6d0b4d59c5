import TensorCore

/// The sizes that kernels are measured at; the defaults are those of RoBERTa-base.
public struct LayerShape: Sendable {
  public var batch = 32
  public var length = 128
  public var hidden = 768
  public var intermediate = 3072
  public var heads = 12

  public init() {}

  /// Tokens of a batch.
  public var tokens: Int { batch * length }
  var headSize: Int { hidden / heads }
  var offsets: Offsets { Offsets(lengths: [Int](repeating: length, count: batch)) }
}

/// One kernel at one shape.
struct KernelCase {
  var name: String
  var shape: String
  /// Which of the kernels that `body` calls counts.
  var kind: Profile.Kind
  /// The precision that products compute in; nil where arithmetic is no limit worth a column.
  var precision: Precision?
  /// Floating-point operations; 0 with `precision` nil.
  var operations = 0.0
  /// Bytes that must be read or written at least.
  var bytes: Double
  /// Allocates the operands; kernels are measured one after another, so that only one has its operands.
  var prepare: () throws -> Work

  /// A prepared kernel.
  struct Work {
    /// Runs it once and returns what it computed.
    var body: () throws -> Tensor
    var reference: Reference?
  }

  /// The same computed by plain loops on one thread.
  struct Reference {
    /// The share of the kernel's work that it does: plain products take seconds.
    var share: Double
    /// Writes as many elements as the tensor has; they are compared with the first ones of the kernel's result.
    var output: Tensor?
    var body: () -> Void
  }
}

extension KernelCase {
  /// Normally distributed values with a stream for each name.
  static func random(_ shape: [Int], _ name: String, std: Double = 1) throws -> Tensor {
    try .randn(shape, std: std, RandomSource(seed: 1, stream: RandomSource.stream(named: name)))
  }

  static func site(_ p: Double) -> Dropout { Dropout(p: p, source: RandomSource(seed: 1, stream: 7, step: 1)) }

  /// The gradient of `x`, computed again and again on one recorded graph.
  static func backward(_ x: Tensor, through y: Tensor, _ dy: Tensor) -> () throws -> Tensor {
    {
      x.grad = nil
      try y.backward(gradient: dy, retainGraph: true)
      guard let gradient = x.grad else { preconditionFailure("an operand without a gradient") }
      return gradient
    }
  }
}
