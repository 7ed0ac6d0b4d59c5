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
  /// Whether layers are computed again in the backward pass instead of keeping their activations.
  public var gradientCheckpointing = false
  private var site: UInt32 = 0

  public init(seed: UInt64 = 42) { self.seed = seed }

  /// Begins a forward pass.
  public func begin() {
    if isTraining { step += 1 }
    site = 0
  }

  /// A layer that is computed again in the backward pass where that is asked for, with the draws of the first time.
  ///
  /// `inputs`: all that the layer reads and gradients may pass through.
  public func checkpointed(_ layer: Module, _ inputs: [Tensor], _ body: @escaping ([Tensor]) throws -> Tensor) throws -> Tensor {
    guard gradientCheckpointing, isTraining else { return try body(inputs) }
    let first = site
    let borrowed = layer.namedModules().flatMap { ($0.module as? Adapter)?.borrowedParameters ?? [] }
    return try Autograd.checkpoint(inputs, parameters: layer.namedParameters().map(\.tensor) + borrowed) { [self] inputs in
      let now = site
      // The first time goes on from here, a later one comes back to where the model has got meanwhile.
      site = first
      defer { site = max(now, site) }
      return try body(inputs)
    }
  }

  /// Continues the numbering of an interrupted run: the next training pass is number `steps` + 1.
  public func resume(after steps: UInt64) { step = steps }

  /// Runs a part of the pass with dropout off. It takes no sites, so that those behind it draw the same whether it ran or not.
  package func withoutDropout<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = (isTraining, site)
    isTraining = false
    defer { (isTraining, site) = before }
    return try body()
  }

  /// The next dropout site; nil where nothing is dropped.
  public func dropout(_ p: Double) -> Dropout? {
    site += 1
    guard isTraining, p > 0 else { return nil }
    return Dropout(p: p, source: RandomSource(seed: seed, stream: site, step: step))
  }
}
