import TensorCore

/// What a forward pass needs beside its inputs: whether it trains, and where dropout draws from.
///
/// Draws are functions of (seed, site, step, element). Sites count up in the order in which the forward pass reaches
/// them, so the same model in the same step of the same seed draws the same masks, in any process.
public final class ForwardContext {
  /// Whether dropout is active.
  public var isTraining = false
  public var seed: UInt64
  /// Forward passes in training mode so far.
  public private(set) var step: UInt64 = 0
  private var site: UInt32 = 0

  public init(seed: UInt64 = 42) { self.seed = seed }

  /// Begins a forward pass.
  public func begin() {
    if isTraining { step += 1 }
    site = 0
  }

  /// Continues the numbering of an interrupted run: the next training pass is number `steps` + 1.
  public func resume(after steps: UInt64) { step = steps }

  /// The next dropout site; nil where nothing is dropped.
  public func dropout(_ p: Double) -> Dropout? {
    site += 1
    guard isTraining, p > 0 else { return nil }
    return Dropout(p: p, source: RandomSource(seed: seed, stream: site, step: step))
  }
}
