import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// The names in checkpoints of the LoRA authors' code (microsoft/LoRA, `examples/NLU` and `examples/NLG`), which save a model's LoRA
/// factors and head: `roberta.encoder.layer.0.attention.self.query.lora_A`, `classifier.dense.weight`.
///
/// Shapes are those of PEFT: A [r, in], B [out, r]. The numerator of the scale is not in the file; the authors' scripts for
/// RoBERTa-base have `lora_alpha` 16 with r = 8. Their GPT-2 adapts queries and values of `c_attn`, with A of [2 r, in] and B of
/// [2 d, r]: as PEFT's LoRA its rank is 2 r, and `lora_alpha` is twice theirs.
public enum LoralibNames {
  private static let factors = [".lora_A", ".lora_B"]
  /// The file that `exportAsLoralib` writes into a folder.
  public static let fileName = "lora.safetensors"

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

extension AttachedAdapter {
  /// Writes the factors, and what else an adapter's folder holds, under the names of the LoRA authors' code. Of a fused layer whose parts
  /// are adapted, the factors are those of their `MergedLinear`.
  ///
  /// - Returns: which r and lora_alpha the layers have to be made with. Where these differ between layers, B has the scale, and
  ///   lora_alpha is each layer's r.
  /// - Throws: `EngineError` for a method whose updates are no products of two factors, and for an adapted head.
  public func exportAsLoralib(to folder: String) throws -> String {
    let updates = try lowRankUpdates(folder)
    if let head = updates.first(where: { isInHead($0.path) }) {
      throw EngineError(
        .argument, "\(folder): '\(head.path)' of the head is adapted, for which the LoRA authors' code has no name", hint: "take --to peft")
    }
    let layers = try updates.map { path, _, update in
      let fused = update as? LoRAFusedAdapter
      let (a, b) = try fused.map { ($0.a, $0.b) } ?? update.exportFactors()
      return (path: path, a: a, b: b, r: b.columns, scaling: update.scaling)
    }
    let isUniform = layers.allSatisfy { ($0.r, $0.scaling) == (layers[0].r, layers[0].scaling) }
    let state = try Autograd.noGrad {
      try layers.flatMap { path, a, b, _, scaling in
        [(name: path + ".lora_A", tensor: a), (path + ".lora_B", isUniform || scaling == 1 ? b : try b.mul(scaling))]
      }
    }
    let alpha = Double(layers[0].r) * layers[0].scaling
    let scales =
      isUniform ? "r=\(layers[0].r), lora_alpha=\(JSONValue.double(alpha).plain.encoded(.line))" : "lora_alpha=r, which differs between layers"
    let rest = try remainingState()
    if let bad = (state + rest).first(where: { $0.tensor.firstNonFinite != nil }) {
      throw EngineError(.notFinite, "\(folder): '\(bad.name)' has a value that is not finite")
    }
    try AtomicFolder.write(to: folder) { temporary in
      try SafetensorsFile.write(
        tensors: state + rest, metadata: ["format": "pt", "scales": scales], to: temporary + "/" + LoralibNames.fileName)
    }
    return scales
  }
}
