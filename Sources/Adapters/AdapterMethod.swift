import Diagnostics
import Files
import NN
import TensorCore

/// A parameter-efficient method: its options are the type's properties, and it makes one adapter for each linear
/// layer that it is attached to. One file each; see `AdapterCatalogue`. What only some methods do: see `MethodAbilities.swift`.
public protocol AdapterMethod: AdapterFormat, Record, Sendable {
  /// The name in Lua and on the command line: "lora".
  static var name: String { get }
  /// One line for help and stubs.
  static var summary: String { get }
  /// Largest difference between logits with a merged and an unmerged adapter that rounding explains, with the reason.
  static var mergeTolerance: Double { get }
  /// Name and merge tolerance of this instance: those of the type, unless one type stands for several methods.
  var name: String { get }
  var mergeTolerance: Double { get }

  /// Which modules the method attaches something to.
  var placement: AdapterPlacement { get }
  /// Whether a fresh adapter leaves what the model computes as it was.
  var freshEqualsBase: Bool { get }
  /// The adapter of one module of the placement; nil: it stays as it is.
  func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter?
}

/// Where a method attaches its adapters.
public enum AdapterPlacement {
  /// Linear layers, chosen by `target_modules`.
  case linear
  /// All modules of another kind outside the head; `target_modules` chooses nothing there.
  case hosts(AdapterHost.Type)
  /// Nowhere: the method only chooses what trains.
  case nowhere
}

/// A method that attaches adapters to linear layers.
public protocol LinearAdapterMethod: AdapterMethod {
  /// The adapter of one layer; nil: it stays as it is.
  func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)?
}

extension LinearAdapterMethod {
  public var placement: AdapterPlacement { .linear }
  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? {
    try (host as? Linear).flatMap { try makeAdapter(for: $0, at: site) }
  }
}

extension AdapterMethod {
  public static var mergeTolerance: Double { 1e-4 }
  public static var recordName: String { name + " options" }
  public var name: String { Self.name }
  public var mergeTolerance: Double { Self.mergeTolerance }
  public var placement: AdapterPlacement { .nowhere }
  public var freshEqualsBase: Bool { true }
  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? { nil }
}

/// A module that a method is attached to.
public struct AdapterSite {
  /// Dotted path of the module.
  public let path: String
  /// Its place among the modules that the method is attached to, from 0, and their number.
  public let index: Int
  public var count: Int { hosts.count }
  /// Those modules.
  public let hosts: [AdapterHost]
  /// Seeds the adapter's starting values, together with its parameters' names.
  public let seed: UInt64
  /// Where the model is, and so the adapter's parameters: on `meta`, nothing asks for their values.
  let device: Device
  /// The adapter that this one is built on, where the method names one.
  public let base: Adapter?
  /// What the layers of the adapter share.
  let shared: SharedParameters

  /// A parameter that all layers share: made by the first that asks for it. `trains`: whether it is trained. Throws where
  /// layers disagree about its shape.
  public func sharedParameter(_ name: String, _ shape: [Int], _ initialization: Initialization, trains: Bool) throws -> Tensor {
    let stream = RandomSource.stream(named: name)
    return try sharedParameter(name, shape, trains: trains) { try initialization.make(shape, RandomSource(seed: seed, stream: stream)) }
  }

  /// The same with other starting values.
  public func sharedParameter(_ name: String, _ shape: [Int], trains: Bool, _ make: () throws -> Tensor) throws -> Tensor {
    if let found = shared[name] {
      guard found.shape == shape else {
        throw EngineError(.argument, "'\(name)', which all layers share, has shape \(found.shape); layer '\(path)' needs \(shape)")
      }
      return found
    }
    let tensor = try device == .meta ? Tensor(uninitialized: shape, on: .meta) : make()
    shared.append(name, tensor, trains: trains)
    return tensor
  }

  /// A new parameter of the adapter with values that are computed, unless the model is on `meta`.
  public func parameter(_ name: String, _ shape: [Int], values: () throws -> Tensor) throws -> Tensor {
    try device == .meta ? Tensor(uninitialized: shape, on: .meta) : Autograd.noGrad { try values().copy() }
  }

