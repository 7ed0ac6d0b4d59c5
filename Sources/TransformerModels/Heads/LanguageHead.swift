import NN
import TensorCore

/// The head of a model that writes text: one layer without a bias, which may share the table of word embeddings.
///
/// hidden states: [n, C] -> logits: [n, V]. It belongs to the body: another task does not replace it, and adapters leave it frozen.
final class LanguageHead: ModelHead {
  let path: String? = nil
  let reads = HeadInput.tokens
  let parts: [(path: String, module: Module)]
  private let projection: Linear

  /// `path`: that of the layer.
  init(_ builder: ParameterBuilder, on body: Stack, path: String, isTied: Bool) throws {
    let words = body.words.weight
    projection =
      isTied
      ? Linear(tiedTo: words, role: .head)
      : try Linear(builder.scope(path), in: words.columns, out: words.rows, std: body.layout.layer.std, bias: false, role: .head)
    parts = [(path, projection)]
  }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor { try projection(hidden, context) }
}
