import Adapters
import Diagnostics
import Files
import NN
import TensorCore
import TransformerModels

extension TrainableModel {
  /// Lets these adapters take part, in the order in which they were attached, and no others. The last of them that has a head
  /// (`modules_to_save`) or trained biases brings them. `isTrainable`: whether their parameters train; the others' do not.
  public func setActive(_ names: [String], isTrainable: Bool) throws {
    for name in names { _ = try adapter(named: name) }
    let chosen = adapters.filter { names.contains($0.name) }
    // The step that can fail comes first, while the model computes the same with it and without. Biases change with heads.
    if adapters.contains(where: { $0.isActive != names.contains($0.name) || $0.isStashed && !$0.bodyParameters.isEmpty }) {
      try network.unmerge()
    }
    for attached in adapters {
      try attached.setTrainable(false)
      try attached.setActive(names.contains(attached.name))
    }
    for owner in chosen { try bringParameters(of: owner) }
    for attached in chosen where isTrainable { try attached.setTrainable(true) }
  }

  /// Puts an adapter's head, and what else it trained of the model itself, into the model; keeps others' of the same apart.
  func bringParameters(of owner: AttachedAdapter) throws {
    for attached in adapters where attached !== owner && attached.sharesParameters(with: owner) { try attached.stashParameters() }
    try owner.restoreParameters()
    try takeLabels(of: owner)
  }

  /// Puts the active adapters into the weights, where the logits of a probe stay the same.
  public func merge() throws {
    let active = adapters.filter(\.isActive)
    try network.merge(probe: probe(), tolerance: active.map(\.mergeTolerance).max() ?? 1e-4)
  }

  /// Runs `body` on the network without what is merged into it, and merges again.
  func unmerged<Value>(_ body: () throws -> Value) throws -> Value {
    let merged = network.namedModules().compactMap { $0.module as? Linear }.filter { !$0.merged.isEmpty }
    try network.unmerge()
    let result = Result { try body() }
    for linear in merged { try linear.merge() }
    return try result.get()
  }

  /// Runs `attach`, which attaches an adapter, and keeps the heads, and what else they trained of the model, of those before it.
  func keepingHeads(_ attach: () throws -> AttachedAdapter) throws {
    let holders = adapters.filter { !$0.isStashed }
    // A merge may be in what they hold.
    if holders.contains(where: { !$0.bodyParameters.isEmpty }) { try network.unmerge() }
    for holder in holders { try holder.stashParameters() }
    do {
      let attached = try attach()
      for holder in holders where !holder.sharesParameters(with: attached) { try holder.restoreParameters() }
      register(attached)
    } catch {
      for holder in holders { try holder.restoreParameters() }
      throw error
    }
  }

  /// Removes an adapter. The head that is in the model stays.
  public func deleteAdapter(_ name: String) throws {
    let attached = try adapter(named: name)
    try attached.detach()
    remove(attached)
  }

  /// A LoRA that is the weighted sum of others, in their place: they stay attached, and no longer take part. See
  /// `AttachedAdapter.weightedSum`.
  @discardableResult
  public func addWeightedAdapter(
    _ names: [String], weights: [Double], _ combination: CombinationType, r: Int? = nil, name: String
  ) throws -> AttachedAdapter {
    guard names.count == weights.count else {
      throw EngineError(.argument, "add_weighted_adapter: \(names.count) adapters and \(weights.count) weights: expected as many")
    }
    guard Set(names).count == names.count else { throw EngineError(.argument, "add_weighted_adapter: an adapter is named twice") }
    let terms = try zip(names, weights).map { (adapter: try adapter(named: $0), weight: $1) }
    try keepingHeads { try AttachedAdapter.weightedSum(terms, combination, r: r, name: name) }
    for (adapter, _) in terms { try adapter.setActive(false) }
    return try adapter(named: name)
  }
}
