import NN
import TensorCore

/// The head of a model that writes text: one layer without a bias, which may share the table of word embeddings.
///
/// hidden states: [n, C] -> logits: [n, V], `W (s h) + c`. It belongs to the body: another task does not replace it, and adapters
/// leave it frozen.
final class LanguageHead: ModelHead {
  let path: String? = nil
  let reads = HeadInput.tokens
  let parts: [(path: String, module: Module)]
  let buffers: [(name: String, tensor: Tensor)]
  private let projection: Linear
  private let scale: Double
  /// c, where it is not zero.
  private let bias: Tensor?

  /// - Parameters:
  ///   - path: that of the layer.
  ///   - scale: s.
  ///   - bias: name of c, [1, V], which never trains; nil: there is none.
  init(
    _ builder: ParameterBuilder, on body: Stack, path: String, isTied: Bool, std: Double? = nil, scale: Double = 1, bias: String? = nil
  ) throws {
    let words = body.words.weight
    projection =
      isTied
      ? Linear(tiedTo: words, role: .head)
      : try Linear(
        builder.scope(path), in: words.columns, out: words.rows, std: std ?? body.layout.layer.std, bias: false, role: .head)
    parts = [(path, projection)]
    buffers = try bias.map { [($0, try builder.parameter($0, [1, words.rows], .zeros))] } ?? []
    self.scale = scale
    self.bias = try buffers.first.flatMap { _, c in
      words.device == .meta || c.values.allSatisfy { $0 == 0 } ? nil : try c.reshape([c.count])
    }
  }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    let scores = try projection(scale == 1 ? hidden : hidden.mul(scale), context)
    return try bias.map { try scores.add($0) } ?? scores
  }

  func crossEntropy(
    _ hidden: Tensor, _ labels: [Int32], labelSmoothing: Double, divisor: Double?, _ context: ForwardContext
  ) throws -> Tensor {
    try projection.crossEntropy(
      scale == 1 ? hidden : hidden.mul(scale), plus: bias, labels, labelSmoothing: labelSmoothing, divisor: divisor, context)
  }
}
