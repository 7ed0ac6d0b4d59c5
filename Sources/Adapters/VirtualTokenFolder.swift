import Checkpoints

/// PEFT's folders of methods with virtual tokens: one tensor for all of them, and a model's own modules one word less deep.
enum VirtualTokenFolder {
  static let tensor = "prompt_embeddings"

  static let keysUnknownToPEFT = ["target_modules", "bias", "fan_in_fan_out"]
  /// Sizes that the model has and the tensors' shapes prove.
  static let informativeKeys = ["num_layers", "token_dim", "num_attention_heads", "num_transformer_submodules", "encoder_hidden_size"]

  /// How many parts the table has: two where PEFT made it for a model with an encoder.
  static func parts(_ config: HuggingFaceConfig) throws -> Int {
    config["num_transformer_submodules"] == nil ? 1 : try config.int("num_transformer_submodules", in: 1...2)
  }

  static func name(of name: String) -> String { name == tensor ? name : "base_model." + name }
}
