import NN

extension AttachedAdapter {
  /// Attaches the same method to another model, at the same places outside the head, with the ranks and scales that the layers
  /// have here. Values start as a new adapter's. The new model's head trains whole.
  ///
  /// - Parameter head: suffixes of the new model's head's modules.
  public func attachCopy(to root: Module, head: [String], seed: UInt64) throws -> AttachedAdapter {
    let targets = targets(withHead: head)
    guard method.over != nil else {
      return try Self.attach(method, to: root, name: name, targets: targets, defaultTargets: [], head: head, seed: seed)
    }
    let layers = linearAdapters.compactMap { path, _, adapter in
      (adapter as? any RankedAdapter).map { (path: path, r: $0.rank, scaling: $0.scaling) }
    }
    return try Self.attach(
      method, overNew: try LoRA(layers: layers), to: root, name: name, targets: targets, head: head, adaptsHead: method.adaptsHead, seed: seed)
  }

  /// Attaches a method that contains the adapter that it is built on: gives it a new one to take over, whose values the caller
  /// replaces. nil: it is built on none.
  static func attach(
    _ method: any AdapterMethod, overNew underlying: (any AdapterMethod)?, to root: Module, name: String, targets: AdapterTargets,
    head: [String], adaptsHead: Bool, seed: UInt64
  ) throws -> AttachedAdapter {
    if let underlying {
      var base = targets
      (base.bias, base.modulesToSave) = (.none, [])
      _ = try attach(
        underlying, to: root, name: name, targets: base, defaultTargets: [], head: head, adaptsHead: adaptsHead, seed: seed)
    }
    return try attach(
      method, to: root, name: name, targets: targets, defaultTargets: [], head: head, adaptsHead: adaptsHead,
      over: underlying == nil ? nil : name, seed: seed)
  }

  /// The same targets for a model whose other modules do not train: only its head does.
  private func targets(withHead head: [String]) -> AdapterTargets {
    var copy = targets
    // The new head trains whole.
    if case .linear = method.placement { copy.targetModules = .suffixes(sites.filter { !isInHead($0) }) }
    (copy.excludeModules, copy.layersToTransform, copy.layersPattern, copy.modulesToSave) = ([], nil, [], head)
    return copy
  }
}

extension LoRA {
  /// A LoRA whose layers have these ranks and scales.
  init(layers: [(path: String, r: Int, scaling: Double)]) throws {
    self.init()
    let alphas = layers.map { (path: $0.path, value: $0.scaling * Double($0.r)) }
    (r, loraAlpha) = (layers.first?.r ?? 1, alphas.first?.value ?? 1)
    rankPattern = try LayerPattern(exactly: layers.filter { $0.r != r }.map { ($0.path, $0.r) })
    alphaPattern = try LayerPattern(exactly: alphas.filter { $0.value != loraAlpha })
  }
}
