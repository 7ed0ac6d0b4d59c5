import Checkpoints
import Diagnostics
import Files
import TensorCore

/// How a method's adapters lie in a folder: PEFT's format where PEFT has the method. The defaults are right for a method whose
/// folder holds its parameters under their own names, and its options.
public protocol AdapterFormat {
  /// `peft_type` of the method's folders: PEFT's word where PEFT has the method, else a name of our own that PEFT
  /// refuses. Nil: the method changes the base model, and there is no adapter to save.
  static var peftType: String? { get }
  /// All `peft_type`s that the method reads, and the one that this instance writes.
  static var peftTypes: [String] { get }
  var peftType: String? { get }

  /// The options in the words of the saved configuration.
  var configuration: [(key: String, value: ConfigurationValue)] { get }
  /// The same for an attached adapter's folder, where that takes more than the options, or less.
  func configuration(of attached: AttachedAdapter) throws -> [(key: String, value: ConfigurationValue)]
  /// Options that PEFT has no words for, where the folder's type is PEFT's: they are saved beside its configuration.
  var ownConfiguration: [(key: String, value: ConfigurationValue)] { get }
  /// Keys of PEFT's type that say nothing about a trained adapter's mathematics.
  static var informativeKeys: [String] { get }
  /// Keys of every folder's configuration that PEFT's type does not have; they are left out where they say nothing.
  static var keysUnknownToPEFT: [String] { get }
  /// The method with the options of an `adapter_config.json`. Throws `EngineError` naming file and key.
  static func saved(in config: HuggingFaceConfig) throws -> Self

  /// The name that the folder's file has for a parameter, or a tensor of `folderTensors`, given by its path.
  static func folderName(of name: String) -> String
  /// Whether folders leave out an adapter's parameter, by its path, because it follows from the options and the base model.
  func omits(_ parameter: String) -> Bool
  /// Whether a tensor of a folder says nothing.
  func ignores(_ tensor: String) -> Bool
  /// What the folder has in place of the adapter's own parameters, by name: what they amount to. nil: the parameters.
  func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)]?
  /// Whether the folder has all that the parameters are, so that training can go on from it.
  var savesParameters: Bool { get }
  /// Gives the adapter's parameters the values of such tensors, whose shapes are those of `folderTensors`.
  func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws
  /// Called when the values of a folder are in the adapter.
  func didLoad(_ attached: AttachedAdapter) throws
}

extension AdapterFormat where Self: AdapterMethod {
  public var peftType: String? { Self.peftType }
  public var ownConfiguration: [(key: String, value: ConfigurationValue)] { [] }
  public func omits(_ parameter: String) -> Bool { false }
  public func configuration(of attached: AttachedAdapter) throws -> [(key: String, value: ConfigurationValue)] { configuration }
  public static var peftType: String? { "PERIGEE_" + name.uppercased() }
  public static var keysUnknownToPEFT: [String] { [] }
  public static var informativeKeys: [String] { [] }
  public static func folderName(of name: String) -> String { AdapterFolder.prefix + name }
  public func folderTensors(of attached: AttachedAdapter) throws -> [(name: String, tensor: Tensor)]? { nil }
  public var savesParameters: Bool { true }
  public func take(_ tensors: [(name: String, tensor: Tensor)], into attached: AttachedAdapter) throws {}
  public static func saved(in config: HuggingFaceConfig) throws -> Self {
    throw EngineError(.data, "\(config.path): adapters of method '\(name)' cannot be read from a folder")
  }
  public static var peftTypes: [String] { peftType.map { [$0] } ?? [] }
  public func ignores(_ tensor: String) -> Bool { false }
  public func didLoad(_ attached: AttachedAdapter) throws {}
}

/// A value of a saved adapter configuration.
public enum ConfigurationValue: Sendable, Equatable {
  case int(Int)
  case number(Double)
  case bool(Bool)
  case string(String)
  case json(JSONValue)

  /// A list of texts.
  public static func strings(_ values: [String]) -> ConfigurationValue { .json(.array(values.map { .string($0) })) }

  /// The value as JSON; whole numbers are written without a fraction, as people write them.
  public var json: JSONValue {
    switch self {
    case .int(let value): .int(value)
    case .number(let value): Int(exactly: value).map { .int($0) } ?? .double(value)
    case .bool(let value): .bool(value)
    case .string(let value): .string(value)
    case .json(let value): value
    }
  }
}
