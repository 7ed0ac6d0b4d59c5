import Diagnostics
import TensorCore

/// A packed batch: the tokens of its sequences one after another, without padding.
public struct Batch {
  /// What the model should have said.
  public enum Labels: Sendable, Equatable {
    case none
    /// One class index for each sequence.
    case classes([Int32])
    /// One number for each sequence.
    case scores([Float])
    /// One token id for each token; -100 where nothing was masked.
    case tokens([Int32])
  }

  /// Token ids of all sequences, [tokens].
  public var ids: [Int32]
  /// Segment of each token, [tokens]; ids of a pair's second text are 1 in BERT.
  public var tokenTypes: [Int32]
  /// Where each sequence lies.
  public var offsets: Offsets
  public var labels: Labels
  /// Which examples these are: positions in the data set, for messages.
  public var examples: [Int]
  /// Hidden states of the data set that `examples` are positions in; nil: nothing is kept.
  public var hiddenStates: HiddenStateCache?

  public init(
    ids: [Int32], tokenTypes: [Int32]? = nil, offsets: Offsets, labels: Labels = .none, examples: [Int] = []
  ) throws {
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
  public var labelCount: Int {
    switch labels {
    case .none: 0
    case .classes(let values): values.count
    case .scores(let values): values.count
    case .tokens(let values): values.reduce(0) { $0 + ($1 == ignoredLabel ? 0 : 1) }
    }
  }
}
