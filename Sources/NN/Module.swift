import Diagnostics
import TensorCore

/// A part of a model: parameters of its own and named parts. Names and paths are those of the reference
/// implementation's state dict, verbatim.
open class Module {
  public init() {}

  /// Parameters that belong to this module itself, in state-dict order.
  open var ownParameters: [(name: String, tensor: Tensor)] { [] }

  /// The parts, in state-dict order.
  open var children: [(name: String, module: Module)] { [] }

  /// This module and all below it, with dotted paths; the root's path is empty.
  public func namedModules(_ path: String = "") -> [(path: String, module: Module)] {
    [(path, self)] + children.flatMap { $0.module.namedModules(joined(path, $0.name)) }
  }

  /// All parameters with their state-dict names. A tensor that is tied to another is listed once, under its first name.
  public func namedParameters() -> [(name: String, tensor: Tensor)] {
    var seen: Set<ObjectIdentifier> = []
    return namedModules().flatMap { path, module in
      module.ownParameters.compactMap { entry in
        guard seen.insert(ObjectIdentifier(entry.tensor)).inserted else { return nil }
        return (joined(path, entry.name), entry.tensor)
      }
    }
  }

  /// Parameters that train.
  public func trainableParameters() -> [(name: String, tensor: Tensor)] {
    namedParameters().filter(\.tensor.requiresGrad)
  }

  /// Number of elements of the parameters (trainable ones, all).
  public func parameterCounts() -> (trainable: Int, total: Int) {
    namedParameters().reduce((0, 0)) { sum, entry in
      (sum.0 + (entry.tensor.requiresGrad ? entry.tensor.count : 0), sum.1 + entry.tensor.count)
    }
  }

  /// Marks every parameter of this module and its parts as trainable, or frozen. Throws, and changes nothing, where one that
  /// is held in 4 bits would train.
  public func setTrainable(_ trainable: Bool) throws {
    if trainable { try requireTrainable() }
    for (_, tensor) in namedParameters() { try tensor.setTrainable(trainable) }
  }

  /// Throws where a parameter is held in 4 bits, and names it.
  package func requireTrainable() throws {
    for (name, tensor) in namedParameters() {
      do { try tensor.requireTrainable() } catch { throw error.at(name) }
    }
  }

  /// Forgets the gradients.
  public func zeroGrad() {
    for (_, tensor) in namedParameters() { tensor.grad = nil }
  }
}

/// A module that only gives its parts a name.
public final class Group: Module {
  private let parts: [(name: String, module: Module)]

  public init(_ parts: [(name: String, module: Module)]) { self.parts = parts }

  public override var children: [(name: String, module: Module)] { parts }

  /// Modules given by dotted paths as a tree, in the order in which its branches come first. Several modules may have one path.
  public static func nested(_ modules: [(path: String, module: Module)]) -> [(name: String, module: Module)] {
    var branches: [(name: String, members: [(path: String, module: Module)])] = []
    for (path, module) in modules {
      let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
      let (name, rest) = (parts.first ?? "", parts.count > 1 ? parts[1] : "")
      if let i = branches.firstIndex(where: { $0.name == name }) {
        branches[i].members.append((rest, module))
      } else {
        branches.append((name, [(rest, module)]))
      }
    }
    return branches.flatMap { name, members -> [(name: String, module: Module)] in
      if name.isEmpty { return members.map { ("", $0.module) } }
      if members.count == 1, members[0].path.isEmpty { return [(name, members[0].module)] }
      return [(name, Group(nested(members)))]
    }
  }
}

/// Two parts of a dotted path; an empty one adds nothing.
private func joined(_ path: String, _ name: String) -> String {
  path.isEmpty ? name : name.isEmpty ? path : path + "." + name
}

extension Tensor {
  /// Marks a parameter as trainable or frozen. One that begins to train gets elements of its own first: those of a
  /// model file or of another model are never written. Throws for a weight in 4 bits.
  public func setTrainable(_ trainable: Bool) throws {
    if trainable { try requireTrainable() }
    if trainable, !requiresGrad { try makeExclusive() }
    try requiresGrad(trainable)
  }

  fileprivate func requireTrainable() throws(EngineError) {
    guard quantized == nil else {
      throw EngineError(
        .argument, "a weight of \(shape) is held in 4 bits and cannot train",
        hint: "train an adapter, or name its layer in llm_int8_skip_modules")
    }
  }
}
