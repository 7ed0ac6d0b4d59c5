import Diagnostics
import TensorCore

/// `y = x W^T + b`, and the adapters attached to it: the one seam that all linear adapters share.
///
/// x: [..., in_features]; `weight`: [out_features, in_features]; `bias`: [out_features] or none.
public final class Linear: AdapterHost {
  public let weight: Tensor
  public let bias: Tensor?
  /// What the layer is for in a transformer; nil: something that no two families share.
  public let role: Role?
  /// Whether the parameters belong to another module, which they are part of in the state dict.
  public let isTied: Bool
  /// Whether model files have the weight as [in, out].
  public let isStoredTransposed: Bool
  /// Names of the adapters that were merged into `weight` and `bias`.
  public private(set) var merged: [String] = []
  /// The parameters from before the merge, and what the merge wrote.
  private var beforeMerge: (weight: Tensor, bias: Tensor?, versions: [Int])?

  public init(weight: Tensor, bias: Tensor?, role: Role? = nil) {
    (self.weight, self.bias, self.role, isTied, isStoredTransposed) = (weight, bias, role, false, false)
  }

  /// A layer with parameters that belong to other modules: a language head's, whose weight is the table of word embeddings.
  public init(tiedTo weight: Tensor, bias: Tensor? = nil, role: Role? = nil) {
    (self.weight, self.bias, self.role, isTied, isStoredTransposed) = (weight, bias, role, true, false)
  }

  /// A layer with the reference's initialisation: weights normal with `std`, biases 0.
  ///
  /// `isStoredTransposed`: files have the weight as [in, out], as those of Transformers' `Conv1D`.
  public init(
    _ builder: ParameterBuilder, in inFeatures: Int, out outFeatures: Int, std: Double, bias: Bool = true, role: Role? = nil,
    isStoredTransposed: Bool = false
  ) throws {
    weight = try builder.parameter(
      "weight", [outFeatures, inFeatures], .normal(std: std), isStoredTransposed: isStoredTransposed)
    self.bias = bias ? try builder.parameter("bias", [outFeatures], .zeros) : nil
    (self.role, isTied, self.isStoredTransposed) = (role, false, isStoredTransposed)
  }

  public var inFeatures: Int { weight.shape[1] }
  public var outFeatures: Int { weight.shape[0] }

  /// Weight and bias without what was merged into them.
  public var base: (weight: Tensor, bias: Tensor?) { beforeMerge.map { ($0.weight, $0.bias) } ?? (weight, bias) }

  /// Whether the parameters are those of `base` with what was merged, and nothing else.
  package var isUntrainedSinceMerge: Bool { beforeMerge.map { $0.versions == versions } ?? true }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    isTied ? [] : [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
  }

  /// The layer's output with all adapters that are attached, active and not merged, in their order.
  public func callAsFunction(_ x: Tensor, _ context: ForwardContext) throws -> Tensor {
    let active = activeAdapters.compactMap { merged.contains($0.name) ? nil : $0.adapter as? any LinearAdapter }
    guard !active.isEmpty else { return try x.linear(weight, bias) }
    let x = try active.reduce(x) { try $1.input($0, context) }
    var y = try x.linear(weight, bias)
    for (i, adapter) in active.enumerated() {
      let isPlain = i == 0 && merged.isEmpty
      y = try adapter.output(LinearCall(layer: self, input: x, y: y, isPlain: isPlain, context: context))
    }
    return y
  }

  /// Mean cross-entropy of the layer's output plus `shift` against class indices; of a layer that is frozen and not adapted, the output
  /// never exists whole. `labels`, `labelSmoothing` and `divisor`: see `Tensor.crossEntropy`.
  public func crossEntropy(
    _ x: Tensor, plus shift: Tensor? = nil, _ labels: [Int32], labelSmoothing: Double, divisor: Double?, _ context: ForwardContext
  ) throws -> Tensor {
    let isPlain = activeAdapters.allSatisfy { merged.contains($0.name) || !($0.adapter is any LinearAdapter) }
    guard isPlain, x.rank == 2, !weight.requiresGrad, bias?.requiresGrad != true, bias == nil || shift == nil else {
      let y = try self(x, context)
      return try (shift.map { try y.add($0) } ?? y).crossEntropy(labels, labelSmoothing: labelSmoothing, divisor: divisor)
    }
    return try x.linearCrossEntropy(weight, bias ?? shift, labels, labelSmoothing: labelSmoothing, divisor: divisor)
  }

  public override func willChangeAdapters() throws { try unmerge() }

