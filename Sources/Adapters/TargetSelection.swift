import Diagnostics
import NN
import Patterns
import TensorCore

// Which modules of a model an adapter is attached to.

extension AdapterTargets {
  /// Whether `layersToTransform` leaves a path in.
  func includesLayer(_ path: String) -> Bool {
    guard let layers = layersToTransform else { return true }
    let parts = path.split(separator: ".").map(String.init)
    return parts.indices.contains { i in
      guard let number = Int(parts[i]), layers.contains(number) else { return false }
      return layersPattern.isEmpty || (i > 0 && layersPattern.contains(parts[i - 1]))
    }
  }

  /// Throws for a pattern of the method, or a number of `layers_to_transform`, that no linear layer of the model fits, and for
  /// biases where there are none: a folder may hold such, an option of a script is a mistake.
  public func requireMatches(_ method: any AdapterMethod, in root: Module) throws {
    let linears = root.namedModules().compactMap { path, module in module is Linear ? path : nil }
    for (option, patterns) in (method as? any HasLayerPatterns)?.layerPatterns ?? [] {
      for pattern in patterns {
        let expression = try RegularExpression(endingPath: pattern)
        if linears.contains(where: expression.matchesWhole) { continue }
        throw EngineError(
          .argument, "\(option): '\(pattern)' matches no linear layer", hint: AttachedAdapter.nearestPath(to: pattern, among: linears))
      }
    }
    if bias != .none, !root.namedParameters().contains(where: { $0.name.hasSuffix("bias") }) {
      throw EngineError(.argument, "bias = \"\(bias.rawValue)\": the model has no biases", hint: "leave it out")
    }
    for layer in layersToTransform ?? [] {
      var one = self
      one.layersToTransform = [layer]
      guard linears.contains(where: one.includesLayer) else {
        throw EngineError(.argument, "layers_to_transform: the model has no layer \(layer)", hint: "they count from 0")
      }
    }
  }

  /// The suffixes, where nothing else narrows the choice.
  func plainSuffixes(default names: [String]) -> [String]? {
    guard excludeModules.isEmpty, layersToTransform == nil else { return nil }
    guard case .suffixes(let suffixes) = targetModules ?? .suffixes(names) else { return nil }
    return suffixes
  }
}

extension AttachedAdapter {
  /// The paths without those below another of them.
  static func outermost(_ paths: [String]) -> [String] {
    var seen: Set<String> = []
    return paths.filter { path in seen.insert(path).inserted && !paths.contains { $0 != path && isInside(path, $0) } }
  }

  /// Whether a module or parameter is another module, or part of it.
  static func isInside(_ path: String, _ module: String) -> Bool { path == module || path.hasPrefix(module + ".") }

  /// The adapter of a layer that a method builds on. `over` may be the adapter's name, or that of its method, of which the last
  /// adapter counts.
  static func base(_ over: String, of method: any BuildsOnAdapter, _ host: AdapterHost) -> (name: String, adapter: Adapter)? {
    if let adapter = host.adapter(named: over) { return (over, adapter) }
    return over == type(of: method).baseMethod.name ? host.adapters.last { type(of: method).isBase($0.adapter) } : nil
  }

  static func requireBase(
    _ over: String, of method: any BuildsOnAdapter, _ host: AdapterHost, at path: String
  ) throws -> (name: String, adapter: Adapter) {
    if let found = base(over, of: method, host) { return found }
    throw EngineError(
      .argument, "over = '\(over)': layer '\(path)' has no such adapter",
      hint: suggestion(for: over, among: host.adapters.map(\.name)) ?? "add a LoRA first")
  }

