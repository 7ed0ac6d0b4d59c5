import Checkpoints
import Diagnostics
import Files
import TransformerModels

/// What a model's files say about writing: their tokens count where options name none, and nothing else in them does.
extension TransformerModel {
  /// The tokens that a key names, alone or in a list. `generation_config.json` is asked first; where there is one, it alone says what is
  /// forced and what is suppressed.
  func namedTokens(_ key: String) throws -> [Int32] {
    guard let source = source(of: key), let value = source[key] else { return [] }
    let tokens = (value.arrayValue ?? [value]).map { $0.intValue.flatMap { Int32(exactly: $0) } ?? -1 }
    guard tokens.allSatisfy({ $0 >= 0 }) else {
      throw EngineError(.data, "\(source.path): '\(key)' must be a token's number, or a list of them, got \(value.excerpt())")
    }
    return tokens
  }

  private func source(of key: String) -> HuggingFaceConfig? {
    guard let generationConfig else { return config }
    return key.hasPrefix("forced_") || Self.isSuppression(key) || generationConfig[key] != nil ? generationConfig : config
  }

  private static func isSuppression(_ key: String) -> Bool { key.hasSuffix("suppress_tokens") }

  /// Where `generation_config.json` names other tokens than `config.json`: a part of what the model is.
  public var generationTokens: JSONObject {
    let keys = ["eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"]
    return JSONObject(keys.filter { source(of: $0)?[$0] != config[$0] }.map { ($0, source(of: $0)?[$0] ?? .null) })
  }

  /// A line about what the files say of how texts are written, where the options say something else; nil: nothing. Transformers
  /// would do as the files say.
  public func remark(on options: GenerationOptions) -> String? {
    let source = generationConfig ?? config
    let others = source.values.members.filter { key, value in
      guard let field = GenerationOptions.fields.first(where: { $0.name == key }) else {
        return generationConfig != nil && Self.changesTexts(key, value)
      }
      var asFiles = options
      let isRead: Void? = try? field.set(value.configValue, in: &asFiles)
      return value != .null && !key.hasSuffix("_token_id") && !Self.isSuppression(key)
        && (isRead == nil || field.read(asFiles).json != field.read(options).json)
    }
    guard !others.isEmpty else { return nil }
    let words = others.map { "\($0) = \($1.encoded(.line))" }.joined(separator: ", ")
    return "\(source.path) also says \(words): of such a file, its tokens alone count; give the others as options"
  }

  private static func changesTexts(_ key: String, _ value: JSONValue) -> Bool {
    value != .null && !key.hasPrefix("_") && !key.hasPrefix("output_") && !key.hasPrefix("return_") && !key.hasSuffix("_token_id")
      && key != "transformers_version"
  }
}
