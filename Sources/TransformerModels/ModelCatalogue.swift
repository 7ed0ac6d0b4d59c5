import Checkpoints
import Diagnostics

/// The model families.
public enum ModelCatalogue {
  public static let architectures: [any ModelFamily.Type] = [
    BERT.self,
    RoBERTa.self,
    GPT2.self,
    Llama.self, Mistral.self, Qwen2.self, Qwen3.self,
    BART.self,
    T5.self,
  ]

  /// What Transformers calls a model with a classification head, behind the family's name.
  public static let sequenceClass = "ForSequenceClassification"

  /// The family of a `config.json`.
  public static func architecture(of config: HuggingFaceConfig) throws -> any ModelFamily.Type {
    let name = try config.string("model_type")
    if let found = architectures.first(where: { $0.modelType == name }) { return found }
    let supported = architectures.map { $0.modelType }
    let hint = others[name].map { "\($0); supported are \(supported.joined(separator: ", "))" } ?? suggestion(for: name, among: supported)
    throw EngineError(.data, "\(config.path): model_type '\(name)' is not supported", hint: hint)
  }

  /// Families whose names or layouts are near to those above, and why their folders are no such model.
  private static let others: [String: String] = [
    "albert": "ALBERT's layers share one set of weights, BERT's do not", "distilbert": "DistilBERT's layers and names are not BERT's",
    "electra": "ELECTRA has embeddings of another size than its layers", "deberta": "DeBERTa's attention is by relative positions",
    "deberta-v2": "DeBERTa's attention is by relative positions", "modernbert": "ModernBERT has rotary positions and gated layers",
    "xlm-roberta": "its layers are RoBERTa's, but its tokenizer (SentencePiece) is not read here",
    "camembert": "its layers are RoBERTa's, but its tokenizer (SentencePiece) is not read here",
    "mobilebert": "MobileBERT has bottlenecks between its layers", "mpnet": "MPNet's attention is by relative positions",
    "roformer": "RoFormer has rotary positions", "nomic_bert": "it has rotary positions and gated layers", "big_bird": "its attention is sparse",
    "longformer": "its attention is sparse",
  ]
}
