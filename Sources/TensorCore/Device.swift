/// Where a tensor's elements are.
public enum Device: Sendable {
  case cpu
  /// Nowhere: a shape and a type, for counting. Filling such a tensor, and copying to or from it, does nothing; its elements must not
  /// be read.
  case meta
}
