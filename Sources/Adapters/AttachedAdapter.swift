import Diagnostics
import NN
import TensorCore

/// An adapter as it sits in a model: its method, and the modules that it changes.
public final class AttachedAdapter {
  public let name: String
  public let method: any AdapterMethod
  public let targets: AdapterTargets
  /// Full paths of the linear layers, in model order.
  public let sites: [String]
  /// Full paths of the modules that train as they are.
  public let savedModules: [String]
  /// Full paths of the head's modules.
  let head: [String]
  /// The suffixes that choose `sites`, where a list of suffixes alone chose them.
  let targetSuffixes: [String]?
  let root: Module

  private init(
    name: String, method: any AdapterMethod, targets: AdapterTargets, sites: [String], savedModules: [String],
    head: [String], targetSuffixes: [String]?, root: Module
  ) {
    self.name = name
    self.method = method
    self.targets = targets
    self.sites = sites
    self.savedModules = savedModules
    self.head = head
    self.targetSuffixes = targetSuffixes
    self.root = root
  }

  /// Attaches a method to a model: freezes everything else, and marks what trains.
  ///
  /// - Parameters:
  ///   - defaultTargets: targets where the options name none.
  ///   - head: suffixes of the head's modules; never adapted, trained unless `modulesToSave` says otherwise.
  ///   - isShapeOnly: count parameters without allocating them.
  /// - Throws: `EngineError` for a target that matches nothing, a rank that does not fit, a taken name.
  public static func attach(
    _ method: any AdapterMethod, to root: Module, name: String = "default", targets: AdapterTargets = AdapterTargets(),
    defaultTargets: [String], head: [String], seed: UInt64, isShapeOnly: Bool = false
  ) throws -> AttachedAdapter {
    try attach(
      method, to: root, name: name, targets: targets, defaultTargets: defaultTargets, head: head, adaptsHead: false,
      seed: seed, isShapeOnly: isShapeOnly)
  }

  /// - Parameters:
  ///   - adaptsHead: the targets may be layers of the head, unless it is saved as it is.
  ///   - over: the adapter to build on, in place of the one that the method names.
  static func attach(
    _ method: any AdapterMethod, to root: Module, name: String, targets: AdapterTargets, defaultTargets: [String],
    head: [String], adaptsHead: Bool, over: String? = nil, seed: UInt64, isShapeOnly: Bool
  ) throws -> AttachedAdapter {
    try method.validate()
    let modules = root.namedModules()
    let paths = modules.map(\.path)
    var targets = targets
    if targets.targetModules == nil, let over = over ?? method.over {
      // By default, every layer that the other adapter has.
      let adapted = modules.compactMap { path, module in
        (module as? Linear).flatMap { linear in hasBase(over, linear) ? path : nil }
      }
      if !adapted.isEmpty { targets.targetModules = .suffixes(adapted) }
    }
    let saved = outermost(try matches(targets.modulesToSave ?? head, among: paths, option: "modules_to_save"))
    var sites: [(path: String, linear: Linear)] = []
    if method.hasSites {
      let outside = saved + (adaptsHead ? [] : head)
      sites = try select(targets, defaultTargets: defaultTargets, modules: modules, outside: outside)
    }
    var made: [(linear: Linear, adapter: LinearAdapter, base: String?)] = []
    for (path, linear) in sites {
      let base = try (over ?? method.over).map { over in try baseAdapter(over, of: linear, at: path) }
      if base?.name != name, linear.adapter(named: name) != nil {
        throw EngineError(.argument, "adapter '\(name)' exists already", hint: "give the new one another adapter_name")
      }
      let site = AdapterSite(path: path, seed: seed, isShapeOnly: isShapeOnly, base: base?.adapter)
      if let adapter = try method.makeAdapter(for: linear, at: site) { made.append((linear, adapter, base?.name)) }
    }
    try freeze(root, trainsBase: method.trainsBase, isShapeOnly: isShapeOnly)
    for (linear, adapter, base) in made {
      if let base { try linear.replace(base, by: adapter, name: name) } else { try linear.attach(adapter, name: name) }
    }
    let attached = AttachedAdapter(
      name: name, method: method, targets: targets, sites: sites.map(\.path), savedModules: saved,
      head: outermost(paths.filter { path in head.contains { isSuffix($0, of: path) } }),
      targetSuffixes: targets.plainSuffixes(default: defaultTargets), root: root)
    try attached.markTrainable(isShapeOnly: isShapeOnly)
    return attached
  }

