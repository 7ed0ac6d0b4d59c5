/// Hyper-parameters of one training stage.
///
/// All stages use AdamW (betas 0.9 and 0.999, epsilon 1e-8), a linear schedule to 0, gradient norms
/// clipped to 1 and no dropout.
public struct StageRecipe: Equatable, Sendable {
  /// Optimizer steps.
  public let steps: Int
  /// Sequences per step.
  public let batchSize: Int
  /// Peak learning rate.
  public let learningRate: Double
  public let weightDecay: Double
  /// Share of the steps in which the learning rate rises from 0, 0 to 1.
  public let warmupRatio: Double
}

/// The sizes and settings with which the built-in data is meant to be used.
public struct BuiltInRecipe: Equatable, Sendable {
  /// Upper limit of the tokenizer's vocabulary. The byte-level BPE stops earlier, at about 420, when
  /// every word of the corpus is one token.
  public let vocabularySize = 512
  /// Share of the tokens that the masked-language objective hides. More than RoBERTa's 0.15, because a
  /// short training then sees more targets; 80 % become `<mask>`, 10 % a random token, 10 % stay.
  public let maskedShare = 0.25
  /// All parameters, on ``BuiltIn/corpus(seed:count:)``.
  public let pretraining = StageRecipe(
    steps: 1_600, batchSize: 64, learningRate: 3e-3, weightDecay: 0.01, warmupRatio: 0.06)
  /// LoRA on query and value plus a new head, base frozen, on ``BuiltIn/mnli(seed:train:dev:)``.
  public let mnli = StageRecipe(
    steps: 800, batchSize: 32, learningRate: 5e-3, weightDecay: 0.01, warmupRatio: 0.06)
  /// A new head, with or without DeLoRA inside the frozen LoRA, on ``BuiltIn/rte(seed:train:dev:)``.
  public let rte = StageRecipe(
    steps: 500, batchSize: 32, learningRate: 5e-3, weightDecay: 0.01, warmupRatio: 0.06)
  /// LoRA's rank and scaling numerator; the update is scaled by `loraAlpha / loraRank`.
  public let loraRank = 8
  public let loraAlpha = 16
}

extension BuiltIn {
  /// What the tiny model and the tasks were tuned with.
  public static let recipe = BuiltInRecipe()

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
