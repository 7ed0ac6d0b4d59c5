import Diagnostics
import TensorCore

/// `y = x W^T + b`, and the adapters attached to it: the one seam that all linear adapters share.
///
/// x: [..., in_features]; `weight`: [out_features, in_features]; `bias`: [out_features] or none.
public final class Linear: Module {
  public let weight: Tensor
  public let bias: Tensor?
  /// Attached adapters by name, in the order in which they were attached.
  public private(set) var adapters: [(name: String, adapter: LinearAdapter)] = []
  /// Whether the adapters take part; `false` gives the plain layer.
  public var adaptersEnabled = true
  /// Names of the adapters that were merged into `weight`.
  public private(set) var merged: [String] = []

  public init(weight: Tensor, bias: Tensor?) {
    self.weight = weight
    self.bias = bias
  }

  /// A layer with the reference's initialisation: weights normal with `std`, biases 0.
  public convenience init(_ builder: ParameterBuilder, in inFeatures: Int, out outFeatures: Int, std: Double, bias: Bool = true) throws {
    self.init(
      weight: try builder.parameter("weight", [outFeatures, inFeatures], .normal(std: std)),
      bias: bias ? try builder.parameter("bias", [outFeatures], .zeros) : nil)
  }

  public var inFeatures: Int { weight.shape[1] }
  public var outFeatures: Int { weight.shape[0] }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
  }

  /// The adapters; the one named "default" adds nothing to its parameters' paths, as in PEFT's files.
  public override var children: [(name: String, module: Module)] {
    adapters.map { ($0.name == "default" ? "" : $0.name, $0.adapter) }
  }

  /// The layer's output with all adapters that are attached, enabled and not merged.
  public func callAsFunction(_ x: Tensor, _ context: ForwardContext) throws -> Tensor {
    var y = try x.linear(weight, bias)
    guard adaptersEnabled else { return y }
    for (name, adapter) in adapters where !merged.contains(name) {
      y = try adapter.add(to: y, input: x, context)
    }
    return y
  }

  /// Attaches an adapter. Throws where the name is taken.
  public func attach(_ adapter: LinearAdapter, name: String) throws {
    guard !adapters.contains(where: { $0.name == name }) else {
      throw EngineError(.argument, "adapter '\(name)' exists already", hint: "give it another adapter_name")
    }
    adapters.append((name, adapter))
  }

  /// Puts an adapter in the place of another, which it contains (DeLoRA over a frozen LoRA).
  public func replace(_ name: String, by adapter: LinearAdapter, name newName: String) throws {
    guard let index = adapters.firstIndex(where: { $0.name == name }) else {
      throw EngineError(.argument, "no adapter '\(name)' to build on", hint: suggestion(for: name, among: adapters.map(\.name)))
    }
    try unmerge()
    adapters[index] = (newName, adapter)
  }

  public func adapter(named name: String) -> LinearAdapter? {
    adapters.first { $0.name == name }?.adapter
  }

  /// Removes an adapter, merged or not.
  public func detach(_ name: String) throws {
    try unmerge()
    adapters.removeAll { $0.name == name }
  }

  /// Adds the adapters' updates to the weight, in fp32. Throws, and changes nothing, where a value is not finite.
  public func merge() throws {
    let pending = adapters.filter { !merged.contains($0.name) }
    guard !pending.isEmpty else { return }
    let sum = try weight.copy()
    for (name, adapter) in pending {
      let delta = try Autograd.noGrad { try adapter.deltaWeight() }
      guard delta.firstNonFinite == nil else {
        throw EngineError(.notFinite, "merging adapter '\(name)': its update has values that are not finite")
      }
      try sum.addInPlace(delta)
    }
    try weight.makeExclusive()
    try weight.assign(sum)
    merged += pending.map(\.name)
  }

  /// Undoes a merge exactly, with a copy of the weight from before it.
  package func restore(_ weight: Tensor, merged names: [String]) throws {
    // A weight that no merge changed may be the model file's memory, which nobody writes.
    guard merged != names else { return }
    try self.weight.assign(weight)
    merged = names
  }

  /// Takes merged updates out of the weight again.
  public func unmerge() throws {
    for (name, adapter) in adapters where merged.contains(name) {
      try Autograd.noGrad { try weight.addInPlace(adapter.deltaWeight(), alpha: -1) }
    }
    merged = []
  }
}

/// Something attached to a linear layer that changes its output.
open class LinearAdapter: Module {
  /// The output with the adapter's share added. `y`: the layer's output, [..., out], which may be overwritten;
  /// `input`: [..., in].
  open func add(to y: Tensor, input: Tensor, _ context: ForwardContext) throws -> Tensor {
    preconditionFailure("\(Self.self) must override add(to:input:_:)")
  }

  /// Share of elements that `add` drops in training. Its result depends on the parameters, the input and such draws alone.
  open var dropout: Double { 0 }

  /// Own parameters that never train.
  open var frozenParameters: [String] { [] }

  /// What a merge adds to the weight, [out, in].
  open func deltaWeight() throws -> Tensor {
    preconditionFailure("\(Self.self) must override deltaWeight()")
  }
}
