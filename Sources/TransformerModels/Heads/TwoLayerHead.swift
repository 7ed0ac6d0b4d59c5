import Diagnostics
import NN
import TensorCore

/// The classification head of RoBERTa, BART and T5: `out_proj(dropout(tanh(dense(dropout(h)))))` of one row of each sequence.
///
/// hidden states: [sequences, C] -> scores: [sequences, labels].
final class TwoLayerHead: ModelHead {
  let path: String?
  let reads: HeadInput
  let parts: [(path: String, module: Module)]
  private let dense, outProj: Linear
  private let dropout: Double
  private let endToken: Int32?

  /// - Parameters:
  ///   - path: that of both layers.
  ///   - endToken: the head of a decoder that reads what its encoder has read: the row is the one where the encoder has the last of
  ///     these tokens; nil: the first row.
  init(_ builder: ParameterBuilder, on body: Stack, path: String, labels: Int, dropout: Double, std: Double? = nil, endToken: Int32? = nil) throws {
    let layer = body.layout.layer
    let std = std ?? layer.std
    dense = try Linear(builder.scope(path + ".dense"), in: layer.size, out: layer.size, std: std)
    outProj = try Linear(builder.scope(path + ".out_proj"), in: layer.size, out: labels, std: std, role: .head)
    parts = [(path + ".dense", dense), (path + ".out_proj", outProj)]
    reads = endToken == nil ? .firstTokens : .tokens
    (self.path, self.dropout, self.endToken) = (path, dropout, endToken)
  }

  func rows(_ chosen: RowChoice, of batch: Batch) throws -> RowChoice {
    guard let endToken else { return chosen }
    return .some(
      try zip(batch.offsets.values, batch.offsets.values.dropFirst()).map { start, end in
        if let place = (start..<end).last(where: { batch.ids[Int($0)] == endToken }) { return place }
        throw EngineError(
          .data, "a sequence without the token \(endToken) (eos_token_id), from whose place \(path ?? "the head") reads",
          hint: "take the model's own tokenizer, which ends each text with it")
      })
  }

  func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) throws -> Tensor {
    let row = try hidden.dropout(context.dropout(dropout))
    let features = try dense(row, context).tanh().dropout(context.dropout(dropout))
    return try outProj(features, context)
  }
}
