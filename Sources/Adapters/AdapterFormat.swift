import Checkpoints
import Diagnostics
import Files

/// How a method's adapters lie in a folder: PEFT's format where PEFT has the method. The defaults are right for a method whose
/// folder holds its parameters under their own names, and its options as its fields say.
public protocol AdapterFormat {
  /// `peft_type` of the method's folders: PEFT's word where PEFT has the method, else a name of our own that PEFT
  /// refuses. Nil: the method changes the base model, and there is no adapter to save.
  static var peftType: String? { get }
  /// All `peft_type`s that the method reads, and the one that this instance writes.
  static var peftTypes: [String] { get }
  var peftType: String? { get }

  /// The options and their values as a script would give them, in the words of a saved configuration.
  var options: JSONObject { get }
  /// Keys of the folder's configuration beside the options: those that `adopt` reads, and those that say nothing about a
  /// trained adapter's mathematics.
  static var otherKeys: [String] { get }
  /// Keys of every folder's configuration that PEFT's type does not have; they are left out where they say nothing.
  static var keysUnknownToPEFT: [String] { get }
  /// The value of an option that a folder's value stands for, where PEFT has another word.
  static func meaning(of value: JSONValue, for option: String) -> JSONValue
  /// Takes what a folder says beside the options. Throws `EngineError` naming file and key.
  mutating func adopt(_ config: HuggingFaceConfig) throws
  /// Adds what an attached adapter's folder says beside the options, or in place of them.
  func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter)

  /// PEFT's word for biases of the target layers alone.
  static var onlyTargetBiases: String { get }
  /// The name that the folder's file has for a parameter, or for a tensor of a `SavesResult`, given by its path.
  static func folderName(of name: String) -> String
}

extension AdapterFormat where Self: AdapterMethod {
  public var peftType: String? { Self.peftType }
  public static var peftType: String? { "PERIGEE_" + name.uppercased() }
  public static var keysUnknownToPEFT: [String] { [] }
  public static var otherKeys: [String] { [] }
  public static func meaning(of value: JSONValue, for option: String) -> JSONValue { value }
  public mutating func adopt(_ config: HuggingFaceConfig) throws {}
  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {}
  public static var onlyTargetBiases: String { AdapterTargets.Bias.loraOnly.rawValue }
  public static func folderName(of name: String) -> String { AdapterFolder.prefix + name }
  public static var peftTypes: [String] { peftType.map { [$0] } ?? [] }
}

extension AdapterMethod {
  public var options: JSONObject { options { _ in true } }

  /// The options that are saved in one of a folder's files.
  func options(in place: SavedPlace) -> JSONObject { options { $0 == place } }

  private func options(where isWanted: (SavedPlace) -> Bool) -> JSONObject {
    JSONObject(
      Self.fields.compactMap { field in
        let value = field.readSaved(self).json
        return isWanted(field.place) && value != .null ? (field.name, value.plain) : nil
      })
  }

  /// The names of the options that are saved in one of a folder's files.
  static func optionNames(in place: SavedPlace) -> [String] { fields.filter { $0.place == place }.map(\.name) }

  /// The method with the options of an `adapter_config.json`, checked as a script's. Throws `EngineError` naming file and key.
  public init(saved config: HuggingFaceConfig) throws {
    self.init()
    for field in Self.fields where field.place != .nowhere {
      let value = Self.meaning(of: config[field.name] ?? .null, for: field.name)
      guard value != .null else {
        if field.mayLack || config[field.name] != nil { continue }
        throw config.missing(field.name, ([field.typeName] + (field.rangeWords.map { [$0] } ?? [])).joined(separator: " "))
      }
      do throws(EngineError) { try field.set(value.configValue, in: &self) } catch {
        throw Self.mistake(error, in: config.file(of: field.name))
      }
    }
    try adopt(config)
    do throws(EngineError) { try validate() } catch { throw Self.mistake(error, in: config.path) }
  }
}