  /// Puts the active adapters into weight and bias, in fp32. Throws, and changes nothing, where a value is not finite or an
  /// adapter cannot be merged.
  public func merge() throws {
    let pending = activeAdapters.compactMap { name, adapter in
      merged.contains(name) ? nil : (adapter as? any LinearAdapter).map { (name: name, adapter: $0) }
    }
    guard !pending.isEmpty else { return }
    guard !isTied else {
      throw EngineError(
        .argument, "merge: the layer's weight is the table of word embeddings: merging adapter '\(pending[0].name)' would change the words too",
        hint: "keep the adapter attached, and save it with save_adapter")
    }
    var sum: (weight: Tensor, bias: Tensor?) = (try weight.copy(), try bias?.copy())
    try Autograd.noGrad {
      for (name, adapter) in pending {
        sum = try adapter.merged(sum.weight, sum.bias, of: self)
        guard sum.weight.firstNonFinite == nil, sum.bias?.firstNonFinite == nil else {
          throw EngineError(.notFinite, "merging adapter '\(name)': its update has values that are not finite")
        }
      }
      for (_, adapter) in pending.reversed() { sum.weight = try adapter.mergedInput(sum.weight) }
    }
    let before = beforeMerge.map { ($0.weight, $0.bias) } ?? (weight.sharedParameter(), bias?.sharedParameter())
    try weight.makeExclusive()
    try weight.assign(sum.weight)
    if let bias, let value = sum.bias {
      try bias.makeExclusive()
      try bias.assign(value)
    }
    beforeMerge = (before.0, before.1, versions)
    merged += pending.map(\.name)
  }

  /// Weight, bias and what is merged into them, to go back to.
  package struct MergeState {
    fileprivate let weight: Tensor
    fileprivate let bias: Tensor?
    fileprivate let merged: [String]
    fileprivate let beforeMerge: (weight: Tensor, bias: Tensor?, versions: [Int])?
  }

  package var mergeState: MergeState {
    MergeState(
      weight: weight.sharedParameter(), bias: bias?.sharedParameter(), merged: merged, beforeMerge: beforeMerge)
  }

  /// Undoes merges since `state` exactly.
  package func restore(_ state: MergeState) {
    weight.share(state.weight)
    if let bias, let value = state.bias { bias.share(value) }
    (merged, beforeMerge) = (state.merged, state.beforeMerge)
  }

  private var versions: [Int] { [weight.version] + (bias.map { [$0.version] } ?? []) }

  /// Takes what was merged out of weight and bias again: bit for bit, unless they were trained meanwhile; then the updates
  /// are subtracted. Throws for adapters whose merge is no sum, where the weight was trained meanwhile.
  public func unmerge() throws {
    guard let before = beforeMerge else { return }
    if before.versions == versions {
      weight.share(before.weight)
      if let bias, let value = before.bias { bias.share(value) }
    } else {
      for (name, adapter) in adapters where merged.contains(name) {
        guard let adapter = adapter as? any SummedAdapter, adapter.isSum else {
          throw EngineError(
            .argument, "unmerge: the weight was trained after adapter '\(name)' was merged, and its merge is no sum that can be subtracted")
        }
        try Autograd.noGrad { try weight.addInPlace(adapter.deltaWeight(), alpha: -1) }
      }
    }
    beforeMerge = nil
    merged = []
  }
}

/// One use of a linear layer, as its adapters see it.
public struct LinearCall {
  public let layer: Linear
  /// [..., in].
  public let input: Tensor
  /// The output so far, [..., out]: the layer's, with what the adapters before this one made of it. May be overwritten.
  public let y: Tensor
  /// Whether `y` is the output of the layer's own weight and bias alone.
  public let isPlain: Bool
  public let context: ForwardContext
}

/// Something attached to a linear layer that changes its output.
public protocol LinearAdapter: Adapter {
  /// What the layer, and every adapter of it, gets as its input: [..., in].
  func input(_ x: Tensor, _ context: ForwardContext) throws -> Tensor

  /// The output with the adapter's share.
  func output(_ call: LinearCall) throws -> Tensor

  /// Weight and bias with the adapter's share. `weight` and `bias` are the caller's, and may be overwritten; the layer's own
  /// are `layer.base`. A new bias where there was none is not possible.
  func merged(_ weight: Tensor, _ bias: Tensor?, of layer: Linear) throws -> (weight: Tensor, bias: Tensor?)

  /// Returns W' with `W' x = W input(x)`. May overwrite W.
  func mergedInput(_ weight: Tensor) throws -> Tensor
}

extension LinearAdapter {
  public func input(_ x: Tensor, _ context: ForwardContext) throws -> Tensor { x }
  public func mergedInput(_ weight: Tensor) throws -> Tensor { weight }
}

/// An adapter whose merge adds a matrix to the weight, and does nothing else.
public protocol SummedAdapter: LinearAdapter {
  /// What a merge adds to the weight, [out, in].
  func deltaWeight() throws -> Tensor
  /// Whether the merge of this very adapter is that sum. Default: true.
  var isSum: Bool { get }
}

extension SummedAdapter {
  public var isSum: Bool { true }
  public func merged(_ weight: Tensor, _ bias: Tensor?, of layer: Linear) throws -> (weight: Tensor, bias: Tensor?) {
    try weight.addInPlace(deltaWeight())
    return (weight, bias)
  }
}
