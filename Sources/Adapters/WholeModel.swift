import Checkpoints
import Diagnostics
import NN

/// Trains the head and nothing else: the baseline that every adapter is compared with.
public struct ClassifierOnly: AdapterMethod {
  public static let name = "classifier"
  public static let summary = "Trains only the head (modules_to_save)."
  public static let fields: [Field<Self>] = []
  public init() {}
  public var configuration: [(key: String, value: ConfigurationValue)] { [] }
  public static func saved(in config: HuggingFaceConfig) throws -> ClassifierOnly { ClassifierOnly() }
}

/// Trains every parameter.
public struct FullFineTuning: AdapterMethod {
  public static let name = "full"
  public static let summary = "Trains every parameter of the model."
  public static let fields: [Field<Self>] = []
  public init() {}
  public var trainsBase: Bool { true }
  public static var peftType: String? { nil }
  public var configuration: [(key: String, value: ConfigurationValue)] { [] }
}