  private static func freeze(_ root: Module, trainsBase: Bool, isShapeOnly: Bool) throws {
    for (_, tensor) in root.namedParameters() {
      if isShapeOnly { tensor.requiresGrad = trainsBase } else { try tensor.setTrainable(trainsBase) }
    }
  }

  /// Marks the adapter's own parameters, its saved modules and the chosen biases as trainable.
  private func markTrainable(isShapeOnly: Bool) throws {
    func train(_ tensor: Tensor) throws {
      if isShapeOnly { tensor.requiresGrad = true } else { try tensor.setTrainable(true) }
    }
    for (path, module) in root.namedModules() {
      if let linear = module as? Linear, sites.contains(path) {
        if let adapter = linear.adapter(named: name) {
          for (parameter, tensor) in adapter.ownParameters where !adapter.frozenParameters.contains(parameter) { try train(tensor) }
        }
        if targets.bias == .loraOnly, let bias = linear.bias { try train(bias) }
      }
      if savedModules.contains(path) {
        for (_, tensor) in module.namedParameters() { try train(tensor) }
      }
      if targets.bias == .all {
        for (parameter, tensor) in module.ownParameters where parameter.hasSuffix("bias") { try train(tensor) }
      }
    }
  }

  /// The adapters of the layers, with the layers' paths.
  public var adapters: [(path: String, linear: Linear, adapter: LinearAdapter)] {
    root.namedModules().compactMap { path, module in
      guard sites.contains(path), let linear = module as? Linear, let adapter = linear.adapter(named: name) else { return nil }
      return (path, linear, adapter)
    }
  }

  /// What belongs to the adapter and is saved with it, by PEFT's names without their prefix: its parameters, the saved
  /// modules, the chosen biases.
  public func state() -> [(name: String, tensor: Tensor)] {
    var result: [(name: String, tensor: Tensor)] = adapters.flatMap { path, _, adapter in
      adapter.ownParameters.map { (path + "." + $0.name, $0.tensor) }
    }
    if method.trainsBase { return root.namedParameters() }
    for (path, module) in root.namedModules() where savedModules.contains(path) {
      result += module.namedParameters().map { (path + "." + $0.name, $0.tensor) }
    }
    var names = Set(result.map(\.name))
    for (path, module) in root.namedModules() {
      let isSite = sites.contains(path)
      for (parameter, tensor) in module.ownParameters where parameter.hasSuffix("bias") {
        guard targets.bias == .all || (targets.bias == .loraOnly && isSite) else { continue }
        // PEFT moves a target layer's own parameters below `base_layer`.
        let key = path + (isSite ? ".base_layer." : ".") + parameter
        if names.insert(key).inserted { result.append((key, tensor)) }
      }
    }
    return result
  }
}

// MARK: - Selection

extension AdapterTargets {
  /// The suffixes, where nothing else narrows the choice.
  func plainSuffixes(default names: [String]) -> [String]? {
    guard excludeModules.isEmpty, layersToTransform == nil else { return nil }
    guard case .suffixes(let suffixes) = targetModules ?? .suffixes(names) else { return nil }
    return suffixes
  }
}

extension AttachedAdapter {
  /// The paths without those below another of them.
  private static func outermost(_ paths: [String]) -> [String] {
    paths.filter { path in !paths.contains { $0 != path && isInside(path, $0) } }
  }

  /// Whether a module or parameter is another module, or part of it.
  static func isInside(_ path: String, _ module: String) -> Bool { path == module || path.hasPrefix(module + ".") }

  private static func hasBase(_ over: String, _ linear: Linear) -> Bool {
    linear.adapter(named: over) != nil || over == LoRA.name && linear.adapters.contains { $0.adapter is LoRAAdapter }
  }

