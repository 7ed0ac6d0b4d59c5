import Diagnostics
import TensorCore

/// Something attached to a module that changes what it computes. What it may change is the host's matter:
/// `LinearAdapter`, for one.
open class Adapter: Module {
  /// Share of elements that the adapter drops in training. What it computes depends on its parameters, its input and such
  /// draws alone.
  open var dropout: Double { 0 }

  /// Own parameters that never train.
  open var frozenParameters: [String] { [] }

  /// Parameters that it computes with and that another module owns: those that layers share.
  open var borrowedParameters: [Tensor] { [] }
}

extension Module {
  /// All parameters with their state-dict names, without those of adapters.
  public func plainParameters() -> [(name: String, tensor: Tensor)] {
    let added = Set(namedModules().flatMap { ($0.module as? Adapter)?.namedParameters() ?? [] }.map { ObjectIdentifier($0.tensor) })
    return namedParameters().filter { !added.contains(ObjectIdentifier($0.tensor)) }
  }
}

/// A module that adapters are attached to, by name, in an order.
open class AdapterHost: Module {
  /// Attached adapters by name, in the order in which they were attached.
  public private(set) var adapters: [(name: String, adapter: Adapter)] = []
  /// Whether the adapters take part; `false` gives the plain module.
  public private(set) var adaptersEnabled = true
  /// Names of attached adapters that do not take part.
  public private(set) var inactive: Set<String> = []

  /// The parts that do not belong to an adapter, in state-dict order.
  open var parts: [(name: String, module: Module)] { [] }

  /// The parts, then the adapters; the one named "default" adds nothing to its parameters' paths, as in PEFT's files.
  public final override var children: [(name: String, module: Module)] {
    parts + adapters.map { ($0.name == "default" ? "" : $0.name, $0.adapter) }
  }

  /// The adapters that take part, in order.
  public var activeAdapters: [(name: String, adapter: Adapter)] {
    guard adaptersEnabled, !adapters.isEmpty else { return [] }
    return adapters.filter { !inactive.contains($0.name) }
  }

  /// Called before the adapters change, or which of them take part, so that a host can take back what it did with them.
  open func willChangeAdapters() throws {}

  /// Attaches an adapter. Throws where the name is taken.
  public func attach(_ adapter: Adapter, name: String) throws {
    guard !adapters.contains(where: { $0.name == name }) else {
      throw EngineError(.argument, "adapter '\(name)' exists already", hint: "give it another adapter_name")
    }
    adapters.append((name, adapter))
  }

  /// Puts an adapter in the place of another, which it contains (DeLoRA over a frozen LoRA).
  public func replace(_ name: String, by adapter: Adapter, name newName: String) throws {
    guard let index = adapters.firstIndex(where: { $0.name == name }) else {
      throw EngineError(.argument, "no adapter '\(name)' to build on", hint: suggestion(for: name, among: adapters.map(\.name)))
    }
    try willChangeAdapters()
    inactive.remove(name)
    adapters[index] = (newName, adapter)
  }

  public func adapter(named name: String) -> Adapter? {
    adapters.first { $0.name == name }?.adapter
  }

  /// Removes an adapter, if it is there.
  public func detach(_ name: String) throws {
    guard adapters.contains(where: { $0.name == name }) else { return }
    try willChangeAdapters()
    adapters.removeAll { $0.name == name }
    inactive.remove(name)
  }

  /// Lets an adapter take part, or not.
  public func setActive(_ isActive: Bool, _ name: String) throws {
    guard adapter(named: name) != nil, inactive.contains(name) == isActive else { return }
    try willChangeAdapters()
    if isActive { inactive.remove(name) } else { inactive.insert(name) }
  }

  /// Lets the adapters take part, or none of them.
  public func setAdaptersEnabled(_ areEnabled: Bool) throws {
    guard adaptersEnabled != areEnabled else { return }
    try willChangeAdapters()
    adaptersEnabled = areEnabled
  }
}

/// Parameters that all layers of an adapter share, attached to the model itself.
public final class SharedParameters: Adapter {
  private var parameters: [(name: String, tensor: Tensor)] = []
  private var frozen: [String] = []

  public override var ownParameters: [(name: String, tensor: Tensor)] { parameters }
  public override var frozenParameters: [String] { frozen }

  public subscript(name: String) -> Tensor? { parameters.first { $0.name == name }?.tensor }

  /// Adds a parameter; `trains`: whether training changes it.
  public func append(_ name: String, _ tensor: Tensor, trains: Bool) {
    parameters.append((name, tensor))
    if !trains { frozen.append(name) }
  }
}
