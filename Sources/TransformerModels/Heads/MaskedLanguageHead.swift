import Checkpoints
import Diagnostics
import NN
import TensorCore

/// The head of masked language models: `decoder(norm(act(dense(h))))`, the decoder tied to the word embeddings, with a bias.
///
/// hidden states: [n, C] -> logits: [n, V].
final class MaskedLanguageHead: Module, ModelHead {
  let path: String?
  /// Path of the layers in front of the decoder.
  private let transform: (path: String, norm: String)
  private let dense: Linear
  private let norm: any Norm
  private let bias: Tensor
  private let decoder: Linear
  private let activation: UnaryOperation
  private let owner: String

  /// `owner`: path of the module that has bias and decoder; `transform`: that of the layers in front, and the norm's name there.
  init(
    _ builder: ParameterBuilder, on body: Stack, _ config: HuggingFaceConfig, path: String, owner: String, transform: String, norm: String,
    activation: UnaryOperation
  ) throws {
    if try !config.bool("tie_word_embeddings", default: true), case let own = owner + ".decoder.weight", try builder.isInSource(own) {
      throw EngineError(
        .data, "\(config.path): tie_word_embeddings is false: a language head with embeddings of its own, '\(own)', is not supported")
    }
    let (scope, layer) = (builder.scope(transform), body.layout.layer)
    dense = try Linear(scope.scope("dense"), in: layer.size, out: layer.size, std: layer.std)
    self.norm = try layer.norm.make(scope.scope(norm), layer.size)
    bias = try builder.scope(owner).parameter("bias", [body.words.weight.rows], .zeros)
    decoder = Linear(tiedTo: body.words.weight, bias: bias, role: .head)
    (self.path, self.owner, self.transform, self.activation) = (path, owner, (transform, norm), activation)
  }

  override var ownParameters: [(name: String, tensor: Tensor)] { [("bias", bias)] }

  var parts: [(path: String, module: Module)] {
    [
      (owner, self), (transform.path + ".dense", dense), (transform.path + "." + transform.norm, norm), (owner + ".decoder", decoder),
    ]
  }

  var reads: HeadInput { .tokens }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    try decoder(transformed(hidden, context), context)
  }

  func crossEntropy(
    _ hidden: Tensor, _ labels: [Int32], labelSmoothing: Double, divisor: Double?, _ context: ForwardContext
  ) throws -> Tensor {
    try decoder.crossEntropy(transformed(hidden, context), labels, labelSmoothing: labelSmoothing, divisor: divisor, context)
  }

  private func transformed(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    try norm(dense(hidden, context).unary(activation))
  }
}