  private static func baseAdapter(_ over: String, of linear: Linear, at path: String) throws -> (name: String, adapter: LinearAdapter) {
    // `over` may be the adapter's name, or the name of its method where one adapter of that method exists.
    if let adapter = linear.adapter(named: over) { return (over, adapter) }
    if over == LoRA.name, let found = linear.adapters.last(where: { $0.adapter is LoRAAdapter }) { return found }
    throw EngineError(
      .argument, "over = '\(over)': layer '\(path)' has no such adapter",
      hint: suggestion(for: over, among: linear.adapters.map(\.name)) ?? "add a LoRA first")
  }

  /// The linear layers that the targets choose. Every entry of a list must match something.
  private static func select(
    _ targets: AdapterTargets, defaultTargets: [String], modules: [(path: String, module: Module)], outside head: [String]
  ) throws -> [(path: String, linear: Linear)] {
    let all = modules.compactMap { path, module in (module as? Linear).map { (path: path, linear: $0) } }
    let linears = all.filter { site in !head.contains { isSuffix($0, of: site.path) || isInside(site.path, $0) } }
    let excluded = try matches(targets.excludeModules, among: linears.map(\.path), option: "exclude_modules")
    let chosen: Set<String>
    switch targets.targetModules ?? .suffixes(defaultTargets) {
    case .suffixes(let names):
      guard !names.isEmpty else { throw EngineError(.argument, "target_modules is empty: expected at least one name") }
      for name in names where !linears.contains(where: { isSuffix(name, of: $0.path) }) {
        guard let site = all.first(where: { isSuffix(name, of: $0.path) }) else { continue }
        throw EngineError(.argument, "target_modules: '\(name)' matches only '\(site.path)', which trains whole", hint: "leave it out")
      }
      chosen = Set(try matches(names, among: linears.map(\.path), option: "target_modules"))
    case .allLinear: chosen = Set(linears.map(\.path))
    case .pattern(let pattern):
      guard let regex = try? Regex(pattern) else {
        throw EngineError(.argument, "target_modules: '\(pattern)' is not a valid regular expression")
      }
      chosen = Set(linears.map(\.path).filter { (try? regex.wholeMatch(in: $0)) != nil })
      guard !chosen.isEmpty else {
        throw EngineError(.argument, "target_modules: pattern '\(pattern)' matches no linear layer", hint: available(linears.map(\.path)))
      }
    }
    let sites = linears.filter { site in
      guard chosen.contains(site.path), !excluded.contains(site.path) else { return false }
      guard let layers = targets.layersToTransform else { return true }
      return site.path.split(separator: ".").contains { Int($0).map(layers.contains) ?? false }
    }
    guard !sites.isEmpty else {
      throw EngineError(.argument, "target_modules: no layer is left after exclude_modules and layers_to_transform")
    }
    return sites
  }

  /// Whether a name is a path, or the end of it after a dot.
  static func isSuffix(_ name: String, of path: String) -> Bool { path == name || path.hasSuffix("." + name) }

  /// The paths that the names match, exactly or by a dotted suffix. Throws for a name that matches nothing.
  private static func matches(_ names: [String], among paths: [String], option: String) throws -> [String] {
    for name in names where !paths.contains(where: { isSuffix(name, of: $0) }) {
      let last = Set(paths.flatMap { path in
        let parts = path.split(separator: ".")
        return (1...max(1, min(3, parts.count))).map { parts.suffix($0).joined(separator: ".") }
      })
      throw EngineError(
        .argument, "\(option): '\(name)' matches no module",
        hint: nearestName(to: name, among: last.sorted()).map { "did you mean '\($0)'?" } ?? available(paths))
    }
    return paths.filter { path in names.contains { isSuffix($0, of: path) } }
  }

  private static func available(_ paths: [String]) -> String {
    let last = Set(paths.compactMap { $0.split(separator: ".").last.map(String.init) })
    return "there are " + last.filter { Int($0) == nil && !$0.isEmpty }.sorted().joined(separator: ", ")
  }
}
