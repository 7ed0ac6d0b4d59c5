import Adapters
import Checkpoints
import Diagnostics
import Engine
import Files
import Foundation
import Tokenizers
import TransformerModels

/// The model that a benchmark runs: one from a folder, or random weights for a configuration.
public enum BenchmarkModel {
  /// RoBERTa-base with random weights, for machines without the model.
  public static let randomRoBERTaBase = "random:roberta-base"

  private static let robertaBase: JSONObject = [
    "model_type": "roberta", "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "initializer_range": 0.02,
    "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
  ]

  /// Where a model's configuration is, and whether weights are with it.
  private enum Source {
    case folder
    case configuration(HuggingFaceConfig)
  }

  private static func source(of name: String) throws -> Source {
    if name == randomRoBERTaBase { return .configuration(HuggingFaceConfig(robertaBase, path: name)) }
    if name.hasPrefix("random:") {
      throw EngineError(
        .argument, "--model \(name): no such model", hint: "expected \(randomRoBERTaBase), builtin:tiny, a folder, a config.json, or a hub name")
    }
    if name.hasPrefix("builtin:") { return .configuration(try BuiltInModel.parts(name).config) }
    if name.hasSuffix(".json") { return .configuration(try HuggingFaceConfig(path: name)) }
    let folder = try ModelLocation.folder(of: name)
    let files = (try? AtomicFolder.names(in: folder)) ?? []
    let hasWeights = files.contains { $0.hasSuffix(".safetensors") || $0.hasSuffix(".bin") }
    return hasWeights ? .folder : .configuration(try HuggingFaceConfig(folder: folder))
  }

  /// The configuration of a model, without its weights.
  static func config(of name: String, dropout: Double?) throws -> HuggingFaceConfig {
    switch try source(of: name) {
    case .configuration(let config): config.changed(changes(dropout))
    case .folder: try HuggingFaceConfig(folder: ModelLocation.folder(of: name)).changed(changes(dropout))
    }
  }

  /// The base model of a folder, a `config.json`, a hub name, `random:roberta-base` or `builtin:tiny`.
  ///
  /// - Parameters:
  ///   - dropout: takes the place of the configuration's probabilities.
  ///   - seed: of random weights.
  static func base(_ name: String, dropout: Double?, seed: UInt64) throws -> PretrainedModel {
    switch try source(of: name) {
    case .folder: try PretrainedModel(name: name, changes: changes(dropout))
    case .configuration(let config):
      try PretrainedModel(config: config.changed(changes(dropout)), name: name, seed: seed)
    }
  }

  private static func changes(_ dropout: Double?) -> JSONObject {
    guard let dropout else { return [:] }
    let names = ["hidden_dropout_prob", "attention_probs_dropout_prob", "embd_pdrop", "attn_pdrop", "resid_pdrop"]
    return JSONObject(names.map { ($0, .double(dropout)) })
  }

  /// What trains, where nothing does.
  static let noAdapter = "none"

  /// The method of `--adapter` with its options; nil for "none".
  static func adapter(_ name: String, settings: [String]) throws -> AdapterSettings? {
    let names = AdapterCatalogue.methods.map { $0.name } + [noAdapter]
    guard names.contains(name) else {
      throw EngineError(.argument, "--adapter \(name): no such method", hint: suggestion(for: name, among: names))
    }
    guard name == noAdapter else { return try AdapterSettings(adapter: name, settings: settings) }
    if let first = settings.first {
      throw EngineError(.argument, "--set \(first): --adapter \(noAdapter) has no options")
    }
    return nil
  }
}
