import NN
import TensorCore

/// The head of masked language models: `LayerNorm(act(dense(h)))` times the word embeddings, plus a bias.
///
/// hidden states: [n, C] -> logits: [n, V]. The decoder's weight is the embedding table itself.
final class LanguageHead: Module {
  let dense: Linear
  let norm: LayerNorm
  private let bias: Tensor
  private let table: Tensor
  private let activation: UnaryOperation

  init(
    transform: ParameterBuilder, norm normName: String, bias biasScope: ParameterBuilder, _ config: EncoderConfig,
    table: Tensor
  ) throws {
    dense = try Linear(
      transform.scope("dense"), in: config.hiddenSize, out: config.hiddenSize, std: config.initializerRange)
    norm = try LayerNorm(transform.scope(normName), config.hiddenSize, eps: config.layerNormEps)
    bias = try biasScope.parameter("bias", [config.vocabSize], .zeros)
    self.table = table
    // RoBERTa's head uses GELU whatever the body uses; published models use GELU in both.
    activation = normName == "layer_norm" ? .gelu : config.hiddenAct
  }

  override var ownParameters: [(name: String, tensor: Tensor)] { [("bias", bias)] }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    try norm(dense(hidden, context).unary(activation)).linear(table, bias)
  }
}
