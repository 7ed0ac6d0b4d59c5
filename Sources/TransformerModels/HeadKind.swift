/// What a model says: which head it is built with.
public enum HeadKind: Sendable, Equatable {
  /// Scores of each sequence, one for each of these labels, in this order.
  case sequence(labels: [String])
  /// Scores of every token of the vocabulary, for each token of the batch.
  case language

  /// Names of a sequence's scores in order; none for a language head.
  public var labels: [String] {
    if case .sequence(let labels) = self { labels } else { [] }
  }

  /// Whether the head answers for whole sequences.
  public var isSequence: Bool { self != .language }
}

/// For which tokens a language head computes scores; a sequence head has one row for each sequence, whatever is chosen.
public enum RowChoice: Sendable, Equatable {
  case all
  /// These tokens of the packed batch, in ascending order.
  case some([Int32])
}
