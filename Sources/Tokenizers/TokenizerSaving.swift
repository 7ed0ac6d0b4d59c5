import Diagnostics
import Foundation

extension Tokenizer {
  /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, from which
  /// Hugging Face's libraries and `load` give the same ids.
  ///
  /// - Parameter folder: made if it is missing.
  /// - Throws: `EngineError` if a file cannot be written; files are replaced whole or not at all.
  public func save(to folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw EngineError(.file, "\(folder): cannot be made: \(error.localizedDescription)")
    }
    var roles = [JSONMember]()
    for role in SpecialTokens.Role.allCases {
      if let token = specialTokens[role] { roles.append(JSONMember(role.rawValue, .string(token))) }
    }
    var configuration = definition.configuration
    func setMissing(_ member: JSONMember) {
      if !configuration.contains(where: { $0.key == member.key }) { configuration.append(member) }
    }
    roles.forEach(setMissing)
    if let modelMaxLength { setMissing(JSONMember("model_max_length", .int(modelMaxLength))) }
    setMissing(JSONMember("tokenizer_class", .string("PreTrainedTokenizerFast")))
    try write(definition.json, to: folder + "/tokenizer.json")
    try write(.object(configuration), to: folder + "/tokenizer_config.json")
    try write(.object(roles), to: folder + "/special_tokens_map.json")
  }

  /// What the tokenizer does, as text: tokenizers of equal identities give equal ids.
  public func identity() throws -> String {
    String(decoding: definition.json.serialized(indented: false), as: UTF8.self)
  }

  private func write(_ json: JSONValue, to path: String) throws {
    do {
      try json.serialized(indented: true).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw EngineError(.file, "\(path): cannot be written: \(error.localizedDescription)")
    }
  }
}
