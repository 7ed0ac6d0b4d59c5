/// What a linear layer is for in a transformer. Adapters choose layers by it, whatever a family calls them.
public enum Role: String, Sendable, CaseIterable {
  case query, key, value
  /// Query, key and value in one layer, side by side in this order.
  case fused
  /// Mixes the heads' outputs.
  case attentionOutput
  /// From the hidden size to the inner size of the feed-forward block.
  case up
  /// The layer whose activation multiplies `up`'s output.
  case gate
  /// From the inner size back to the hidden size.
  case down
  /// Gives the scores of labels or of the vocabulary.
  case head
}
