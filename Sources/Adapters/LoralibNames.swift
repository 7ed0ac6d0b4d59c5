import TensorCore

/// The names in checkpoints of the LoRA authors' code (microsoft/LoRA, `examples/NLU` and `examples/NLG`), which save a model's LoRA
/// factors and head: `roberta.encoder.layer.0.attention.self.query.lora_A`, `classifier.dense.weight`.
///
/// Shapes are those of PEFT: A [r, in], B [out, r]. The numerator of the scale is not in the file; the authors' scripts for
/// RoBERTa-base have `lora_alpha` 16 with r = 8. Their GPT-2 adapts queries and values of `c_attn`, with A of [2 r, in] and B of
/// [2 d, r]: as PEFT's LoRA its rank is 2 r, and `lora_alpha` is twice theirs.
public enum LoralibNames {
  private static let factors = [".lora_A", ".lora_B"]

  /// Whether a name is one that their code gives to a factor.
  public static func isOwn(_ name: String) -> Bool { factors.contains { name.hasSuffix($0) } }

  /// PEFT's name for the same tensor: `base_model.model.roberta.encoder.layer.0.attention.self.query.lora_A.weight`.
  public static func peft(_ name: String) -> String { AdapterFolder.prefix + name + (isOwn(name) ? ".weight" : "") }

  /// A tensor in the shape that the equal LoRA has: a B of queries and values, with zeros elsewhere; any other as it is.
  static func whole(_ tensor: Tensor, _ name: String, shape: [Int]) throws -> Tensor {
    guard name.hasSuffix(".lora_B.weight"), tensor.rank == 2, tensor.rows % 2 == 0, [tensor.rows / 2 * 3, tensor.columns * 2] == shape else {
      return tensor
    }
    return try Autograd.noGrad { try LoRAFusedAdapter.whole(tensor, places: [0, 2]) }
  }
}
