import Diagnostics
import NN
import TensorCore

// What only some methods do. A method adopts the protocol, and shared code asks for it where it matters.

/// A method that has a say in which linear layers it adapts.
public protocol ChoosesTargets: AdapterMethod {
  /// Whether targets may be layers of the head.
  var adaptsHead: Bool { get }
  /// The targets with what the method chooses where they leave it open. `linears`: the model's linear layers; `head`: suffixes of
  /// the head's modules.
  func completed(_ targets: AdapterTargets, linears: [(path: String, linear: Linear)], head: [String]) -> AdapterTargets
  /// The linear layers that the method adapts where the options name none; nil: the architecture's default.
  var defaultTargets: AdapterTargets.Selection? { get }
  /// Checks the options against the modules that were chosen, given by their paths. Throws `EngineError`.
  func check(sites: [String]) throws
}

extension ChoosesTargets {
  public var adaptsHead: Bool { false }
  public func completed(_ targets: AdapterTargets, linears: [(path: String, linear: Linear)], head: [String]) -> AdapterTargets { targets }
  public var defaultTargets: AdapterTargets.Selection? { nil }
  public func check(sites: [String]) throws {}
}

/// A method whose layers may have ranks and scales of their own.
public protocol HasLayerPatterns: LinearAdapterMethod {
  /// Ranks of some layers; PEFT's `rank_pattern`.
  var rankPattern: LayerPattern<Int> { get }
  /// Numerators of the scale of some layers; PEFT's `alpha_pattern`.
  var alphaPattern: LayerPattern<Double> { get }
}

extension HasLayerPatterns {
  /// Regular expressions for some of the layers, by option: each has to match one.
  var layerPatterns: [(option: String, patterns: [String])] {
    [("rank_pattern", rankPattern.patterns), ("alpha_pattern", alphaPattern.patterns)]
  }

  public func validate() throws(EngineError) { try checkPatterns() }

  /// Throws for ranks and numerators that no layer can have.
  func checkPatterns() throws(EngineError) {
    if let bad = rankPattern.values.first(where: { $0 < 1 }) {
      throw EngineError(.argument, "'rank_pattern' must have ranks of at least 1, got \(bad)")
    }
    if let bad = alphaPattern.values.first(where: { $0 < 0 }) {
      throw EngineError(.argument, "'alpha_pattern' must have numbers of at least 0, got \(bad)")
    }
  }
}

/// A method that trains parameters of the base model, which are saved with the adapter (BitFit's biases).
public protocol ChoosesParameters: AdapterMethod {
  /// Whether it trains a parameter.
  func trains(_ parameter: BaseParameter) -> Bool
  /// Checks the options against the base model's parameters outside the head. Throws `EngineError`.
  func check(parameters: [BaseParameter]) throws
}

extension ChoosesParameters {
  public func check(parameters: [BaseParameter]) throws {}
}

/// A method that trains the base model as a whole, or all of it that `trains` chooses: there is no adapter to save.
public protocol TrainsBase: ChoosesParameters {}

extension TrainsBase {
  public static var peftType: String? { nil }
}

/// A method that can build on another adapter, whose place it takes.
public protocol BuildsOnAdapter: LinearAdapterMethod {
  /// The method whose adapters it can build on.
  static var baseMethod: any AdapterMethod.Type { get }
  /// Name of the adapter that this one is built on, or of its method; nil: it stands beside the others.
  var over: String? { get }
  /// A placeholder of the same shapes as the adapter named by `over`, for counting and for loading; nil without `over`.
  var underlying: (any AdapterMethod)? { get }
  /// Whether it can build on an adapter of a layer.
  static func isBase(_ adapter: Adapter) -> Bool
}

/// A method that has a text among its options, for which it needs the model's tokenizer.
public protocol NeedsTokens: AdapterMethod {
  /// The method once a tokenizer can read its texts; `encode` gives a text's ids, special tokens included.
  func tokenized(_ encode: (String) throws -> [Int32]) throws -> Self
}

/// A method that does more in training than its share of the output; see `MethodTraining`.
public protocol ActsInTraining: AdapterMethod {
  /// What it does for one adapter; nil: nothing.
  func makeTraining(for attached: AttachedAdapter) -> MethodTraining?
}

/// A method that changes parameters that are frozen (Delta-LoRA's weights).
public protocol ChangesFrozenParameters: ActsInTraining {
  /// Those parameters, by their names in the model.
  func frozenParametersChanged(by attached: AttachedAdapter) -> [(name: String, tensor: Tensor)]
}

/// A method that may draw, in each forward pass of training, which parameters it uses, so that the others have no gradient.
public protocol DrawsParameters: AdapterMethod {
  /// Whether it does.
  var drawsParameters: Bool { get }
}

/// A method whose folders leave out parameters that follow from the options and the base model.
public protocol OmitsParameters: AdapterMethod {
  /// Whether folders leave out an adapter's parameter, given by its path.
  func omits(_ parameter: String) -> Bool
}

/// A method whose folders hold other tensors than the adapter's own parameters: what those amount to.
public protocol SavesResult: AdapterMethod {
  /// Those tensors, by name.
  func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)]
  /// Gives the adapter's parameters the values of such tensors, whose shapes are those of `folderTensors`.
  func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws
  /// Whether the folder has all that the parameters are, so that training can go on from it.
  var savesParameters: Bool { get }
}

extension SavesResult {
  public var savesParameters: Bool { true }
}

/// A method that has a say in which tensors a folder holds, and in their values.
public protocol ChecksFolder: AdapterMethod {
  /// Whether a tensor of a folder says nothing.
  func ignores(_ tensor: String) -> Bool
  /// Throws `EngineError` where a folder lacks a tensor without which the others mean nothing.
  func check(tensors: [String]) throws
  /// Called when the values of a folder are in the adapter. Throws `EngineError` for values that mean nothing.
  func didLoad(_ attached: AttachedAdapter) throws
}

extension ChecksFolder {
  public func ignores(_ tensor: String) -> Bool { false }
  public func check(tensors: [String]) throws {}
  public func didLoad(_ attached: AttachedAdapter) throws {}
}

// MARK: - Answers for every method

extension AdapterMethod {
  /// Whether the method attaches something.
  public var hasSites: Bool { if case .nowhere = placement { false } else { true } }
  /// Whether a weight can hold what the method learns: nothing acts elsewhere than on linear layers.
  public var isMergeable: Bool { if case .hosts = placement { false } else { true } }
  /// Whether targets may be layers of the head.
  public var adaptsHead: Bool { (self as? any ChoosesTargets)?.adaptsHead ?? false }
  /// Whether the base model's own parameters train, and there is no adapter to save.
  public var trainsBase: Bool { self is any TrainsBase }
  /// Name of the adapter that this one is built on, or of its method; nil: it stands beside the others.
  public var over: String? { (self as? any BuildsOnAdapter)?.over }
  /// Whether an adapter's folder has all that its parameters are, so that training can go on from it.
  public var savesParameters: Bool { (self as? any SavesResult)?.savesParameters ?? true }
}

extension AttachedAdapter {
  /// Frozen parameters that the adapter's method changes nevertheless, by their names in the model.
  public var changedParameters: [(name: String, tensor: Tensor)] {
    (method as? any ChangesFrozenParameters)?.frozenParametersChanged(by: self) ?? []
  }
}