  /// A new parameter of the adapter.
  public func parameter(_ name: String, _ shape: [Int], _ initialization: Initialization) throws -> Tensor {
    let stream = RandomSource.stream(named: path + "." + name)
    return try initialization.make(shape, RandomSource(seed: seed, stream: stream), on: device)
  }
}

/// Which modules an adapter changes; the words and rules are PEFT's.
public struct AdapterTargets: Sendable, Equatable {
  /// How linear layers are chosen.
  public enum Selection: Sendable, Equatable {
    /// A layer matches by its full path, or by a dotted suffix of it.
    case suffixes([String])
    /// A regular expression that must match the whole path.
    case pattern(String)
    /// Every linear layer outside the head.
    case allLinear
    /// Layers by what they are for; nil: those that are for nothing that families share. Methods choose so by default.
    case roles([Role?])
  }

  /// Which biases train.
  public enum Bias: String, Sendable, CaseIterable {
    case none
    case all
    /// Those of the target layers.
    case loraOnly = "lora_only"
  }

  /// nil: the architecture's default.
  public var targetModules: Selection?
  /// Suffixes of layers to leave out.
  public var excludeModules: [String] = []
  /// Suffixes of modules that train as they are and are saved with the adapter; nil: the classification head.
  public var modulesToSave: [String]?
  /// Only layers with these numbers in their path (0-based); nil: all.
  public var layersToTransform: [Int]?
  /// What the numbers of `layersToTransform` stand behind in a path ("layer"); empty: anything.
  public var layersPattern: [String] = []
  public var bias = Bias.none

  public init() {}
}

extension AdapterTargets: Record {
  public static let recordName = "adapter options"
  public static let fields: [Field<Self>] = [
    .value(
      "target_modules", \.targetModules,
      "linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or \"all-linear\"; default: PEFT's for the architecture",
      type: "string|string[]"),
    .value("exclude_modules", \.excludeModules, "suffixes of layers to leave out"),
    .value("modules_to_save", \.modulesToSave, "modules that train as they are and are saved with the adapter; default: the head"),
    .value("layers_to_transform", \.layersToTransform, "numbers of the layers to adapt, from 0; default: all"),
    .value(
      "layers_pattern", \.layersPattern, "what the numbers of layers_to_transform stand behind in a path, such as \"layer\"; default: anything"),
    .value("bias", \.bias, "which biases train"),
  ]
}

extension AdapterTargets.Bias: FieldChoice {}

extension AdapterTargets.Selection: FieldValue {
  public static var typeName: String { "string|string[]" }
  public static var expected: String { "a list of strings, a pattern, or \"all-linear\"" }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Self {
    if case .text(let text) = value { return text == "all-linear" ? .allLinear : .pattern(text) }
    guard case .table = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    return .suffixes(try [String].decode(value))
  }

  public static func decode(text: String) throws(ValueMismatch) -> Self {
    if text == "all-linear" { return .allLinear }
    let isList = text.utf8.allSatisfy {
      $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || Character(Unicode.Scalar($0)).isLetter
        || Character(Unicode.Scalar($0)).isNumber
    }
    return isList ? .suffixes(text.split(separator: ",").map(String.init)) : .pattern(text)
  }

  public var configValue: ConfigValue {
    switch self {
    case .allLinear, .roles: .text("all-linear")
    case .pattern(let text): .text(text)
    case .suffixes(let names): names.configValue
    }
  }
}

/// All methods; compiler, Lua API, stubs and the conformance tests see this list.
public enum AdapterCatalogue {
  public static let methods: [any AdapterMethod.Type] = [
    LoRA.self, DeLoRA.self, LoRAFA.self, LoRAFused.self, VeRA.self, LoRAMini.self, LoHa.self, LoKr.self, DeltaLoRA.self,
    AdaLoRA.self, DyLoRA.self, GLoRA.self, IA3.self, Houlsby.self, Pfeiffer.self, PrefixTuning.self, PromptTuning.self, PTuning.self,
    BitFit.self, SelectiveFineTuning.self, ClassifierOnly.self, FullFineTuning.self,
  ]

  /// The method of a name.
  public static func method(named name: String) throws -> any AdapterMethod.Type {
    if let found = methods.first(where: { $0.name == name }) { return found }
    throw EngineError(.argument, "unknown adapter method '\(name)'", hint: suggestion(for: name, among: methods.map { $0.name }))
  }
}
