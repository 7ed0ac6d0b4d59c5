import Diagnostics
import TensorCore

/// How an optimizer changes one parameter: its options are the type's properties. One file each; see `OptimizerCatalogue`.
///
/// A rule has no memory of its own. What it keeps for a parameter are the tensors of `state(of:)`, which `Optimizer`
/// makes, saves and loads.
public protocol UpdateRule: Record, Sendable {
  /// The word of `TrainingArguments.optim`: "adamw_torch".
  static var name: String { get }
  /// The function in the Lua module `trainer`; the same word where nothing else is said.
  static var functionName: String { get }
  /// The word of `optim` for the rule with its state in a mapped file; nil: there is none.
  static var pagedName: String? { get }
  /// One line for help and stubs.
  static var summary: String { get }
  /// The step size and decay of the rule's function in Lua, where a script gives none.
  static var defaultLearningRate: Double { get }
  static var defaultWeightDecay: Double { get }

  /// What is kept for a parameter of this shape: names without dots, and shapes. All start with zeros.
  func state(of shape: [Int]) -> [(name: String, shape: [Int])]
  /// Changes the parameter and its state.
  func update(_ update: ParameterUpdate) throws
  /// Whether the step size is the one that `Optimizer.step` gets; false: the rule's own.
  var usesLearningRate: Bool { get }
  /// The step size of an update, from 1, for logs; `scheduled`: the one that it got.
  func stepSize(_ scheduled: Double, step: Int) -> Double
}

extension UpdateRule {
  public static var functionName: String { name }
  public static var pagedName: String? { nil }
  public static var defaultLearningRate: Double { 1e-3 }
  public static var defaultWeightDecay: Double { 0 }
  public static var recordName: String { functionName + " options" }
  public var usesLearningRate: Bool { true }
  public func stepSize(_ scheduled: Double, step: Int) -> Double { scheduled }

  /// Throws unless `betas` are two numbers, at least 0 and below 1.
  func check(betas: [Double]) throws(EngineError) {
    guard betas.count == 2, betas.allSatisfy({ $0 >= 0 && $0 < 1 }) else {
      throw EngineError(.argument, "'betas' must be two numbers, at least 0 and below 1")
    }
  }

  /// Throws for numbers that are not finite.
  func checkFinite(_ numbers: [(name: String, value: Double)]) throws(EngineError) {
    for number in numbers where !number.value.isFinite {
      throw EngineError(.argument, "'\(number.name)' must be a finite number")
    }
  }
}

/// One parameter at one step.
public struct ParameterUpdate {
  /// A float32 tensor, changed in place.
  public let parameter: Tensor
  /// Its gradient before `gradientScale`, of the same shape.
  public let gradient: Tensor
  /// The tensors of `UpdateRule.state(of:)`, in that order, changed in place.
  public let state: [Tensor]
  /// Which update of this parameter it is, from 1.
  public let step: Int
  /// The group's step size, with the schedule's multiplier.
  public let learningRate: Double
  public let weightDecay: Double
  /// Multiplies the gradient first.
  public let gradientScale: Double

  /// The elements of the parameter, the gradient and the state.
  var elements: (parameter: Elements, gradient: Elements, state: [Elements]) {
    (Elements(parameter), Elements(gradient), state.map(Elements.init))
  }

  /// Runs `body` on ranges of the elements, on all threads; then the parameter counts as written.
  func forRanges(_ body: @Sendable @escaping (Range<Int>) -> Void) {
    Threads.parallelFor(parameter.count, chunk: 1 << 14, body)
    parameter.version += 1
  }
}

// Unchecked: an update gives every thread elements of its own.
/// The numbers of a float32 tensor for loops on all threads.
struct Elements: @unchecked Sendable {
  private let base: UnsafeMutablePointer<Float>?

  init(_ tensor: Tensor) { base = tensor.floats.baseAddress }

  subscript(index: Int) -> Float {
    get { base.unsafelyUnwrapped[index] }
    nonmutating set { base.unsafelyUnwrapped[index] = newValue }
  }
}