  /// The modules that a method is attached to.
  static func hosts(
    of method: any AdapterMethod, _ targets: AdapterTargets, defaultTargets: [String], modules: [(path: String, module: Module)],
    outside: [String]
  ) throws -> [(path: String, host: AdapterHost)] {
    switch method.placement {
    case .linear:
      return try select(targets, defaultTargets: defaultTargets, modules: modules, outside: outside).map { ($0.path, $0.linear) }
    case .nowhere, .hosts:
      guard targets.targetModules == nil, targets.excludeModules.isEmpty else {
        throw EngineError(
          .argument, "target_modules, exclude_modules: method '\(method.name)' is not attached to linear layers",
          hint: "leave them out")
      }
    }
    guard case .hosts(let kind) = method.placement else { return [] }
    let found = modules.compactMap { path, module -> (path: String, host: AdapterHost)? in
      guard let host = module as? AdapterHost, type(of: host) == kind else { return nil }
      guard !outside.contains(where: { isSuffix($0, of: path) || isInside(path, $0) }), targets.includesLayer(path) else { return nil }
      return (path, host)
    }
    guard !found.isEmpty else {
      throw EngineError(.argument, "method '\(method.name)': the model has no place for it, or layers_to_transform leaves none")
    }
    return found
  }

  /// The linear layers that the targets choose. Every entry of a list must match something.
  static func select(
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
    case .allLinear: chosen = Set(linears.filter { $0.linear.role != .head }.map(\.path))
    case .roles(let roles):
      chosen = Set(linears.filter { roles.contains($0.linear.role) }.map(\.path))
      guard !chosen.isEmpty else {
        throw EngineError(.argument, "the model has no layer of the kinds that the method adapts", hint: "name layers in target_modules")
      }
    case .pattern(let pattern):
      chosen = Set(try paths(linears.map(\.path), match: pattern, option: "target_modules"))
      guard !chosen.isEmpty else {
        let hint = pattern.contains(",") ? "several names are a list: { \"query\", \"value\" }" : available(linears.map(\.path))
        throw EngineError(.argument, "target_modules: pattern '\(pattern)' matches no linear layer", hint: hint)
      }
    }
    let sites = linears.filter { site in
      guard chosen.contains(site.path), !excluded.contains(site.path) else { return false }
      return targets.includesLayer(site.path)
    }
    guard !sites.isEmpty else {
      throw EngineError(.argument, "target_modules: no layer is left after exclude_modules and layers_to_transform")
    }
    return sites
  }

  /// The paths that a regular expression matches whole; `place` names the option, or file and key, that it comes from.
  static func paths(
    _ paths: [String], match pattern: String, option place: String, kind: EngineError.Kind = .argument
  ) throws(EngineError) -> [String] {
    do {
      return paths.filter(try RegularExpression(pattern, kind: kind).matchesWhole)
    } catch {
      throw error.at(place)
    }
  }

  /// The last parts of chosen paths, each once, if those are the ends of no other path; else nil.
  static func ends(of chosen: [String], among all: [String], parts: Int = 1) -> [String]? {
    var ends: [String] = []
    for path in chosen {
      let end = path.split(separator: ".").suffix(parts).joined(separator: ".")
      if !ends.contains(end) { ends.append(end) }
    }
    return all.filter { path in ends.contains { isSuffix($0, of: path) } } == chosen ? ends : nil
  }

  /// Whether a name is a path, or the end of it after a dot.
  static func isSuffix(_ name: String, of path: String) -> Bool { path == name || path.hasSuffix("." + name) }

  /// The paths that the names match, exactly or by a dotted suffix. Throws for a name that matches nothing.
  static func matches(_ names: [String], among paths: [String], option: String) throws -> [String] {
    for name in names where !paths.contains(where: { isSuffix(name, of: $0) }) {
      throw EngineError(.argument, "\(option): '\(name)' matches no module", hint: nearestPath(to: name, among: paths) ?? available(paths))
    }
    return paths.filter { path in names.contains { isSuffix($0, of: path) } }
  }

  /// "did you mean 'query'?": of the last parts of the paths, the one like the name.
  static func nearestPath(to name: String, among paths: [String]) -> String? {
    let last = Set(
      paths.flatMap { path in
        let parts = path.split(separator: ".")
        return (1...max(1, min(3, parts.count))).map { parts.suffix($0).joined(separator: ".") }
      })
    return nearestName(to: name, among: last.sorted()).map { "did you mean '\($0)'?" }
  }

  static func available(_ paths: [String]) -> String {
    let last = Set(paths.compactMap { $0.split(separator: ".").last.map(String.init) })
    return "there are " + last.filter { Int($0) == nil && !$0.isEmpty }.sorted().joined(separator: ", ")
  }
}
