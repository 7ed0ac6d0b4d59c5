import Diagnostics
import TensorCore

/// How a new parameter starts.
public enum Initialization: Sendable {
  case zeros
  case ones
  case constant(Double)
  /// Normal with mean 0.
  case normal(std: Double)
  /// Normal with mean 0, drawn again beyond two standard deviations: TensorFlow's `truncated_normal`.
  case truncatedNormal(std: Double)
  /// Uniform on ±bound.
  case uniform(bound: Double)
  /// Uniform on ±1/sqrt(fan in), the second size: torch's `kaiming_uniform_(a = sqrt 5)`.
  case kaimingUniform
  /// Uniform on ±sqrt(6 / (rows + columns)): torch's `xavier_uniform_`.
  case xavierUniform

  /// Writes starting values. `source` names the draws; use one stream for each parameter.
  public func make(_ shape: [Int], _ source: RandomSource, on device: Device = .cpu) throws -> Tensor {
    if device == .meta { return try Tensor(uninitialized: shape, on: .meta) }
    switch self {
    case .zeros: return try .zeros(shape)
    case .ones: return try .ones(shape)
    case .constant(let value): return try .full(shape, value)
    case .normal(let std): return try .randn(shape, std: std, source)
    case .truncatedNormal(let std):
      let result = try Tensor.randn(shape, std: std, source)
      var (source, isDone) = (source, false)
      while !isDone {
        source.step += 1
        let again = try Tensor.randn(shape, std: std, source)
        isDone = true
        for i in 0..<result.count where abs(result.floats[i]) > Float(2 * std) {
          result.floats[i] = again.floats[i]
          isDone = isDone && abs(again.floats[i]) <= Float(2 * std)
        }
      }
      return result
    case .uniform(let bound): return try .rand(shape, low: -bound, high: bound, source)
    case .kaimingUniform:
      let bound = 1 / Double(max(shape.count > 1 ? shape[1] : shape.first ?? 1, 1)).squareRoot()
      return try .rand(shape, low: -bound, high: bound, source)
    case .xavierUniform:
      let bound = (6 / Double(max(shape.prefix(2).reduce(0, +), 1))).squareRoot()
      return try .rand(shape, low: -bound, high: bound, source)
    }
  }
}

/// Where a model's tensors come from, by state-dict name: a checkpoint, or another model.
public protocol ParameterSource: AnyObject {
  /// The tensor of a name, converted to float32; nil where there is none. A file turns a matrix that it has transposed.
  func parameter(_ name: String, isStoredTransposed: Bool) throws -> Tensor?
}

/// Gives modules their parameters while a model is built: from a source where it has them, else new ones. Remembers
/// which names were new, so that the caller can report or refuse them.
public final class ParameterBuilder {
  /// What all scopes of one build share.
  public final class Log {
    /// Names that the source lacks and that were initialised.
    public var missing: [String] = []
    /// Names that were taken from the source.
    public var used: Set<String> = []
  }

  public let log: Log
  private let path: String
  private let source: ParameterSource?
  private let seed: UInt64
  private let device: Device

  /// `seed`: of the values of new parameters. `device`: where they are; a model on `meta` can be counted, but must not run.
  public init(source: ParameterSource? = nil, seed: UInt64, on device: Device = .cpu) {
    log = Log()
    path = ""
    self.source = source
    (self.seed, self.device) = (seed, device)
  }

  private init(parent: ParameterBuilder, path: String) {
    log = parent.log
    source = parent.source
    (seed, device) = (parent.seed, parent.device)
    self.path = path
  }

  /// The builder of a part; no name gives the same scope.
  public func scope(_ name: String) -> ParameterBuilder {
    name.isEmpty ? self : ParameterBuilder(parent: self, path: path.isEmpty ? name : path + "." + name)
  }

  /// Whether the source has a parameter of the current scope.
  public func isInSource(_ name: String) throws -> Bool {
    try source?.parameter(path.isEmpty ? name : path + "." + name, isStoredTransposed: false) != nil
  }

  /// The parameter `name` of the current scope. Throws where the source's shape differs.
  public func parameter(
    _ name: String, _ shape: [Int], _ initialization: Initialization, isStoredTransposed: Bool = false
  ) throws -> Tensor {
    let full = path.isEmpty ? name : path + "." + name
    if let found = try source?.parameter(full, isStoredTransposed: isStoredTransposed) {
      guard found.shape == shape else {
        throw EngineError(.data, "\(full): the checkpoint has shape \(found.shape), the model expects \(shape)")
      }
      log.used.insert(full)
      // What trains elsewhere changes under us: take a copy of it as it is now.
      return found.requiresGrad ? try found.copy().sharedParameter() : found.sharedParameter()
    }
    log.missing.append(full)
    let source = RandomSource(seed: seed, stream: RandomSource.stream(named: full))
    return try initialization.make(shape, source, on: device).sharedParameter()
  }
}
