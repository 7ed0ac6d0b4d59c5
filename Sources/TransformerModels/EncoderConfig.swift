import Checkpoints
import Diagnostics
import TensorCore

/// The architecture of a BERT-like encoder, from the keys of its `config.json`.
public struct EncoderConfig: Sendable {
  public var vocabSize: Int
  public var hiddenSize: Int
  public var numHiddenLayers: Int
  public var numAttentionHeads: Int
  public var intermediateSize: Int
  public var hiddenAct: UnaryOperation
  public var hiddenDropoutProb: Double
  public var attentionProbsDropoutProb: Double
  /// Dropout in the classification head; `hiddenDropoutProb` where the config has none.
  public var classifierDropout: Double
  public var maxPositionEmbeddings: Int
  public var typeVocabSize: Int
  public var layerNormEps: Double
  public var initializerRange: Double
  /// Position of a sequence's first token in the table: 0 in BERT, `pad_token_id + 1` in RoBERTa.
  public var firstPosition: Int

  /// Throws `EngineError` naming the key that is missing or wrong.
  public init(_ config: HuggingFaceConfig, firstPosition: Int) throws {
    vocabSize = try config.int("vocab_size", in: 1...10_000_000)
    hiddenSize = try config.int("hidden_size", in: 1...65_536)
    numHiddenLayers = try config.int("num_hidden_layers", in: 1...1_000)
    numAttentionHeads = try config.int("num_attention_heads", in: 1...65_536)
    intermediateSize = try config.int("intermediate_size", in: 1...1_000_000)
    hiddenDropoutProb = try config.double("hidden_dropout_prob", in: 0..<1, default: 0.1)
    attentionProbsDropoutProb = try config.double("attention_probs_dropout_prob", in: 0..<1, default: 0.1)
    classifierDropout = try config.double("classifier_dropout", in: 0..<1, default: hiddenDropoutProb)
    maxPositionEmbeddings = try config.int("max_position_embeddings", in: 1...10_000_000, default: 512)
    typeVocabSize = try config.int("type_vocab_size", in: 1...1_000, default: 2)
    layerNormEps = try config.double("layer_norm_eps", in: 0...1, default: 1e-12)
    initializerRange = try config.double("initializer_range", in: 0...100, default: 0.02)
    self.firstPosition = firstPosition
    let activations = ["gelu": UnaryOperation.gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh, "relu": .relu,
      "silu": .silu, "swish": .silu, "tanh": .tanh]
    let name = try config.string("hidden_act", among: activations.keys.sorted(), default: "gelu")
    hiddenAct = activations[name] ?? .gelu
    guard hiddenSize % numAttentionHeads == 0 else {
      throw EngineError(
        .data, "\(config.path): hidden_size \(hiddenSize) is not divisible by num_attention_heads \(numAttentionHeads)")
    }
    let kind = try config.string("position_embedding_type", default: "absolute")
    guard kind == "absolute" else {
      throw EngineError(.data, "\(config.path): position_embedding_type '\(kind)' is not supported, expected 'absolute'")
    }
    for key in ["is_decoder", "add_cross_attention"] where try config.bool(key, default: false) {
      throw EngineError(.data, "\(config.path): \(key) is true: only the encoders of this family are supported")
    }
    guard firstPosition < maxPositionEmbeddings else {
      throw EngineError(.data, "\(config.path): max_position_embeddings \(maxPositionEmbeddings) leaves no position for a token")
    }
  }

  /// The longest sequence that the position table can hold.
  public var maxLength: Int { maxPositionEmbeddings - firstPosition }
}
