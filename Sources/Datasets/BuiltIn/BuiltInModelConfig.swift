extension BuiltIn {
  /// Upper limit of the tokenizer's vocabulary. The byte-level BPE stops earlier, at about 420, when every word of the
  /// corpus is one token.
  public static let vocabularySize = 512

  /// Fields of a RoBERTa `config.json` for the tiny model: 3 layers of width 64, about 186,000 parameters.
  ///
  /// The weights start wider than RoBERTa's 0.02: at width 64 that would leave the attention scores so
  /// close to zero that learning to attend takes several times the steps.
  ///
  /// - Parameter vocabSize: number of tokens of the tokenizer, special tokens included.
  public static func modelConfig(vocabSize: Int) -> [String: any Sendable] {
    [
      "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": vocabSize,
      "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256,
      "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
      // Positions count from pad_token_id + 1: 128 tokens, the usual max_length.
      "max_position_embeddings": 130, "type_vocab_size": 1, "initializer_range": 0.1,
      "layer_norm_eps": 1e-5, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
    ]
  }
}
