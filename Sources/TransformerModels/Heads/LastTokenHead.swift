import NN
import TensorCore

/// The classification head of decoders: one layer without a bias over each sequence's last token, which has seen all others.
///
/// hidden states: [sequences, C] -> scores: [sequences, labels].
final class LastTokenHead: ModelHead {
  let path: String?
  let reads = HeadInput.lastTokens
  let parts: [(path: String, module: Module)]
  private let score: Linear

  init(_ builder: ParameterBuilder, on body: Stack, path: String, labels: Int) throws {
    let layer = body.layout.layer
    score = try Linear(builder.scope(path), in: layer.size, out: labels, std: layer.std, bias: false, role: .head)
    (self.path, parts) = (path, [(path, score)])
  }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor { try score(hidden, context) }
}
