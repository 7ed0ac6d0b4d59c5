import Checkpoints
import Diagnostics
import Files

/// What a model folder of sentence-transformers says about its vectors.
struct SentenceTransformersFolder {
  private(set) var pooling = Pooling.mean
  /// Whether vectors are divided by their length.
  private(set) var isNormalized = false
  /// Tokens of a text; nil: what the model takes.
  private(set) var maxLength: Int?

  /// nil for a folder that is none of sentence-transformers'.
  ///
  /// - Throws: `EngineError` (`.data`) for one that does more to a text than its pooling and a division by the length.
  init?(_ folder: String) throws {
    let path = folder + "/modules.json"
    guard fileExists(path) else { return nil }
    for module in try JSONValue(file: path).arrayValue ?? [] {
      let type = module["type"]?.stringValue?.split(separator: ".").last.map(String.init) ?? "?"
      switch type {
      case "Transformer": break
      case "Normalize": isNormalized = true
      case "Pooling": pooling = try Self.pooling(of: HuggingFaceConfig(path: "\(folder)/\(module["path"]?.stringValue ?? "")/config.json"))
      default: throw Self.unsupported("\(path): its vectors go through a module '\(type)'")
      }
    }
    let text = folder + "/sentence_bert_config.json"
    if fileExists(text) {
      let config = try HuggingFaceConfig(path: text)
      maxLength = config["max_seq_length"]?.intValue
      if config["do_lower_case"] == .bool(true) { throw Self.unsupported("\(text): texts are written in small letters first") }
    }
    let prompts = folder + "/config_sentence_transformers.json"
    if fileExists(prompts), let name = try HuggingFaceConfig(path: prompts)["default_prompt_name"]?.stringValue {
      throw Self.unsupported("\(prompts): the prompt '\(name)' comes in front of each text")
    }
  }

  /// The one way of pooling that a configuration has switched on; older ones have a switch for each.
  private static func pooling(of config: HuggingFaceConfig) throws -> Pooling {
    let switches = ["cls_token": "cls", "mean_tokens": "mean", "lasttoken": "lasttoken"]
    let names =
      config["pooling_mode"]?.stringValue.map { [$0] }
      ?? config.values.members.filter { $0.0.hasPrefix("pooling_mode_") && $0.1 == .bool(true) }.map { key, _ in
        let name = String(key.dropFirst("pooling_mode_".count))
        return switches[name] ?? name
      }
    guard names.count == 1, let pooling = Pooling(rawValue: names[0]) else {
      throw unsupported("\(config.path): pooling is \(names.joined(separator: " and "))")
    }
    return pooling
  }

  private static func unsupported(_ message: String) -> EngineError {
    EngineError(.data, message + ", which is not done here", hint: "say what is wanted: pooling = mean, cls or lasttoken")
  }
}
