import Adapters
import Diagnostics
import Files
import NN
import TensorCore
import TransformerModels

extension TrainableModel {
  /// Lets these adapters take part, in the order in which they were attached, and no others. The last of them that has a head
  /// (`modules_to_save`) brings it. `isTrainable`: whether their parameters train; the others' do not.
  public func setActive(_ names: [String], isTrainable: Bool) throws {
    for name in names { _ = try adapter(named: name) }
    let chosen = adapters.filter { names.contains($0.name) }
    // The step that can fail comes first, while the model computes the same with it and without.
    if adapters.contains(where: { $0.isActive != names.contains($0.name) }) { try network.unmerge() }
    for attached in adapters {
      try attached.setTrainable(false)
      try attached.setActive(names.contains(attached.name))
    }
    for owner in chosen {
      for attached in adapters where attached !== owner && attached.sharesSavedModules(with: owner) {
        try attached.stashSavedModules()
      }
      try owner.restoreSavedModules()
    }
    for attached in chosen where isTrainable { try attached.setTrainable(true) }
  }

  /// Puts the active adapters into the weights, where the logits of a probe stay the same.
  public func merge() throws {
    let active = adapters.filter(\.isActive)
    try network.merge(probe: probe(), tolerance: active.map(\.mergeTolerance).max() ?? 1e-4)
  }

  /// Runs `attach`, which attaches an adapter, and keeps the heads of those before it.
  func keepingHeads(_ attach: () throws -> AttachedAdapter) throws {
    let holders = adapters.filter { !$0.isStashed }
    for holder in holders { try holder.stashSavedModules() }
    do {
      let attached = try attach()
      for holder in holders where !holder.sharesSavedModules(with: attached) { try holder.restoreSavedModules() }
      register(attached)
    } catch {
      for holder in holders { try holder.restoreSavedModules() }
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
