import Diagnostics
import NN
import TensorCore

/// A packed batch: the tokens of its sequences one after another, without padding.
///
/// In a model with an encoder they are what that reads; what the decoder should write is a second stream.
public struct Batch {
  /// Token ids of all sequences, [tokens].
  public var ids: [Int32]
  /// Segment of each token, [tokens]; ids of a pair's second text are 1 in BERT.
  public var tokenTypes: [Int32]
  /// Where each sequence lies.
  public var offsets: Offsets
  /// The tokens that a decoder should write, of as many sequences; it reads them one place later, behind its start token. nil: those
  /// that the encoder reads, as in Transformers.
  public var targets: (ids: [Int32], offsets: Offsets)?
  /// What the model should say, as the task's loss takes it, one entry for each row of the logits; nil: nobody has said it. No
  /// model reads it.
  public var labels: Tensor?
  /// The rows of logits that the labels are for.
  public var rows = RowChoice.all
  /// Which examples these are: positions in the data set, for messages.
  public var examples: [Int]
  /// Hidden states of the data set that `examples` are positions in; nil: nothing is kept.
  public var hiddenStates: HiddenStateCache?
  /// Keys and values of what the body has read of these sequences before, to which it adds those of this batch; nil: nothing is kept.
  public var cache: CachePass?

  public init(ids: [Int32], tokenTypes: [Int32]? = nil, offsets: Offsets, labels: Tensor? = nil, examples: [Int] = []) throws {
    let tokenTypes = tokenTypes ?? [Int32](repeating: 0, count: ids.count)
    guard offsets.total == ids.count, tokenTypes.count == ids.count else {
      throw EngineError(.shape, "batch: \(ids.count) ids, \(tokenTypes.count) token types, offsets end at \(offsets.total)")
    }
    self.ids = ids
    self.tokenTypes = tokenTypes
    self.offsets = offsets
    self.labels = labels
    self.examples = examples
  }

  /// Number of labels that count in the loss.
  public var labelCount: Int { labels?.shape.first ?? 0 }
}

extension Batch {
  /// What the decoder reads: each sequence's targets one place later, behind a first token.
  func decoderInput(startingWith first: Int32) throws -> Batch {
    let (ids, offsets) = targets ?? (self.ids, self.offsets)
    guard offsets.count == self.offsets.count, offsets.total == ids.count else {
      throw EngineError(.shape, "batch: \(offsets.count) sequences of targets, \(ids.count) ids, for \(self.offsets.count) of the encoder")
    }
    let shifted = zip(offsets.values, offsets.values.dropFirst()).flatMap { start, end -> [Int32] in
      start < end ? [first] + ids[Int(start)..<Int(end) - 1] : []
    }
    return try Batch(ids: shifted, offsets: offsets)
  }
}
