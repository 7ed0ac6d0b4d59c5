import Diagnostics
import Files
import Foundation

extension Tokenizer {
  /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, from which
  /// Hugging Face's libraries and `load` give the same ids, and the chat templates.
  ///
  /// - Parameter folder: made if it is missing.
  /// - Throws: `EngineError` if a file cannot be written; files are replaced whole or not at all.
  public func save(to folder: String) throws {
    try createFolder(folder)
    var roles = JSONObject()
    for role in SpecialTokens.Role.allCases {
      guard let token = specialTokens[role] else { continue }
      // A word of the vocabulary that merely looks like a special token must not become one.
      let isSpecial = definition.specialTokens[role] != nil || definition.addedTokens.contains { $0.content == token }
      if isSpecial { roles[role.rawValue] = .string(token) }
    }
    var configuration = definition.configuration
    func setMissing(_ key: String, _ value: JSONValue) { configuration[key] = configuration[key] ?? value }
    roles.members.forEach(setMissing)
    if let modelMaxLength { setMissing("model_max_length", .int(modelMaxLength)) }
    setMissing("tokenizer_class", "PreTrainedTokenizerFast")
    try AtomicFile.write(definition.json.encoded(.indented) + "\n", to: folder + "/tokenizer.json")
    try AtomicFile.write(JSONValue.object(configuration).encoded(.indented) + "\n", to: folder + "/tokenizer_config.json")
    try chatTemplates.save(to: folder)
    try AtomicFile.write(JSONValue.object(roles).encoded(.indented) + "\n", to: folder + "/special_tokens_map.json")
  }
}
