import Diagnostics
import NN
import Optimizers
import TensorCore

/// LoRA+: the parameters of LoRA's second factor take larger steps than those of the first.
///
/// | Group | Members | Step size | Decays |
/// |---|---|---|---|
/// | A | all other matrices: `lora_A`, matrices of the head | `lr` | yes |
/// | embedding | adapters of embeddings | `embedding` | yes |
/// | B | `lora_B`, and vectors that are no biases and no norms | `ratio lr` | yes |
/// | B without decay | biases and norms | `ratio lr` | no |
///
/// As PEFT's `create_loraplus_optimizer`. Paper: Hayou et al. 2024, arXiv 2402.12354.
struct LoRAPlus {
  /// At least 1.
  let ratio: Double
  let embedding: Double

  /// nil where the arguments do not ask for it.
  init?(_ arguments: TrainingArguments) {
    guard let ratio = arguments.loraplusLRRatio else { return nil }
    self.ratio = ratio
    embedding = arguments.loraplusLREmbedding ?? 1e-6
  }

  /// The optimizer's groups, empty ones left out.
  ///
  /// - Parameters:
  ///   - norms: the parameters of norms, which do not decay.
  ///   - learningRate: of group A, the one that `Optimizer.step` gets.
  ///   - factor: what callbacks made of the learning rate, for the rate of embeddings.
  func groups(
    of parameters: [(name: String, tensor: Tensor)], norms: Set<ObjectIdentifier>, learningRate: Double, factor: Double,
    weightDecay: Double
  ) -> [ParameterGroup] {
    let isEmbedding = { (name: String) in pathContains(name, "lora_embedding_A") || pathContains(name, "lora_embedding_B") }
    let embeddings = parameters.filter { isEmbedding($0.name) }
    let others = parameters.filter { !isEmbedding($0.name) }
    let isB = { (parameter: (name: String, tensor: Tensor)) in pathContains(parameter.name, "lora_B") || parameter.tensor.rank == 1 }
    let groups =
      [
        ParameterGroup(others.filter { !isB($0) }, weightDecay: weightDecay),
        ParameterGroup(embeddings, learningRate: embedding * factor, weightDecay: weightDecay),
      ] + ParameterGroup.decaying(others.filter(isB), norms: norms, learningRate: ratio * learningRate, weightDecay: weightDecay)
    return groups.filter { !$0.parameters.isEmpty }
  }

  /// Throws where no `lora_B` trains.
  func check(_ parameters: [(name: String, tensor: Tensor)], allowsFrozen: Bool) throws {
    let hasB = parameters.contains { (allowsFrozen || $0.tensor.requiresGrad) && pathContains($0.name, "lora_B") }
    guard hasB else {
      throw EngineError(
        .argument, "trainer options: 'loraplus_lr_ratio': no trainable parameter's path contains 'lora_B'",
        hint: "LoRA+ is for models with a LoRA")
    }
  }
}
