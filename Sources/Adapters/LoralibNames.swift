/// The names in checkpoints of the LoRA authors' code (microsoft/LoRA, `examples/NLU`), which save a model's LoRA factors and
/// head: `roberta.encoder.layer.0.attention.self.query.lora_A`, `classifier.dense.weight`.
///
/// Shapes are those of PEFT: A [r, in], B [out, r]. The numerator of the scale is not in the file; the authors' scripts for
/// RoBERTa-base have `lora_alpha` 16 with r = 8.
public enum LoralibNames {
  private static let factors = [".lora_A", ".lora_B"]

  /// Whether a name is one that their code gives to a factor.
  public static func isOwn(_ name: String) -> Bool { factors.contains { name.hasSuffix($0) } }

  /// PEFT's name for the same tensor: `base_model.model.roberta.encoder.layer.0.attention.self.query.lora_A.weight`.
  public static func peft(_ name: String) -> String { AdapterFolder.prefix + name + (isOwn(name) ? ".weight" : "") }
}
